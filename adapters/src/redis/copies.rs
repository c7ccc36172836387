//! Copies of sales, written behind by the owner of each event:
//!
//! - `onsale:queue:{event}`: sorted set of the buyers who wait, by their ordinals;
//! - `onsale:active:{event}`: hash from buyers who shop to `{"slot", "expiresAt"}`; past that a pending hold keeps the place;
//! - `onsale:holds:{event}`: hash from reservations to `{"buyerId", "seatIds", "expiresAt"}`;
//! - `onsale:counts:{event}`: hash of seats and buyers by their state, `version` (the last fact) and `generation`.
//!
//! A copy is whole while `generation` stands in its counts; it names who has written it whole. Each lives an hour and
//! is rewritten long before. Must never be read to decide anything about seats or places.

use crate::redis::Redis;
use crate::redis::claims;
use onsale_engine::id::{BuyerId, EventId, ReservationId};
use onsale_engine::limits::COPIES_LIVE;
use onsale_engine::ports::shared::{Copies, HeldSeats, SaleCopy, Standing};
use onsale_engine::ports::{Later, StoreError};
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use redis::Pipeline;
use uuid::Uuid;

/// Commands of one journey.
const CHUNK: usize = 2000;
/// Events of one journey.
const EVENTS: usize = 100;

/// Which writing of everything this process is at, and on which server.
pub(super) struct Generation {
    /// Of this process.
    id: Uuid,
    /// The server's own name for its run, which a restart changes.
    run: Mutex<String>,
}

impl Default for Generation {
    fn default() -> Self {
        Self { id: Uuid::new_v4(), run: Mutex::default() }
    }
}

/// The keys of one event's copy.
struct Keys {
    queue: String,
    active: String,
    holds: String,
    counts: String,
}

impl Keys {
    fn of(event: EventId) -> Self {
        let key = |kind: &str| format!("onsale:{kind}:{event}");
        Self { queue: key("queue"), active: key("active"), holds: key("holds"), counts: key("counts") }
    }

    /// Those of a copy that is being written whole, which take the place of the others when it is.
    fn next(&self) -> Self {
        let next = |key: &String| format!("{key}:next");
        Self { queue: next(&self.queue), active: next(&self.active), holds: next(&self.holds), counts: String::new() }
    }
}

fn seconds() -> i64 {
    i64::try_from(COPIES_LIVE.as_secs()).unwrap_or(i64::MAX)
}

fn rfc3339(at: Timestamp) -> String {
    crate::rfc3339::write(at).unwrap_or_default()
}

impl Copies for Redis {
    fn write<'a>(&'a self, copies: &'a [SaleCopy]) -> Later<'a, Result<Vec<EventId>, StoreError>> {
        Box::pin(async move {
            let mut lost = Vec::new();
            let parts: Vec<&SaleCopy> = copies.iter().filter(|copy| !copy.whole && !copy.retired).collect();
            for parts in parts.chunks(EVENTS) {
                lost.extend(self.write_parts(parts).await?);
            }
            for copy in copies.iter().filter(|copy| copy.whole && !copy.retired) {
                self.write_whole(copy).await?;
            }
            for copy in copies.iter().filter(|copy| copy.retired) {
                let Keys { queue, active, holds, counts } = Keys::of(copy.event);
                let mut gone = redis::pipe();
                gone.del(&[queue, active, holds, counts][..]).ignore();
                self.journey(gone).await?;
            }
            Ok(lost)
        })
    }

    fn are_intact(&self) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut read = redis::pipe();
            let node = format!("onsale:node:{}", self.generation.id);
            read.cmd("SET").arg(node).arg(1).arg("EX").arg(seconds()).arg("GET");
            read.cmd("INFO").arg("server");
            let ask = |mut redis| async move { read.query_async::<(Option<String>, String)>(&mut redis).await };
            let (kept, info) = self.link.send(ask).await?;
            let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or("").trim().to_owned();
            let same = std::mem::replace(&mut *self.generation.run.lock(), run.clone()) == run;
            Ok(kept.is_some() && same)
        })
    }
}

impl Redis {
    async fn journey(&self, pipe: Pipeline) -> Result<(), StoreError> {
        self.link.send(|mut redis| async move { pipe.query_async::<()>(&mut redis).await }).await
    }

    /// Writes what has changed of some events; answers those whose copy was not whole before.
    async fn write_parts(&self, copies: &[&SaleCopy]) -> Result<Vec<EventId>, StoreError> {
        let mut first = redis::pipe();
        for copy in copies {
            first.hget(Keys::of(copy.event).counts, "generation");
        }
        let mut chunked = Chunked::of(first);
        for copy in copies {
            let keys = Keys::of(copy.event);
            chunked.claims(copy);
            for (buyer, standing) in &copy.places {
                chunked.place(&keys, *buyer, *standing, true);
            }
            for (id, hold) in &copy.holds {
                chunked.hold(&keys, *id, hold.as_ref());
            }
            chunked.counts(&keys, copy, None);
        }
        // What is first is asked first, so the answer is how things stood before this write.
        let mut chunks = chunked.chunks.into_iter();
        let first = chunks.next().unwrap_or_else(redis::pipe);
        let ask = |mut redis| async move { first.query_async::<Vec<Option<String>>>(&mut redis).await };
        let generations = self.link.send(ask).await?;
        for chunk in chunks {
            self.journey(chunk).await?;
        }
        let own = self.generation.id.to_string();
        let stood = copies.iter().zip(generations);
        Ok(stood.filter(|(_, found)| found.as_deref() != Some(&own)).map(|(copy, _)| copy.event).collect())
    }

