//! Port `Accounts` on Postgres: accounts here, their sessions in `sessions`. Owns the compared form of an address;
//! must never store a token or a clear password.

mod sessions;

use super::answers;
use super::database::Postgres;
use super::failure::Failure;
use super::pool::Pool;
use super::session::Params;
use super::values::At;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, Accounts, CreateAccountError, IssuedTokens, Revocation, Role, Rotation};
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

const INSERT: &str = "INSERT INTO accounts (id, email, email_key, name, phone, role, password_hash, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email_key) WHERE deleted_at IS NULL DO NOTHING";
const BY_EMAIL: &str = "SELECT id, email, name, phone, role, password_hash, created_at FROM accounts
    WHERE email_key = $1 AND deleted_at IS NULL";
const BY_ID: &str = "SELECT id, email, name, phone, role, password_hash, created_at FROM accounts
    WHERE id = $1 AND deleted_at IS NULL";
const UPDATE: &str = "UPDATE accounts SET name = $2, phone = $3 WHERE id = $1 AND deleted_at IS NULL";
const SET_PASSWORD: &str = "UPDATE accounts SET password_hash = $2 WHERE id = $1 AND deleted_at IS NULL";
const DELETE: &str = "UPDATE accounts SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";

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
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CreateAccountError>> {
        Box::pin(async move {
            let made = async {
                let work = self.pool().begin().await?;
                let Account { id, email, name, phone, role, password_hash, created_at } = account;
                let (key, role, created_at) = (compared(email), role_name(*role), At(*created_at));
                let row: Params<'_> = &[&id.0, email, &key, name, phone, &role, password_hash, &created_at];
                if work.execute(INSERT, row).await? == 0 {
                    work.roll_back().await?;
                    return Ok(false);
                }
                answers::remember(&work, answer).await?;
                work.commit().await?;
                Ok::<_, Failure>(true)
            };
            match made.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(CreateAccountError::EmailTaken),
                Err(failure) => Err(StoreError::from(failure).into()),
            }
        })
    }

    fn by_email<'a>(&'a self, email: &'a str) -> Later<'a, Result<Option<Account>, StoreError>> {
        Box::pin(async move { self.one(BY_EMAIL, &[&compared(email)]).await })
    }

    fn by_id(&self, id: BuyerId) -> Later<'_, Result<Option<Account>, StoreError>> {
        Box::pin(async move { self.one(BY_ID, &[&id.0]).await })
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

    fn delete(&self, id: BuyerId, now: Timestamp) -> Later<'_, Result<Vec<Revocation>, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            work.execute(DELETE, &[&id.0, &At(now)]).await.map_err(Failure::from)?;
            let ended = sessions::end_all(&work, id, None, now).await?;
            work.commit().await?;
            Ok(ended)
        })
    }

    fn open_session<'a>(&'a self, tokens: &'a IssuedTokens, now: Timestamp) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
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
    }
}
