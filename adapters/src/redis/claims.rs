//! Which event has each buyer: `onsale:claim:{buyer}` holds the event's id. A claim that is not renewed ends by
//! itself, so one that was never given back holds its buyer up for an hour at most.

use crate::redis::Redis;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::limits::COPIES_LIVE;
use onsale_engine::ports::shared::SharedClaims;
use onsale_engine::ports::{Later, StoreError};
use redis::Script;
use std::sync::LazyLock;
use uuid::Uuid;

/// KEYS: the claim. ARGV: the event, one that does not count, milliseconds. Answers whose the buyer is.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] and holder ~= ARGV[2] then return holder end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
        return ARGV[1]",
    )
});

/// KEYS: the claim. ARGV: the event. Deletes the claim if it is the event's.
pub(super) const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// The key of a buyer's claim.
pub(super) fn key(buyer: BuyerId) -> String {
    format!("onsale:claim:{buyer}")
}

/// How long a claim lives, in milliseconds.
pub(super) fn lives() -> u64 {
    u64::try_from(COPIES_LIVE.as_millis()).unwrap_or(u64::MAX)
}

impl SharedClaims for Redis {
    fn claim(&self, buyer: BuyerId, event: EventId, over: Option<EventId>) -> Later<'_, Result<EventId, StoreError>> {
        Box::pin(async move {
            let mut claim = CLAIM.key(key(buyer));
            claim.arg(event.to_string()).arg(over.map_or_else(String::new, |over| over.to_string())).arg(lives());
            let ask = |mut redis| async move { claim.invoke_async::<String>(&mut redis).await };
            let holder = self.link.ask(ask).await?;
            // What somebody else has written there claims nobody.
            Ok(Uuid::try_parse(&holder).map_or(event, EventId))
        })
    }

    fn release(&self, buyer: BuyerId, event: EventId) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut release = redis::cmd("EVAL");
            release.arg(RELEASE).arg(1).arg(key(buyer)).arg(event.to_string());
            self.link.ask(|mut redis| async move { release.query_async::<()>(&mut redis).await }).await
        })
    }
}
