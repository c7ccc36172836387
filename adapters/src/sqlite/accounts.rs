//! Port `Accounts` on SQLite: accounts here, their sessions in `sessions`. Owns the compared form of an address;
//! must never store a token or a clear password.

mod sessions;

use super::answers;
use super::library::{Failure, Library, uuid_at};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, Accounts, CreateAccountError, IssuedTokens, Revocation, Role, Rotation};
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};
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
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CreateAccountError>> {
        let (account, answer) = (account.clone(), answer.cloned());
        Box::pin(async move {
            let created = self.library.write(move |transaction| {
                if !insert(transaction, &account)? {
                    return Ok(false);
                }
                answers::remember(transaction, answer.as_ref())?;
                Ok(true)
            });
            if created.await? { Ok(()) } else { Err(CreateAccountError::EmailTaken) }
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        let key = compared(email);
        Box::pin(self.library.read(move |transaction| one(transaction, "email_key = ?1", &key)))
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(self.library.read(move |transaction| one(transaction, "id = ?1", &id.0.into_bytes())))
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

    fn delete(&self, id: BuyerId, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(self.library.write(move |transaction| {
            transaction
                .prepare_cached("UPDATE accounts SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL")?
                .execute((id.0.into_bytes(), now.0))?;
            sessions::end_all(transaction, id, None, now)
        }))
    }

    fn open_session<'a>(&'a self, tokens: &'a IssuedTokens, now: Timestamp) -> Later<'a, Result<(), StoreError>> {
        let tokens = tokens.clone();
        Box::pin(self.library.write(move |transaction| sessions::open(transaction, &tokens, now)))
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

/// An address as it is compared.
fn compared(email: &str) -> String {
    email.trim().to_lowercase()
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "USER",
        Role::Admin => "ADMIN",
    }
}

/// False if the address is taken.
fn insert(transaction: &Transaction<'_>, account: &Account) -> Result<bool, Failure> {
    let new = transaction
        .prepare_cached(
            "INSERT INTO accounts (id, email, email_key, name, phone, role, password_hash, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (email_key) WHERE deleted_at IS NULL DO NOTHING",
        )?
        .execute((
            account.id.0.into_bytes(),
            &account.email,
            compared(&account.email),
            &account.name,
            &account.phone,
            role_name(account.role),
            &account.password_hash,
            account.created_at.0,
        ))?;
    Ok(new == 1)
}

fn one(
    transaction: &Transaction<'_>,
    condition: &'static str,
    key: &dyn rusqlite::ToSql,
) -> Result<Option<Account>, Failure> {
    let account = transaction
        .prepare_cached(&format!(
            "SELECT id, email, name, phone, role, password_hash, created_at FROM accounts
             WHERE {condition} AND deleted_at IS NULL"
        ))?
        .query_row([key], account)
        .optional()?;
    Ok(account)
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let role: String = row.get(4)?;
    Ok(Account {
        id: BuyerId(uuid_at(row, 0)?),
        email: row.get(1)?,
        name: row.get(2)?,
        phone: row.get(3)?,
        role: if role == role_name(Role::Admin) { Role::Admin } else { Role::User },
        password_hash: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
    })
}
