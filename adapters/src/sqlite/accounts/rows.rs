//! One account as a row of SQLite: how it is selected, read and made. Must never select one that was deleted.

use super::super::library::{Failure, uuid_at};
use onsale_engine::email::email_key;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, AddressHash, Role};
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};

/// The former key is only that of an account which could not take the normal form: no normal form equals it.
pub(super) const BY_EMAIL: &str = "email_key IN (?1, ?2) AND deleted_at IS NULL ORDER BY email_key = ?2 DESC LIMIT 1";
pub(super) const BY_ID: &str = "id = ?1 AND deleted_at IS NULL";
pub(super) const ADMINISTRATORS: &str = "role = 'ADMIN' AND deleted_at IS NULL ORDER BY created_at, id";

pub(super) fn select(condition: &str) -> String {
    format!(
        "SELECT id, email, name, phone, role, password_hash, created_at, disabled_at FROM accounts
         WHERE {condition}"
    )
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "USER",
        Role::Admin => "ADMIN",
    }
}

/// False if the address is taken.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    account: &Account,
    email_hash: AddressHash,
) -> Result<bool, Failure> {
    let new = transaction
        .prepare_cached(
            "INSERT INTO accounts (id, email, email_key, name, phone, role, password_hash, created_at, email_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (email_key) WHERE deleted_at IS NULL DO NOTHING",
        )?
        .execute((
            account.id.0.into_bytes(),
            &account.email,
            email_key(&account.email),
            &account.name,
            &account.phone,
            role_name(account.role),
            &account.password_hash,
            account.created_at.0,
            email_hash,
        ))?;
    Ok(new == 1)
}

pub(super) fn one(
    transaction: &Transaction<'_>,
    condition: &'static str,
    key: impl rusqlite::Params,
) -> Result<Option<Account>, Failure> {
    let account = transaction.prepare_cached(&select(condition))?.query_row(key, account).optional()?;
    Ok(account)
}

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let role: String = row.get(4)?;
    Ok(Account {
        id: BuyerId(uuid_at(row, 0)?),
        email: row.get(1)?,
        name: row.get(2)?,
        phone: row.get(3)?,
        role: if role == role_name(Role::Admin) { Role::Admin } else { Role::User },
        password_hash: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
        disabled_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}
