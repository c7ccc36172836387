//! Addresses in SQLite: the normal form of e-mail addresses, what is left of a deleted account, and from where accounts
//! have logged in. Every function is one step inside the caller's transaction. Must never store a client's address itself.

use super::super::library::{Failure, uuid_at};
use onsale_engine::email::{EMAIL_FORM, email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{AddressHash, EmailHash, KNOWN_ADDRESSES};
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};

const ERASE: &str = "UPDATE accounts SET email = '', email_key = '', name = '', phone = NULL, password_hash = '',
    email_hash = ?2, deleted_at = coalesce(deleted_at, ?3) WHERE id = ?1";
/// Of accounts that are not deleted.
const TAKE_FORM: &str = "UPDATE accounts SET email_key = ?2 WHERE id = ?1
    AND NOT EXISTS (SELECT 1 FROM accounts AS other WHERE other.email_key = ?2 AND other.deleted_at IS NULL)";

pub(super) fn delete(
    transaction: &Transaction<'_>,
    id: BuyerId,
    email_hash: AddressHash,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = id.0.into_bytes();
    let living = "SELECT 1 FROM accounts WHERE id = ?1 AND deleted_at IS NULL";
    if transaction.prepare_cached(living)?.exists([id])? {
        transaction.prepare_cached(ERASE)?.execute((id, email_hash, now.0))?;
        transaction.prepare_cached("DELETE FROM known_addresses WHERE account_id = ?1")?.execute([id])?;
    }
    Ok(())
}

/// The deleted accounts of an e-mail address.
pub(super) fn deleted_with(transaction: &Transaction<'_>, email_hash: AddressHash) -> Result<Vec<BuyerId>, Failure> {
    let sql = "SELECT id FROM accounts WHERE email_hash = ?1 AND deleted_at IS NOT NULL";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map([email_hash], |row| buyer(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Every living account with each deleted one of the same address.
pub(super) fn predecessors(transaction: &Transaction<'_>) -> Result<Vec<(BuyerId, BuyerId)>, Failure> {
    let sql = "SELECT heir.id, before.id FROM accounts AS before JOIN accounts AS heir
        ON heir.email_hash = before.email_hash AND heir.deleted_at IS NULL
        WHERE before.deleted_at IS NOT NULL AND before.email_hash IS NOT NULL";
    let mut statement = transaction.prepare(sql)?;
    let found = statement.query_map([], |row| Ok((buyer(row, 0)?, buyer(row, 1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn buyer(row: &Row<'_>, column: usize) -> rusqlite::Result<BuyerId> {
    uuid_at(row, column).map(BuyerId)
}

pub(super) fn knows(transaction: &Transaction<'_>, id: BuyerId, address: AddressHash) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM known_addresses WHERE account_id = ?1 AND address = ?2";
    Ok(transaction.prepare_cached(sql)?.exists((id.0.into_bytes(), address))?)
}

/// Remembers from where an account has logged in, and forgets the oldest beyond the bound.
pub(super) fn remember(
    transaction: &Transaction<'_>,
    id: BuyerId,
    address: AddressHash,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = id.0.into_bytes();
    let sql = "INSERT INTO known_addresses (account_id, address, used_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (account_id, address) DO UPDATE SET used_at = max(used_at, excluded.used_at)";
    transaction.prepare_cached(sql)?.execute((id, address, now.0))?;
    let sql =
        "DELETE FROM known_addresses WHERE account_id = ?1 AND address NOT IN (SELECT address FROM known_addresses
        WHERE account_id = ?1 ORDER BY used_at DESC, address LIMIT ?2)";
    transaction.prepare_cached(sql)?.execute((id, KNOWN_ADDRESSES))?;
    Ok(())
}

pub(super) fn bring_up_to_date(transaction: &Transaction<'_>, hash: &EmailHash) -> Result<(), Failure> {
    let version = transaction.query_row("SELECT version FROM email_form", [], |row| row.get::<_, i64>(0)).optional()?;
    if version == Some(EMAIL_FORM) {
        return Ok(());
    }
    // A key of ASCII letters is the same in both forms.
    let living = "SELECT id, email FROM accounts WHERE deleted_at IS NULL
        AND length(email_key) <> length(CAST(email_key AS BLOB)) ORDER BY created_at, id";
    for (id, email) in rows(transaction, living)? {
        transaction.execute(TAKE_FORM, (id.0.into_bytes(), email_key(&email)))?;
    }
    let deleted = "SELECT id, email FROM accounts WHERE deleted_at IS NOT NULL AND email <> ''";
    for (id, email) in rows(transaction, deleted)? {
        let key = email_key(&email);
        let hash = hash(&key);
        let heir = "UPDATE accounts SET email_hash = ?2 WHERE email_key = ?1 AND deleted_at IS NULL";
        transaction.execute(heir, (key, hash))?;
        transaction.execute(ERASE, (id.0.into_bytes(), hash, 0))?;
    }
    transaction.execute("UPDATE email_form SET version = ?1", [EMAIL_FORM])?;
    Ok(())
}

fn rows(transaction: &Transaction<'_>, sql: &str) -> Result<Vec<(BuyerId, String)>, Failure> {
    let mut statement = transaction.prepare(sql)?;
    let found = statement.query_map([], |row| Ok((buyer(row, 0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
