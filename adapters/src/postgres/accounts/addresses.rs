//! Addresses in Postgres: the normal form of e-mail addresses, what is left of a deleted account, and from where accounts
//! have logged in. Every function is one step inside the caller's transaction. Must never store a client's address itself.

use super::super::failure::Failure;
use super::super::session::Session;
use super::super::values::At;
use onsale_engine::email::{EMAIL_FORM, email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{AddressHash, EmailHash, KNOWN_ADDRESSES};
use onsale_engine::time::Timestamp;
use uuid::Uuid;

const ERASE: &str = "UPDATE accounts SET email = '', email_key = '', name = '', phone = NULL, password_hash = '',
    email_hash = $2, deleted_at = coalesce(deleted_at, $3) WHERE id = $1";
/// Of accounts that are not deleted.
const TAKE_FORM: &str = "UPDATE accounts SET email_key = $2 WHERE id = $1
    AND NOT EXISTS (SELECT 1 FROM accounts AS other WHERE other.email_key = $2 AND other.deleted_at IS NULL)";
const PREDECESSORS: &str = "SELECT heir.id, before.id FROM accounts AS before JOIN accounts AS heir
    ON heir.email_hash = before.email_hash AND heir.deleted_at IS NULL
    WHERE before.deleted_at IS NOT NULL AND before.email_hash IS NOT NULL";
const REMEMBER: &str = "INSERT INTO known_addresses (account_id, address, used_at) VALUES ($1, $2, $3)
    ON CONFLICT (account_id, address) DO UPDATE SET used_at = greatest(known_addresses.used_at, excluded.used_at)";
const FORGET_OLDEST: &str = "DELETE FROM known_addresses WHERE account_id = $1 AND address NOT IN (SELECT address
    FROM known_addresses WHERE account_id = $1 ORDER BY used_at DESC, address LIMIT $2)";
/// A key of ASCII letters is the same in both forms.
const LIVING: &str = "SELECT id, email FROM accounts WHERE deleted_at IS NULL
    AND char_length(email_key) <> octet_length(email_key) ORDER BY created_at, id";

pub(super) async fn delete(
    session: &Session,
    id: BuyerId,
    email_hash: AddressHash,
    now: Timestamp,
) -> Result<(), Failure> {
    let living = "SELECT 1 FROM accounts WHERE id = $1 AND deleted_at IS NULL FOR UPDATE";
    if session.query_opt(living, &[&id.0]).await?.is_some() {
        session.execute(ERASE, &[&id.0, &&email_hash[..], &At(now)]).await?;
        session.execute("DELETE FROM known_addresses WHERE account_id = $1", &[&id.0]).await?;
    }
    Ok(())
}

/// The deleted accounts of an e-mail address.
pub(super) async fn deleted_with(session: &Session, email_hash: AddressHash) -> Result<Vec<BuyerId>, Failure> {
    let sql = "SELECT id FROM accounts WHERE email_hash = $1 AND deleted_at IS NOT NULL";
    let rows = session.query(sql, &[&&email_hash[..]]).await?;
    Ok(rows.iter().map(|row| BuyerId(row.get(0))).collect())
}

/// Every living account with each deleted one of the same address.
pub(super) async fn predecessors(session: &Session) -> Result<Vec<(BuyerId, BuyerId)>, Failure> {
    let rows = session.query(PREDECESSORS, &[]).await?;
    Ok(rows.iter().map(|row| (BuyerId(row.get(0)), BuyerId(row.get(1)))).collect())
}

pub(super) async fn knows(session: &Session, id: BuyerId, address: AddressHash) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM known_addresses WHERE account_id = $1 AND address = $2";
    Ok(session.query_opt(sql, &[&id.0, &&address[..]]).await?.is_some())
}

/// Remembers from where an account has logged in, and forgets the oldest beyond the bound.
pub(super) async fn remember(
    session: &Session,
    id: BuyerId,
    address: AddressHash,
    now: Timestamp,
) -> Result<(), Failure> {
    session.execute(REMEMBER, &[&id.0, &&address[..], &At(now)]).await?;
    session.execute(FORGET_OLDEST, &[&id.0, &i64::from(KNOWN_ADDRESSES)]).await?;
    Ok(())
}

pub(super) async fn bring_up_to_date(session: &Session, hash: &EmailHash) -> Result<(), Failure> {
    // Locked: a node that starts at the same time finds it done.
    let version = session.query_opt("SELECT version FROM email_form FOR UPDATE", &[]).await?;
    if version.is_some_and(|row| row.get::<_, i64>(0) == EMAIL_FORM) {
        return Ok(());
    }
    for row in session.query(LIVING, &[]).await? {
        let (id, email): (Uuid, String) = (row.get(0), row.get(1));
        session.execute(TAKE_FORM, &[&id, &email_key(&email)]).await?;
    }
    let deleted = "SELECT id, email FROM accounts WHERE deleted_at IS NOT NULL AND email <> ''";
    for row in session.query(deleted, &[]).await? {
        let (id, email): (Uuid, String) = (row.get(0), row.get(1));
        let key = email_key(&email);
        let hash = hash(&key);
        let heir = "UPDATE accounts SET email_hash = $2 WHERE email_key = $1 AND deleted_at IS NULL";
        session.execute(heir, &[&key, &&hash[..]]).await?;
        session.execute(ERASE, &[&id, &&hash[..], &At(Timestamp::default())]).await?;
    }
    session.execute("UPDATE email_form SET version = $1", &[&EMAIL_FORM]).await?;
    Ok(())
}
