//! Sessions in Postgres: refresh families, the access tokens that came with them, and revocations. Every function is
//! one step inside the caller's transaction. What has expired is pruned a little with each write.

use super::super::failure::Failure;
use super::super::session::Session;
use super::super::values::At;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{IssuedTokens, Revocation, Rotation};
use onsale_engine::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

/// Expired rows of each kind thrown away with a write: more than a write adds.
const PRUNED_AT_ONCE: i64 = 20;
/// A session outlives its access tokens: a refresh token lasts longer than the access token beside it. Another node that
/// throws away at the same time takes other rows.
const PRUNE: &str = "WITH
    a AS (DELETE FROM access_tokens WHERE id IN (SELECT id FROM access_tokens
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)),
    b AS (DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)),
    c AS (DELETE FROM revocations WHERE access_id IN (SELECT access_id FROM revocations
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    DELETE FROM sessions WHERE family IN (SELECT family FROM sessions
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
const KEEP_TOKENS: &str = "WITH refresh AS (INSERT INTO refresh_tokens (hash, family, expires_at) VALUES ($1, $2, $3))
    INSERT INTO access_tokens (id, family, expires_at) VALUES ($4, $2, $5)";
/// Both rows locked: of two who spend the same token at the same time, the second finds it spent.
const KNOWN: &str = "SELECT s.family, s.buyer_id, t.expires_at <= $2, t.spent_at IS NOT NULL, s.ended_at IS NOT NULL,
        NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.id = s.buyer_id AND a.deleted_at IS NULL)
    FROM refresh_tokens AS t JOIN sessions AS s ON s.family = t.family WHERE t.hash = $1 FOR UPDATE OF s, t";
const SPEND: &str = "WITH spent AS (UPDATE refresh_tokens SET spent_at = $2 WHERE hash = $1)
    UPDATE sessions SET expires_at = greatest(expires_at, $4) WHERE family = $3";
const END: &str = "UPDATE sessions SET ended_at = $2 WHERE family = $1 AND ended_at IS NULL";
const REVOKE: &str =
    "INSERT INTO revocations (access_id, expires_at) SELECT * FROM UNNEST ($1::uuid[], $2::timestamptz[])
    ON CONFLICT (access_id) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at)";

pub(super) async fn open(session: &Session, tokens: &IssuedTokens, now: Timestamp) -> Result<(), Failure> {
    prune(session, now).await?;
    let insert = "INSERT INTO sessions (family, buyer_id, expires_at) VALUES ($1, $2, $3)";
    session.execute(insert, &[&tokens.family, &tokens.buyer.0, &At(tokens.refresh_expires_at)]).await?;
    keep_tokens(session, tokens).await
}

pub(super) async fn owner(session: &Session, refresh_hash: [u8; 32]) -> Result<Option<(BuyerId, Uuid)>, Failure> {
    let sql = "SELECT s.buyer_id, s.family FROM refresh_tokens AS t JOIN sessions AS s ON s.family = t.family
        WHERE t.hash = $1";
    let row = session.query_opt(sql, &[&&refresh_hash[..]]).await?;
    Ok(row.map(|row| (BuyerId(row.get(0)), row.get(1))))
}

pub(super) async fn rotate(
    session: &Session,
    spent: [u8; 32],
    next: &IssuedTokens,
    now: Timestamp,
) -> Result<Rotation, Failure> {
    let Some(row) = session.query_opt(KNOWN, &[&&spent[..], &At(now)]).await? else { return Ok(Rotation::Unknown) };
    let (family, buyer): (Uuid, Uuid) = (row.get(0), row.get(1));
    let (is_expired, is_spent, is_ended, is_deleted): (bool, bool, bool, bool) =
        (row.get(2), row.get(3), row.get(4), row.get(5));
    if is_expired || is_deleted || (family, buyer) != (next.family, next.buyer.0) {
        return Ok(Rotation::Unknown);
    }
    if is_spent {
        session.execute(END, &[&family, &At(now)]).await?;
        return Ok(Rotation::Reused);
    }
    if is_ended {
        return Ok(Rotation::Unknown);
    }
    prune(session, now).await?;
    session.execute(SPEND, &[&&spent[..], &At(now), &next.family, &At(next.refresh_expires_at)]).await?;
    keep_tokens(session, next).await?;
    Ok(Rotation::Rotated)
}

pub(super) async fn of_access_token(session: &Session, access_id: Uuid) -> Result<Option<Uuid>, Failure> {
    let row = session.query_opt("SELECT family FROM access_tokens WHERE id = $1", &[&access_id]).await?;
    Ok(row.map(|row| row.get(0)))
}

pub(super) async fn log_out(session: &Session, revocation: Revocation, now: Timestamp) -> Result<(), Failure> {
    prune(session, now).await?;
    if let Some(family) = of_access_token(session, revocation.access_id).await? {
        session.execute(END, &[&family, &At(now)]).await?;
    }
    revoke(session, &[revocation]).await
}

/// Ends every session of a buyer but `keep`, and revokes all access tokens that came with them.
pub(super) async fn end_all(
    session: &Session,
    buyer: BuyerId,
    keep: Option<Uuid>,
    now: Timestamp,
) -> Result<Vec<Revocation>, Failure> {
    // First: a refresh that is under way ends before its tokens are read.
    let lock = "SELECT family FROM sessions WHERE buyer_id = $1 ORDER BY family FOR UPDATE";
    session.query(lock, &[&buyer.0]).await?;
    // Also of sessions whose refreshing has ended before: their access tokens live on.
    let living = "SELECT a.id, a.expires_at FROM sessions AS s JOIN access_tokens AS a ON a.family = s.family
        WHERE s.buyer_id = $1 AND s.family IS DISTINCT FROM $2 AND a.expires_at > $3";
    let rows = session.query(living, &[&buyer.0, &keep, &At(now)]).await?;
    let revocations: Vec<Revocation> = rows.iter().map(revocation).collect();
    revoke(session, &revocations).await?;
    let end = "UPDATE sessions SET ended_at = $3
        WHERE buyer_id = $1 AND family IS DISTINCT FROM $2 AND ended_at IS NULL";
    session.execute(end, &[&buyer.0, &keep, &At(now)]).await?;
    Ok(revocations)
}

pub(super) async fn revocations(session: &Session, now: Timestamp) -> Result<Vec<Revocation>, Failure> {
    let rows =
        session.query("SELECT access_id, expires_at FROM revocations WHERE expires_at > $1", &[&At(now)]).await?;
    Ok(rows.iter().map(revocation).collect())
}

fn revocation(row: &Row) -> Revocation {
    Revocation { access_id: row.get(0), until: row.get::<_, At>(1).0 }
}

async fn keep_tokens(session: &Session, tokens: &IssuedTokens) -> Result<(), Failure> {
    let hash = &tokens.refresh_hash[..];
    let (refresh_until, access_until) = (At(tokens.refresh_expires_at), At(tokens.access_expires_at));
    session.execute(KEEP_TOKENS, &[&hash, &tokens.family, &refresh_until, &tokens.access_id, &access_until]).await?;
    Ok(())
}

async fn revoke(session: &Session, revocations: &[Revocation]) -> Result<(), Failure> {
    if revocations.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = revocations.iter().map(|one| one.access_id).collect();
    let ends: Vec<At> = revocations.iter().map(|one| At(one.until)).collect();
    session.execute(REVOKE, &[&ids, &ends]).await?;
    Ok(())
}

async fn prune(session: &Session, now: Timestamp) -> Result<(), Failure> {
    session.execute(PRUNE, &[&At(now), &PRUNED_AT_ONCE]).await?;
    Ok(())
}
