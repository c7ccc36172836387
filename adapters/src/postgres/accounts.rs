//! Port `Accounts` on Postgres: accounts here, addresses in `addresses`, sessions in `sessions`. Must never store a token
//! or a clear password.

mod addresses;
mod search;
mod sessions;

use super::answers;
use super::database::Postgres;
use super::failure::Failure;
use super::pool::Pool;
use super::session::Params;
use super::values::At;
use onsale_engine::email::{email_key, former_email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{
    Account, Accounts, AddressHash, CreateAccountError, Disabled, EmailHash, IssuedTokens, Revocation, Role, Rotation,
};
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

const INSERT: &str = "INSERT INTO accounts (id, email, email_key, name, phone, role, password_hash, created_at,
        email_hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (email_key) WHERE deleted_at IS NULL DO NOTHING";
/// The former key is only that of an account which could not take the normal form: no normal form equals it.
const BY_EMAIL: &str = "SELECT id, email, name, phone, role, password_hash, created_at, disabled_at FROM accounts
    WHERE email_key IN ($1, $2) AND deleted_at IS NULL ORDER BY email_key = $2 DESC LIMIT 1";
const BY_ID: &str = "SELECT id, email, name, phone, role, password_hash, created_at, disabled_at FROM accounts
    WHERE id = $1 AND deleted_at IS NULL";
const ADMINISTRATORS: &str = "SELECT id, email, name, phone, role, password_hash, created_at, disabled_at FROM accounts
    WHERE role = 'ADMIN' AND deleted_at IS NULL ORDER BY created_at, id";
const LOCK_ENABLED: &str = "SELECT id FROM accounts
    WHERE role = 'ADMIN' AND deleted_at IS NULL AND disabled_at IS NULL ORDER BY id FOR UPDATE";
const DISABLE: &str = "UPDATE accounts SET disabled_at = coalesce(disabled_at, $2)
    WHERE id = $1 AND role = 'ADMIN' AND deleted_at IS NULL";
const ENABLE: &str = "UPDATE accounts SET disabled_at = NULL WHERE id = $1 AND role = 'ADMIN' AND deleted_at IS NULL";
const UPDATE: &str = "UPDATE accounts SET name = $2, phone = $3 WHERE id = $1 AND deleted_at IS NULL";
const SET_PASSWORD: &str = "UPDATE accounts SET password_hash = $2 WHERE id = $1 AND deleted_at IS NULL";
const REHASH: &str =
    "UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2 AND deleted_at IS NULL";

/// The accounts of a database.
pub struct PostgresAccounts {
    database: Postgres,
}

impl PostgresAccounts {
    /// The accounts in `database`.
    #[must_use]
    pub fn new(database: &Postgres) -> Self {
        Self { database: database.clone() }
    }

    fn pool(&self) -> &Pool {
        &self.database.inner.pool
    }

    async fn one(&self, sql: &str, key: Params<'_>) -> Result<Option<Account>, StoreError> {
        let row = self.pool().turn().await?.query_opt(sql, key).await.map_err(Failure::from)?;
        Ok(row.as_ref().map(account))
    }
}

impl Accounts for PostgresAccounts {
    fn create<'a>(
        &'a self,
        account: &'a Account,
        email_hash: AddressHash,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<Vec<BuyerId>, CreateAccountError>> {
        Box::pin(async move {
            let made = async {
                let work = self.pool().begin().await?;
                let Account { id, email, name, phone, role, password_hash, created_at, disabled_at: _ } = account;
                let (key, role, created_at) = (email_key(email), role_name(*role), At(*created_at));
                let hash = &email_hash[..];
                let row: Params<'_> = &[&id.0, email, &key, name, phone, &role, password_hash, &created_at, &hash];
                if work.execute(INSERT, row).await? == 0 {
                    work.roll_back().await?;
                    return Ok(None);
                }
                answers::remember(&work, answer).await?;
                let before = addresses::deleted_with(&work, email_hash).await?;
                work.commit().await?;
                Ok::<_, Failure>(Some(before))
            };
            match made.await {
                Ok(Some(before)) => Ok(before),
                Ok(None) => Err(CreateAccountError::EmailTaken),
                Err(failure) => Err(StoreError::from(failure).into()),
            }
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move { self.one(BY_EMAIL, &[&email_key(email), &former_email_key(email)]).await })
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(async move { self.one(BY_ID, &[&id.0]).await })
    }

    fn by_ids(&self, ids: Vec<BuyerId>) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(async move { Ok(search::by_ids(&*self.pool().turn().await?, &ids).await?) })
    }

    fn search<'a>(
        &'a self,
        text: &'a str,
        email_hash: AddressHash,
        limit: u32,
    ) -> Later<'a, Result<Vec<BuyerId>, StoreError>> {
        Box::pin(async move { Ok(search::search(&*self.pool().turn().await?, text, email_hash, limit).await?) })
    }

    fn update<'a>(&'a self, id: BuyerId, name: &'a str, phone: Option<&'a str>) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let changed = work.execute(UPDATE, &[&id.0, &name, &phone]).await.map_err(Failure::from)?;
            work.commit().await?;
            Ok(changed == 1)
        })
    }

    fn set_password<'a>(
        &'a self,
        id: BuyerId,
        password_hash: &'a str,
        keep: Option<Uuid>,
        now: Timestamp,
    ) -> Later<'a, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let changed = work.execute(SET_PASSWORD, &[&id.0, &password_hash]).await.map_err(Failure::from)?;
            if changed == 0 {
                work.roll_back().await?;
                return Ok(Vec::new());
            }
            let ended = sessions::end_all(&work, id, keep, now).await?;
            work.commit().await?;
            Ok(ended)
        })
    }

    fn rehash_password<'a>(&'a self, id: BuyerId, from: &'a str, to: &'a str) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let changed = work.execute(REHASH, &[&id.0, &from, &to]).await.map_err(Failure::from)?;
            work.commit().await?;
            Ok(changed == 1)
        })
    }

    fn delete(
        &self,
        id: BuyerId,
        email_hash: AddressHash,
        now: Timestamp,
    ) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            addresses::delete(&work, id, email_hash, now).await?;
            let ended = sessions::end_all(&work, id, None, now).await?;
            work.commit().await?;
            Ok(ended)
        })
    }

    fn administrators(&self) -> Later<'_, Result<Vec<Account>, StoreError>> {
        Box::pin(async move {
            let rows = self.pool().turn().await?.query(ADMINISTRATORS, &[]).await.map_err(Failure::from)?;
            Ok(rows.iter().map(account).collect())
        })
    }

    fn disable(&self, id: BuyerId, keep_one: bool, now: Timestamp) -> Later<'_, Result<Disabled, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            // Locked, so that two who disable each other come one after the other.
            let enabled = work.query(LOCK_ENABLED, &[]).await.map_err(Failure::from)?;
            if keep_one && enabled.len() == 1 && enabled[0].get::<_, Uuid>(0) == id.0 {
                work.roll_back().await?;
                return Ok(Disabled::Last);
            }
            if work.execute(DISABLE, &[&id.0, &At(now)]).await.map_err(Failure::from)? == 0 {
                work.roll_back().await?;
                return Ok(Disabled::Unknown);
            }
            let ended = sessions::end_all(&work, id, None, now).await?;
            work.commit().await?;
            Ok(Disabled::Done(ended))
        })
    }

    fn enable(&self, id: BuyerId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let changed = work.execute(ENABLE, &[&id.0]).await.map_err(Failure::from)?;
            work.commit().await?;
            Ok(changed == 1)
        })
    }

    fn predecessors(&self) -> Later<'_, Result<Vec<(BuyerId, BuyerId)>, StoreError>> {
        Box::pin(async move { Ok(addresses::predecessors(&*self.pool().turn().await?).await?) })
    }

    fn bring_up_to_date(&self, hash: EmailHash) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            addresses::bring_up_to_date(&work, &hash).await?;
            Ok(work.commit().await?)
        })
    }

    fn knows_address(&self, id: BuyerId, address: AddressHash) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(addresses::knows(&*self.pool().turn().await?, id, address).await?) })
    }

    fn open_session<'a>(
        &'a self,
        tokens: &'a IssuedTokens,
        from: AddressHash,
        now: Timestamp,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            addresses::remember(&work, tokens.buyer, from, now).await?;
            sessions::open(&work, tokens, now).await?;
            Ok(work.commit().await?)
        })
    }

    fn refresh_owner(&self, refresh_hash: [u8; 32]) -> Later<'_, Result<Option<(BuyerId, Uuid)>, StoreError>> {
        Box::pin(async move { Ok(sessions::owner(&*self.pool().turn().await?, refresh_hash).await?) })
    }

    fn rotate<'a>(
        &'a self,
        spent: [u8; 32],
        next: &'a IssuedTokens,
        now: Timestamp,
    ) -> Later<'a, Result<Rotation, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let rotation = sessions::rotate(&work, spent, next, now).await?;
            work.commit().await?;
            Ok(rotation)
        })
    }

    fn session_of(&self, access_id: Uuid) -> Later<'_, Result<Option<Uuid>, StoreError>> {
        Box::pin(async move { Ok(sessions::of_access_token(&*self.pool().turn().await?, access_id).await?) })
    }

    fn log_out(&self, revocation: Revocation, now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            sessions::log_out(&work, revocation, now).await?;
            Ok(work.commit().await?)
        })
    }

    fn revocations(&self, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move { Ok(sessions::revocations(&*self.pool().turn().await?, now).await?) })
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "USER",
        Role::Admin => "ADMIN",
    }
}

fn account(row: &Row) -> Account {
    let role: &str = row.get(4);
    Account {
        id: BuyerId(row.get(0)),
        email: row.get(1),
        name: row.get(2),
        phone: row.get(3),
        role: if role == role_name(Role::Admin) { Role::Admin } else { Role::User },
        password_hash: row.get(5),
        created_at: row.get::<_, At>(6).0,
        disabled_at: row.get::<_, Option<At>>(7).map(|at| at.0),
    }
}
