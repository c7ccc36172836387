//! Port `Accounts` on SQLite: accounts here, addresses in `addresses`, sessions in `sessions`. Must never store a token or
//! a clear password.

mod addresses;
mod rows;
mod search;
mod sessions;

use super::answers;
use super::library::Library;
use onsale_engine::email::{email_key, former_email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{
    Account, Accounts, AddressHash, CreateAccountError, Disabled, EmailHash, IssuedTokens, Revocation, Rotation,
};
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use rows::{ADMINISTRATORS, BY_EMAIL, BY_ID, account, insert, one, select};
use std::sync::Arc;
use uuid::Uuid;

/// The accounts of a data directory.
pub struct SqliteAccounts {
    library: Arc<Library>,
}

impl SqliteAccounts {
    /// The accounts in `library`.
    #[must_use]
    pub fn new(library: Arc<Library>) -> Self {
        Self { library }
    }
}

impl Accounts for SqliteAccounts {
    fn create<'a>(
        &'a self,
        account: &'a Account,
        email_hash: AddressHash,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<Vec<BuyerId>, CreateAccountError>> {
        let (account, answer) = (account.clone(), answer.cloned());
        Box::pin(async move {
            let created = self.library.write(move |transaction| {
                if !insert(transaction, &account, email_hash)? {
                    return Ok(None);
                }
                answers::remember(transaction, answer.as_ref())?;
                Ok(Some(addresses::deleted_with(transaction, email_hash)?))
            });
            created.await?.ok_or(CreateAccountError::EmailTaken)
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        let keys = [email_key(email), former_email_key(email)];
        Box::pin(self.library.read(move |transaction| one(transaction, BY_EMAIL, keys)))
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(self.library.read(move |transaction| one(transaction, BY_ID, [id.0.into_bytes()])))
    }

    fn by_ids(&self, ids: Vec<BuyerId>) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(self.library.read(move |transaction| search::by_ids(transaction, &ids)))
    }

    fn search<'a>(
        &'a self,
        text: &'a str,
        email_hash: AddressHash,
        limit: u32,
    ) -> Later<'a, Result<Vec<BuyerId>, StoreError>> {
        let text = text.to_owned();
        Box::pin(self.library.read(move |transaction| search::search(transaction, &text, email_hash, limit)))
    }

    fn update<'a>(&'a self, id: BuyerId, name: &'a str, phone: Option<&'a str>) -> Later<'a, Result<bool, StoreError>> {
        let (name, phone) = (name.to_owned(), phone.map(str::to_owned));
        Box::pin(self.library.write(move |transaction| {
            let changed = transaction
                .prepare_cached("UPDATE accounts SET name = ?2, phone = ?3 WHERE id = ?1 AND deleted_at IS NULL")?
                .execute((id.0.into_bytes(), name, phone))?;
            Ok(changed == 1)
        }))
    }

    fn set_password<'a>(
        &'a self,
        id: BuyerId,
        password_hash: &'a str,
        keep: Option<Uuid>,
        now: Timestamp,
    ) -> Later<'a, Result<Vec<Revocation>, StoreError>> {
        let password_hash = password_hash.to_owned();
        Box::pin(self.library.write(move |transaction| {
            let changed = transaction
                .prepare_cached("UPDATE accounts SET password_hash = ?2 WHERE id = ?1 AND deleted_at IS NULL")?
                .execute((id.0.into_bytes(), password_hash))?;
            if changed == 1 { sessions::end_all(transaction, id, keep, now) } else { Ok(Vec::new()) }
        }))
    }

    fn rehash_password<'a>(&'a self, id: BuyerId, from: &'a str, to: &'a str) -> Later<'a, Result<bool, StoreError>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::pin(self.library.write(move |transaction| {
            let sql = "UPDATE accounts SET password_hash = ?3
                WHERE id = ?1 AND password_hash = ?2 AND deleted_at IS NULL";
            Ok(transaction.prepare_cached(sql)?.execute((id.0.into_bytes(), from, to))? == 1)
        }))
    }

    fn delete(
        &self,
        id: BuyerId,
        email_hash: AddressHash,
        now: Timestamp,
    ) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(self.library.write(move |transaction| {
            addresses::delete(transaction, id, email_hash, now)?;
            sessions::end_all(transaction, id, None, now)
        }))
    }

    fn administrators(&self) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(self.library.read(|transaction| {
            let mut query = transaction.prepare_cached(&select(ADMINISTRATORS))?;
            let accounts = query.query_map([], account)?.collect::<rusqlite::Result<_>>()?;
            Ok(accounts)
        }))
    }

    fn disable(&self, id: BuyerId, keep_one: bool, now: Timestamp) -> Later<'_, Result<Disabled, StoreError>> {
        Box::pin(self.library.write(move |transaction| {
            let is_last = "SELECT ?2 AND NOT EXISTS (SELECT 1 FROM accounts WHERE role = 'ADMIN' AND deleted_at IS NULL
                    AND disabled_at IS NULL AND id <> ?1)
                AND EXISTS (SELECT 1 FROM accounts WHERE id = ?1 AND role = 'ADMIN' AND deleted_at IS NULL
                    AND disabled_at IS NULL)";
            let key = id.0.into_bytes();
            if transaction.prepare_cached(is_last)?.query_row((key, keep_one), |row| row.get(0))? {
                return Ok(Disabled::Last);
            }
            let sql = "UPDATE accounts SET disabled_at = coalesce(disabled_at, ?2)
                WHERE id = ?1 AND role = 'ADMIN' AND deleted_at IS NULL";
            if transaction.prepare_cached(sql)?.execute((key, now.0))? == 0 {
                return Ok(Disabled::Unknown);
            }
            Ok(Disabled::Done(sessions::end_all(transaction, id, None, now)?))
        }))
    }

    fn enable(&self, id: BuyerId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.library.write(move |transaction| {
            let sql = "UPDATE accounts SET disabled_at = NULL WHERE id = ?1 AND role = 'ADMIN' AND deleted_at IS NULL";
            Ok(transaction.prepare_cached(sql)?.execute([id.0.into_bytes()])? == 1)
        }))
    }

    fn predecessors(&self) -> Later<'_, Result<Vec<(BuyerId, BuyerId)>, StoreError>> {
        Box::pin(self.library.read(addresses::predecessors))
    }

    fn bring_up_to_date(&self, hash: EmailHash) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.library.write(move |transaction| addresses::bring_up_to_date(transaction, &hash)))
    }

    fn knows_address(&self, id: BuyerId, address: AddressHash) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.library.read(move |transaction| addresses::knows(transaction, id, address)))
    }

    fn open_session<'a>(
        &'a self,
        tokens: &'a IssuedTokens,
        from: AddressHash,
        now: Timestamp,
    ) -> Later<'a, Result<(), StoreError>> {
        let tokens = tokens.clone();
        Box::pin(self.library.write(move |transaction| {
            addresses::remember(transaction, tokens.buyer, from, now)?;
            sessions::open(transaction, &tokens, now)
        }))
    }

    fn refresh_owner(&self, refresh_hash: [u8; 32]) -> Later<'_, Result<Option<(BuyerId, Uuid)>, StoreError>> {
        Box::pin(self.library.read(move |transaction| sessions::owner(transaction, refresh_hash)))
    }

    fn rotate<'a>(
        &'a self,
        spent: [u8; 32],
        next: &'a IssuedTokens,
        now: Timestamp,
    ) -> Later<'a, Result<Rotation, StoreError>> {
        let next = next.clone();
        Box::pin(self.library.write(move |transaction| sessions::rotate(transaction, spent, &next, now)))
    }

    fn session_of(&self, access_id: Uuid) -> Later<'_, Result<Option<Uuid>, StoreError>> {
        Box::pin(self.library.read(move |transaction| sessions::of_access_token(transaction, access_id)))
    }

    fn log_out(&self, revocation: Revocation, now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.library.write(move |transaction| sessions::log_out(transaction, revocation, now)))
    }

    fn revocations(&self, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(self.library.read(move |transaction| sessions::revocations(transaction, now)))
    }
}
