//! Pages of the list of events, all of them in one hash `onsale:cache:events`, so that a change of any event forgets them with
//! one `DEL` and their number can be bounded. Must never hold more than [`SHARED_EVENT_PAGES`] pages, nor one for longer than
//! its reader says.
//!
//! A page lies under its digest, and under `{digest}:turn` who is reading it now. Both begin with sixteen digits: until when they
//! hold, in microseconds of Redis' clock. (A field of a hash cannot expire by itself before Redis 7.4.)

use super::cache::TURN_LIVES;
use onsale_engine::ports::shared::SHARED_EVENT_PAGES;
use redis::{Script, ScriptInvocation};
use std::sync::LazyLock;
use std::time::Duration;

/// The hash.
pub(super) const KEY: &str = "onsale:cache:events";

/// KEYS: the hash. ARGV: the page, a new turn and its microseconds, how many fields the hash may have. Answers the page, or 1 (read
/// it), or 0 (wait).
static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local page, turn = ARGV[1], ARGV[1] .. ':turn'
        local kept = redis.call('HMGET', KEYS[1], page, turn)
        if kept[1] and tonumber(kept[1]:sub(1, 16)) > now then return kept[1]:sub(17) end
        if kept[2] and tonumber(kept[2]:sub(1, 16)) > now then return 0 end
        if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then redis.call('DEL', KEYS[1]) end
        redis.call('HSET', KEYS[1], turn, string.format('%016.0f', now + tonumber(ARGV[3])) .. ARGV[2])
        local lives = math.ceil(tonumber(ARGV[3]) / 1000)
        if redis.call('PTTL', KEYS[1]) < lives then redis.call('PEXPIRE', KEYS[1], lives) end
        return 1",
    )
});

/// KEYS: the hash. ARGV: the page, the turn, the value, its microseconds. Keeps it if it is still this one's turn; the hash lives
/// as long as the longest of its pages.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local page, turn = ARGV[1], ARGV[1] .. ':turn'
        local current = redis.call('HGET', KEYS[1], turn)
        if not current or tonumber(current:sub(1, 16)) <= now or current:sub(17) ~= ARGV[2] then return 0 end
        redis.call('HDEL', KEYS[1], turn)
        redis.call('HSET', KEYS[1], page, string.format('%016.0f', now + tonumber(ARGV[4])) .. ARGV[3])
        local lives = math.ceil(tonumber(ARGV[4]) / 1000)
        if redis.call('PTTL', KEYS[1]) < lives then redis.call('PEXPIRE', KEYS[1], lives) end
        return 1",
    )
});

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Finds a page; `turn` is what the caller reads it under if it is not there.
pub(super) fn find(page: u128, turn: u128) -> ScriptInvocation<'static> {
    let mut find = FIND.key(KEY);
    find.arg(format!("{page:032x}")).arg(turn.to_string()).arg(micros(TURN_LIVES)).arg(SHARED_EVENT_PAGES);
    find
}

/// Keeps a page that was read.
pub(super) fn keep(page: u128, turn: u128, value: &[u8], lives: Duration) -> ScriptInvocation<'static> {
    let mut keep = KEEP.key(KEY);
    keep.arg(format!("{page:032x}")).arg(turn.to_string()).arg(value).arg(micros(lives));
    keep
}
