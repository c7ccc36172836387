//! Finding accounts for operators in Postgres: by id, by an address, by the beginning of an address or a name. Every
//! statement is answered from an index and bounded. Only reads.

use super::super::failure::Failure;
use super::super::session::{Params, Session};
use onsale_engine::email::{email_key, former_email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, AddressHash};
use uuid::Uuid;

/// Behind every text that begins with the same characters.
const LAST: char = char::MAX;

const BY_IDS: &str = "SELECT id, email, name, phone, role, password_hash, created_at, disabled_at FROM accounts
    WHERE id = ANY ($1) AND deleted_at IS NULL";
const EXACT: &str = "SELECT id FROM accounts WHERE email_key IN ($1, $2) AND deleted_at IS NULL LIMIT $3";
const DELETED: &str = "SELECT id FROM accounts WHERE email_hash = $1 AND deleted_at IS NOT NULL LIMIT $2";
const BY_ADDRESS: &str = "SELECT id FROM accounts WHERE email_key >= $1 AND email_key < $2 AND deleted_at IS NULL
    ORDER BY email_key LIMIT $3";
/// In the collation "C" `lower` changes ASCII letters alone, on every server alike.
const BY_NAME: &str = "SELECT id FROM accounts WHERE lower(name COLLATE \"C\") >= $1 AND lower(name COLLATE \"C\") < $2
    AND deleted_at IS NULL ORDER BY lower(name COLLATE \"C\") LIMIT $3";

pub(super) async fn by_ids(session: &Session, ids: &[BuyerId]) -> Result<Vec<Account>, Failure> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    Ok(session.query(BY_IDS, &[&ids]).await?.iter().map(super::account).collect())
}

pub(super) async fn search(
    session: &Session,
    text: &str,
    email_hash: AddressHash,
    limit: u32,
) -> Result<Vec<BuyerId>, Failure> {
    let (key, name, limit) = (email_key(text), text.to_ascii_lowercase(), i64::from(limit));
    let (key_end, name_end) = (format!("{key}{LAST}"), format!("{name}{LAST}"));
    let (former, hash) = (former_email_key(text), &email_hash[..]);
    let exact: Params<'_> = &[&key, &former, &limit];
    let deleted: Params<'_> = &[&hash, &limit];
    let by_address: Params<'_> = &[&key, &key_end, &limit];
    let by_name: Params<'_> = &[&name, &name_end, &limit];
    let rows = tokio::try_join!(
        session.query(EXACT, exact),
        session.query(DELETED, deleted),
        session.query(BY_ADDRESS, by_address),
        session.query(BY_NAME, by_name),
    )?;
    let mut found = Vec::new();
    for row in [rows.0, rows.1, rows.2, rows.3].iter().flatten() {
        let id = BuyerId(row.get(0));
        if !found.contains(&id) && (found.len() as i64) < limit {
            found.push(id);
        }
    }
    Ok(found)
}