    /// Writes everything of an event beside what is there, then puts it in its place at once.
    async fn write_whole(&self, copy: &SaleCopy) -> Result<(), StoreError> {
        let keys = Keys::of(copy.event);
        let next = keys.next();
        let mut first = redis::pipe();
        first.del(&[&next.queue, &next.active, &next.holds][..]).ignore();
        let mut chunked = Chunked::of(first);
        chunked.claims(copy);
        let mut there = [false; 3];
        for (buyer, standing) in &copy.places {
            chunked.place(&next, *buyer, *standing, false);
            match standing {
                Standing::Waiting(_) => chunked.lives(&next.queue, &mut there[0]),
                Standing::Active(..) => chunked.lives(&next.active, &mut there[1]),
                Standing::Gone => {}
            }
        }
        for (id, hold) in &copy.holds {
            chunked.hold(&next, *id, hold.as_ref());
            if hold.is_some() {
                chunked.lives(&next.holds, &mut there[2]);
            }
        }
        for chunk in chunked.chunks {
            self.journey(chunk).await?;
        }
        let mut last = Chunked::of(redis::pipe());
        last.chunk().atomic();
        let pairs = [(&keys.queue, &next.queue), (&keys.active, &next.active), (&keys.holds, &next.holds)];
        for ((old, new), there) in pairs.into_iter().zip(there) {
            match there {
                true => last.chunk().rename(new, old).ignore(),
                false => last.chunk().del(old).ignore(),
            };
        }
        last.chunk().del(&keys.counts).ignore();
        last.counts(&keys, copy, Some(self.generation.id));
        for chunk in last.chunks {
            self.journey(chunk).await?;
        }
        Ok(())
    }
}

/// Commands in journeys of bounded length.
struct Chunked {
    chunks: Vec<Pipeline>,
}

impl Chunked {
    fn of(first: Pipeline) -> Self {
        Self { chunks: vec![first] }
    }

    /// Where the next commands go; a few commands beyond the bound are no harm.
    fn chunk(&mut self) -> &mut Pipeline {
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(redis::pipe());
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// A key that has just been made lives as long as every other, should this process not come to its end.
    fn lives(&mut self, key: &str, known: &mut bool) {
        if !std::mem::replace(known, true) {
            self.chunk().expire(key, seconds()).ignore();
        }
    }

    /// Buyers with a place are claimed by its event, others are not any more.
    fn claims(&mut self, copy: &SaleCopy) {
        let event = copy.event.to_string();
        for (buyer, standing) in copy.places.iter().filter(|_| copy.claims) {
            let key = claims::key(*buyer);
            match standing {
                Standing::Gone => {
                    self.chunk().cmd("EVAL").arg(claims::RELEASE).arg(1).arg(key).arg(&event).ignore();
                }
                Standing::Waiting(_) | Standing::Active(..) => {
                    self.chunk().cmd("SET").arg(key).arg(&event).arg("PX").arg(claims::lives()).ignore();
                }
            }
        }
    }

    /// A place; where it may have stood otherwise before, that is taken away.
    fn place(&mut self, keys: &Keys, buyer: BuyerId, standing: Standing, moved: bool) {
        let (chunk, buyer) = (self.chunk(), buyer.to_string());
        match standing {
            Standing::Waiting(ordinal) => {
                chunk.zadd(&keys.queue, &buyer, ordinal.0).ignore();
            }
            Standing::Active(slot, until) => {
                let value = serde_json::json!({ "slot": slot.0, "expiresAt": rfc3339(until) });
                chunk.hset(&keys.active, &buyer, value.to_string()).ignore();
            }
            Standing::Gone => {}
        }
        if moved && !matches!(standing, Standing::Waiting(_)) {
            chunk.zrem(&keys.queue, &buyer).ignore();
        }
        if moved && !matches!(standing, Standing::Active(..)) {
            chunk.hdel(&keys.active, &buyer).ignore();
        }
    }

    fn hold(&mut self, keys: &Keys, id: ReservationId, hold: Option<&HeldSeats>) {
        let (chunk, id) = (self.chunk(), id.to_string());
        match hold {
            Some(HeldSeats { buyer, seats, expires_at }) => {
                let (buyer, until) = (buyer.to_string(), rfc3339(*expires_at));
                let value = serde_json::json!({ "buyerId": buyer, "seatIds": seats, "expiresAt": until });
                chunk.hset(&keys.holds, id, value.to_string()).ignore();
            }
            None => {
                chunk.hdel(&keys.holds, id).ignore();
            }
        }
    }

    fn counts(&mut self, keys: &Keys, copy: &SaleCopy, generation: Option<Uuid>) {
        let chunk = self.chunk();
        let mut fields = vec![
            ("total", copy.counts.total.to_string()),
            ("available", copy.counts.available.to_string()),
            ("held", copy.counts.held.to_string()),
            ("sold", copy.counts.sold.to_string()),
            ("blocked", copy.counts.blocked.to_string()),
            ("waiting", copy.waiting.to_string()),
            ("active", copy.active.to_string()),
            ("admittedTotal", copy.admitted_total.to_string()),
            ("version", copy.seq.0.to_string()),
        ];
        fields.extend(generation.map(|generation| ("generation", generation.to_string())));
        chunk.hset_multiple(&keys.counts, &fields).ignore();
        for key in [&keys.queue, &keys.active, &keys.holds, &keys.counts] {
            chunk.expire(key, seconds()).ignore();
        }
    }
}
