//! Finding accounts for operators in SQLite: by id, by an address, by the beginning of an address or a name. Every
//! statement is answered from an index and bounded. Only reads.

use super::super::library::{Failure, uuid_at};
use super::rows::{BY_ID, one};
use onsale_engine::email::{email_key, former_email_key};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, AddressHash};
use rusqlite::{Params, Row, Transaction};

/// Behind every text that begins with the same characters.
const LAST: char = char::MAX;

const EXACT: &str = "SELECT id FROM accounts WHERE email_key IN (?1, ?2) AND deleted_at IS NULL LIMIT ?3";
const DELETED: &str = "SELECT id FROM accounts WHERE email_hash = ?1 AND deleted_at IS NOT NULL LIMIT ?2";
const BY_ADDRESS: &str = "SELECT id FROM accounts WHERE email_key >= ?1 AND email_key < ?2 AND deleted_at IS NULL
    ORDER BY email_key LIMIT ?3";
/// SQLite's `lower` changes ASCII letters alone.
const BY_NAME: &str = "SELECT id FROM accounts WHERE lower(name) >= ?1 AND lower(name) < ?2 AND deleted_at IS NULL
    ORDER BY lower(name) LIMIT ?3";

/// The statements, for tests of their plans.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [EXACT, DELETED, BY_ADDRESS, BY_NAME];

pub(super) fn by_ids(transaction: &Transaction<'_>, ids: &[BuyerId]) -> Result<Vec<Account>, Failure> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(one(transaction, BY_ID, [id.0.into_bytes()])?);
    }
    Ok(found)
}

pub(super) fn search(
    transaction: &Transaction<'_>,
    text: &str,
    email_hash: AddressHash,
    limit: u32,
) -> Result<Vec<BuyerId>, Failure> {
    let (key, name) = (email_key(text), text.to_ascii_lowercase());
    let end = |beginning: &str| format!("{beginning}{LAST}");
    let mut found = Vec::new();
    add(transaction, &mut found, EXACT, (&key, former_email_key(text), limit))?;
    add(transaction, &mut found, DELETED, (email_hash, limit))?;
    add(transaction, &mut found, BY_ADDRESS, (&key, end(&key), limit))?;
    add(transaction, &mut found, BY_NAME, (&name, end(&name), limit))?;
    found.truncate(limit as usize);
    Ok(found)
}

fn add(
    transaction: &Transaction<'_>,
    found: &mut Vec<BuyerId>,
    sql: &'static str,
    params: impl Params,
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(sql)?;
    let ids = statement.query_map(params, |row: &Row<'_>| uuid_at(row, 0).map(BuyerId))?;
    for id in ids {
        let id = id?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sqlite::DataDir;

    /// No statement scans the accounts.
    #[test]
    fn every_search_is_answered_from_an_index() {
        let temp = tempfile::tempdir().unwrap();
        let connection = DataDir::open(temp.path()).unwrap().library().unwrap();
        for sql in STATEMENTS {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let count = statement.parameter_count();
            let plan = statement.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get::<_, String>(3));
            let plan: Vec<String> = plan.unwrap().collect::<Result<_, _>>().unwrap();
            assert!(plan.iter().all(|step| step.starts_with("SEARCH accounts USING")), "{sql}: {plan:?}");
        }
    }
}
