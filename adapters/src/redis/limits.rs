//! Limits that all nodes keep together: the generic cell rate algorithm as a script, by Redis' own clock.
//!
//! `onsale:limit:{family}:{who}` holds when the next request would be due if all came evenly, in microseconds; it ends
//! by itself when that has passed, which is at most a window from now.

use crate::redis::Redis;
use onsale_engine::ports::shared::{Quota, SharedLimits, Verdict};
use onsale_engine::ports::{Later, StoreError};
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;

/// KEYS: the limit. ARGV: the interval of one request and the window, in microseconds. Answers how long to wait (0 is
/// allowed) and the time that it was decided by. Should the clock have been put back, nobody waits for it to return.
static SPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
        local due = tonumber(redis.call('GET', KEYS[1]) or now)
        if due < now or due > now + window + interval then due = now end
        local over = due + interval - now - window
        if over > 0 then return {math.ceil(over), now} end
        redis.call('SET', KEYS[1], string.format('%.0f', due + interval), 'PX', math.ceil((due + interval - now) / 1000))
        return {0, now}",
    )
});

/// KEYS: the limit. ARGV: the interval of one request, in microseconds. A limit that has ended by itself has nothing to give back.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local due = redis.call('GET', KEYS[1])
        if not due then return 0 end
        redis.call('SET', KEYS[1], string.format('%.0f', tonumber(due) - tonumber(ARGV[1])), 'KEEPTTL')
        return 1",
    )
});

impl Redis {
    /// Takes one request out of what `name` may ask; answers how long to wait, and when that was decided by Redis'
    /// clock, both in microseconds.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn spend_at(&self, name: &str, quota: Quota) -> Result<(u64, u64), StoreError> {
        let micros = |duration: Duration| duration.as_nanos() as f64 / 1000.0;
        let mut spend = SPEND.key(format!("onsale:limit:{name}"));
        spend.arg(micros(quota.interval())).arg(micros(quota.window));
        self.link.ask(|mut redis| async move { spend.invoke_async(&mut redis).await }).await
    }
}

impl SharedLimits for Redis {
    fn spend<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<Verdict, StoreError>> {
        Box::pin(async move {
            Ok(match self.spend_at(name, quota).await? {
                (0, _) => Verdict::Allowed,
                (wait, _) => Verdict::Refused { retry_after: Duration::from_micros(wait) },
            })
        })
    }

    fn give_back<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut give_back = GIVE_BACK.key(format!("onsale:limit:{name}"));
            give_back.arg(quota.interval().as_nanos() as f64 / 1000.0);
            let given: i64 = self.link.ask(|mut redis| async move { give_back.invoke_async(&mut redis).await }).await?;
            let _ = given;
            Ok(())
        })
    }
}
