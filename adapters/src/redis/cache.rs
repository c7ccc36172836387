//! The catalogue's cache: `onsale:cache:{what}:{id}` holds a value for as long as its reader says (empty: there is
//! no such thing), `onsale:cache:{what}:{id}:turn` who is reading it now. A change deletes both, so that what was read
//! before it is not kept after it, and notifies every node over `onsale:news`. Pages of events lie elsewhere: [`event_pages`].

use crate::redis::{Redis, event_pages, notifications};
use onsale_engine::ports::shared::{CacheKey, Described, Found, Notification, SharedCache};
use onsale_engine::ports::{Later, StoreError};
use redis::{FromRedisValue, Script, ScriptInvocation, Value};
use std::sync::LazyLock;
use std::time::Duration;

/// How long one reader is waited for before another one reads.
pub(super) const TURN_LIVES: Duration = Duration::from_secs(2);

/// KEYS: the value, the turn. ARGV: a new turn, its milliseconds. Answers the value, or 1 (read it), or 0 (wait).
static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local value = redis.call('GET', KEYS[1])
        if value then return value end
        if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
        return 0",
    )
});

/// KEYS: the value, the turn. ARGV: the turn, the value, its milliseconds. Keeps it if it is still this one's turn.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        redis.call('DEL', KEYS[2])
        return 1",
    )
});

fn keys(what: Described) -> [String; 2] {
    let value = match what {
        Described::Event(id) => format!("onsale:cache:event:{id}"),
        Described::Venue(id) => format!("onsale:cache:venue:{id}"),
        Described::Hall(id) => format!("onsale:cache:hall:{id}"),
    };
    let turn = format!("{value}:turn");
    [value, turn]
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn find_thing(what: Described, own_turn: u128) -> ScriptInvocation<'static> {
    let [value, turn] = keys(what);
    let mut find = FIND.key(value);
    find.key(turn).arg(own_turn.to_string()).arg(millis(TURN_LIVES));
    find
}

fn keep_thing(what: Described, own_turn: u128, bytes: &[u8], lives: Duration) -> ScriptInvocation<'static> {
    let [value, turn] = keys(what);
    let mut keep = KEEP.key(value);
    keep.key(turn).arg(own_turn.to_string()).arg(bytes).arg(millis(lives));
    keep
}

impl SharedCache for Redis {
    fn find(&self, key: CacheKey) -> Later<'_, Result<Found, StoreError>> {
        Box::pin(async move {
            let own = uuid::Uuid::new_v4().as_u128();
            let find = match key {
                CacheKey::Thing(what) => find_thing(what, own),
                CacheKey::EventPage(page) => event_pages::find(page, own),
            };
            let found = self.link.ask(|mut redis| async move { find.invoke_async::<Value>(&mut redis).await }).await?;
            if let Value::Int(turns) = found {
                return Ok(if turns == 1 { Found::Read { turn: own } } else { Found::Wait });
            }
            let value = Vec::from_redis_value(found).map_err(|error| StoreError(error.to_string()))?;
            Ok(Found::Value(value))
        })
    }

    fn keep<'a>(
        &'a self,
        key: CacheKey,
        turn: u128,
        value: &'a [u8],
        lives: Duration,
    ) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let keep = match key {
                CacheKey::Thing(what) => keep_thing(what, turn, value, lives),
                CacheKey::EventPage(page) => event_pages::keep(page, turn, value, lives),
            };
            self.link.ask(|mut redis| async move { keep.invoke_async(&mut redis).await }).await
        })
    }

    fn forget(&self, what: Described) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut all = redis::pipe();
            all.atomic().del(&keys(what)[..]).ignore();
            if what.is_in_event_lists() {
                all.del(event_pages::KEY).ignore();
            }
            all.publish(notifications::CHANNEL, notifications::written(Notification::Changed(what))).ignore();
            self.link.ask(|mut redis| async move { all.query_async::<()>(&mut redis).await }).await
        })
    }
}
