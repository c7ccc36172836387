//! Sessions in SQLite: refresh families, the access tokens that came with them, and revocations. Every function is
//! one step inside the caller's transaction. What has expired is pruned a little with each write.

use super::super::library::{Failure, uuid_at};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{IssuedTokens, Revocation, Rotation};
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Transaction};
use uuid::Uuid;

/// Expired rows of each kind thrown away with a write: more than a write adds.
const PRUNED_AT_ONCE: u32 = 20;

pub(super) fn open(transaction: &Transaction<'_>, tokens: &IssuedTokens, now: Timestamp) -> Result<(), Failure> {
    prune(transaction, now)?;
    transaction
        .prepare_cached("INSERT INTO sessions (family, buyer_id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute((tokens.family.into_bytes(), tokens.buyer.0.into_bytes(), tokens.refresh_expires_at.0))?;
    keep_tokens(transaction, tokens)
}

pub(super) fn owner(transaction: &Transaction<'_>, refresh_hash: [u8; 32]) -> Result<Option<(BuyerId, Uuid)>, Failure> {
    let owner = transaction
        .prepare_cached(
            "SELECT s.buyer_id, s.family FROM refresh_tokens t JOIN sessions s ON s.family = t.family WHERE t.hash = ?1",
        )?
        .query_row([refresh_hash], |row| Ok((BuyerId(uuid_at(row, 0)?), uuid_at(row, 1)?)))
        .optional()?;
    Ok(owner)
}

/// What is known of a refresh token.
struct Known {
    family: Uuid,
    buyer: BuyerId,
    is_expired: bool,
    is_spent: bool,
    is_ended: bool,
    is_deleted: bool,
}

pub(super) fn rotate(
    transaction: &Transaction<'_>,
    spent: [u8; 32],
    next: &IssuedTokens,
    now: Timestamp,
) -> Result<Rotation, Failure> {
    let Some(known) = known(transaction, spent, now)? else { return Ok(Rotation::Unknown) };
    let is_ours = (known.family, known.buyer) == (next.family, next.buyer);
    if known.is_expired || known.is_deleted || !is_ours {
        return Ok(Rotation::Unknown);
    }
    if known.is_spent {
        end(transaction, known.family, now)?;
        return Ok(Rotation::Reused);
    }
    if known.is_ended {
        return Ok(Rotation::Unknown);
    }
    prune(transaction, now)?;
    transaction.prepare_cached("UPDATE refresh_tokens SET spent_at = ?2 WHERE hash = ?1")?.execute((spent, now.0))?;
    transaction
        .prepare_cached("UPDATE sessions SET expires_at = max(expires_at, ?2) WHERE family = ?1")?
        .execute((next.family.into_bytes(), next.refresh_expires_at.0))?;
    keep_tokens(transaction, next)?;
    Ok(Rotation::Rotated)
}

fn known(transaction: &Transaction<'_>, refresh_hash: [u8; 32], now: Timestamp) -> Result<Option<Known>, Failure> {
    let known = transaction
        .prepare_cached(
            "SELECT s.family, s.buyer_id, t.expires_at <= ?2, t.spent_at IS NOT NULL, s.ended_at IS NOT NULL,
                    NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = s.buyer_id AND a.deleted_at IS NULL)
             FROM refresh_tokens t JOIN sessions s ON s.family = t.family WHERE t.hash = ?1",
        )?
        .query_row((refresh_hash, now.0), |row| {
            Ok(Known {
                family: uuid_at(row, 0)?,
                buyer: BuyerId(uuid_at(row, 1)?),
                is_expired: row.get(2)?,
                is_spent: row.get(3)?,
                is_ended: row.get(4)?,
                is_deleted: row.get(5)?,
            })
        })
        .optional()?;
    Ok(known)
}

pub(super) fn of_access_token(transaction: &Transaction<'_>, access_id: Uuid) -> Result<Option<Uuid>, Failure> {
    let family = transaction
        .prepare_cached("SELECT family FROM access_tokens WHERE id = ?1")?
        .query_row([access_id.into_bytes()], |row| uuid_at(row, 0))
        .optional()?;
    Ok(family)
}

