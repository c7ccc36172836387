//! Answers remembered for idempotency keys, for routes that no sale owns: written with what they answer, in one
//! transaction, and forgotten after a day.

use super::failure::Failure;
use super::session::Session;
use super::values::At;
use onsale_engine::limits::KEY_REMEMBERED_FOR;
use onsale_engine::ports::StoredAnswer;
use onsale_engine::time::Timestamp;
use uuid::Uuid;

/// Old answers thrown away with each new one.
const PRUNED_AT_ONCE: i64 = 100;
/// Another node that deletes at the same time takes other rows.
const PRUNE: &str = "DELETE FROM idempotency_keys WHERE (scope = $3 AND at <= $1) OR scope IN
    (SELECT scope FROM idempotency_keys WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
const REMEMBER: &str = "INSERT INTO idempotency_keys (scope, body, status, location, json, at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope) DO NOTHING";
const RECALL: &str = "SELECT body, status, location, json, at FROM idempotency_keys WHERE scope = $1 AND at > $2";

/// Remembers an answer. A key that another request has used meanwhile fails the whole transaction: who asks again is
/// given that one's answer.
pub(super) async fn remember(session: &Session, answer: Option<&StoredAnswer>) -> Result<(), Failure> {
    let Some(answer) = answer else { return Ok(()) };
    let (scope, body) = (Uuid::from_u128(answer.scope), Uuid::from_u128(answer.body));
    let forgotten = At(answer.at - KEY_REMEMBERED_FOR);
    session.execute(PRUNE, &[&forgotten, &PRUNED_AT_ONCE, &scope]).await?;
    let (status, at) = (i32::from(answer.status), At(answer.at));
    let new = session.execute(REMEMBER, &[&scope, &body, &status, &answer.location, &answer.json, &at]).await?;
    if new == 0 {
        return Err(Failure::new("another request is being answered under the same idempotency key"));
    }
    Ok(())
}

/// The answer of that scope, if it is younger than a day.
pub(super) async fn recall(session: &Session, scope: u128, now: Timestamp) -> Result<Option<StoredAnswer>, Failure> {
    let forgotten = At(now - KEY_REMEMBERED_FOR);
    let row = session.query_opt(RECALL, &[&Uuid::from_u128(scope), &forgotten]).await?;
    Ok(row.map(|row| StoredAnswer {
        scope,
        body: row.get::<_, Uuid>(0).as_u128(),
        status: u16::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
        location: row.get(2),
        json: row.get(3),
        at: row.get::<_, At>(4).0,
    }))
}
