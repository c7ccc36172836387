//! Answers remembered for idempotency keys, for routes that no sale owns: written with what they answer, in one
//! transaction, and forgotten after a day.

use super::library::Failure;
use onsale_engine::limits::KEY_REMEMBERED_FOR;
use onsale_engine::ports::StoredAnswer;
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Transaction};

/// Old answers thrown away with each new one.
const PRUNED_AT_ONCE: u32 = 100;

/// Remembers an answer. A key that another request has used meanwhile fails the whole transaction: who asks again is
/// given that one's answer.
pub(super) fn remember(transaction: &Transaction<'_>, answer: Option<&StoredAnswer>) -> Result<(), Failure> {
    let Some(answer) = answer else { return Ok(()) };
    let forgotten = (answer.at - KEY_REMEMBERED_FOR).0;
    transaction
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE scope IN (SELECT scope FROM idempotency_keys WHERE at <= ?1 ORDER BY at LIMIT ?2)
             OR (scope = ?3 AND at <= ?1)",
        )?
        .execute((forgotten, PRUNED_AT_ONCE, answer.scope.to_be_bytes()))?;
    let new = transaction
        .prepare_cached(
            "INSERT INTO idempotency_keys (scope, body, status, location, json, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (scope) DO NOTHING",
        )?
        .execute((
            answer.scope.to_be_bytes(),
            answer.body.to_be_bytes(),
            answer.status,
            &answer.location,
            &answer.json,
            answer.at.0,
        ))?;
    if new == 0 {
        return Err(Failure::new("another request is being answered under the same idempotency key"));
    }
    Ok(())
}

/// The answer of that scope, if it is younger than a day.
pub(super) fn recall(
    transaction: &Transaction<'_>,
    scope: u128,
    now: Timestamp,
) -> Result<Option<StoredAnswer>, Failure> {
    let forgotten = (now - KEY_REMEMBERED_FOR).0;
    let answer = transaction
        .prepare_cached("SELECT body, status, location, json, at FROM idempotency_keys WHERE scope = ?1 AND at > ?2")?
        .query_row((scope.to_be_bytes(), forgotten), |row| {
            Ok(StoredAnswer {
                scope,
                body: u128::from_be_bytes(row.get(0)?),
                status: row.get(1)?,
                location: row.get(2)?,
                json: row.get(3)?,
                at: Timestamp(row.get(4)?),
            })
        })
        .optional()?;
    Ok(answer)
}