pub(super) fn log_out(transaction: &Transaction<'_>, revocation: Revocation, now: Timestamp) -> Result<(), Failure> {
    prune(transaction, now)?;
    if let Some(family) = of_access_token(transaction, revocation.access_id)? {
        end(transaction, family, now)?;
    }
    revoke(transaction, revocation)
}

/// Ends every session of a buyer but `keep`, and revokes all access tokens that came with them.
pub(super) fn end_all(
    transaction: &Transaction<'_>,
    buyer: BuyerId,
    keep: Option<Uuid>,
    now: Timestamp,
) -> Result<Vec<Revocation>, Failure> {
    let (buyer, keep) = (buyer.0.into_bytes(), keep.map(Uuid::into_bytes));
    // Also of sessions whose refreshing has ended before: their access tokens live on.
    let revocations = transaction
        .prepare_cached(
            "SELECT a.id, a.expires_at FROM sessions s JOIN access_tokens a ON a.family = s.family
             WHERE s.buyer_id = ?1 AND s.family IS NOT ?2 AND a.expires_at > ?3",
        )?
        .query_map((buyer, keep, now.0), |row| {
            Ok(Revocation { access_id: uuid_at(row, 0)?, until: Timestamp(row.get(1)?) })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for revocation in &revocations {
        revoke(transaction, *revocation)?;
    }
    transaction
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?3 WHERE buyer_id = ?1 AND family IS NOT ?2 AND ended_at IS NULL",
        )?
        .execute((buyer, keep, now.0))?;
    Ok(revocations)
}

pub(super) fn revocations(transaction: &Transaction<'_>, now: Timestamp) -> Result<Vec<Revocation>, Failure> {
    let revocations = transaction
        .prepare_cached("SELECT access_id, expires_at FROM revocations WHERE expires_at > ?1")?
        .query_map([now.0], |row| Ok(Revocation { access_id: uuid_at(row, 0)?, until: Timestamp(row.get(1)?) }))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(revocations)
}

fn keep_tokens(transaction: &Transaction<'_>, tokens: &IssuedTokens) -> Result<(), Failure> {
    let family = tokens.family.into_bytes();
    transaction
        .prepare_cached("INSERT INTO refresh_tokens (hash, family, expires_at) VALUES (?1, ?2, ?3)")?
        .execute((tokens.refresh_hash, family, tokens.refresh_expires_at.0))?;
    transaction.prepare_cached("INSERT INTO access_tokens (id, family, expires_at) VALUES (?1, ?2, ?3)")?.execute((
        tokens.access_id.into_bytes(),
        family,
        tokens.access_expires_at.0,
    ))?;
    Ok(())
}

/// Ends a family's refresh tokens; its access tokens live on.
fn end(transaction: &Transaction<'_>, family: Uuid, now: Timestamp) -> Result<(), Failure> {
    transaction
        .prepare_cached("UPDATE sessions SET ended_at = ?2 WHERE family = ?1 AND ended_at IS NULL")?
        .execute((family.into_bytes(), now.0))?;
    Ok(())
}

fn revoke(transaction: &Transaction<'_>, revocation: Revocation) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO revocations (access_id, expires_at) VALUES (?1, ?2)
             ON CONFLICT (access_id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        )?
        .execute((revocation.access_id.into_bytes(), revocation.until.0))?;
    Ok(())
}

/// A session outlives its access tokens: a refresh token lasts longer than the access token beside it.
fn prune(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Failure> {
    for (table, key) in
        [("access_tokens", "id"), ("refresh_tokens", "hash"), ("revocations", "access_id"), ("sessions", "family")]
    {
        transaction
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE {key} IN
                 (SELECT {key} FROM {table} WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)"
            ))?
            .execute((now.0, PRUNED_AT_ONCE))?;
    }
    Ok(())
}
