//! What nodes share, in memory: clones of one value are the nodes' ways to the same thing. It can go away, come back,
//! and lose everything.

use crate::id::{BuyerId, EventId, ReservationId};
use crate::ports::accounts::Revocation;
use crate::ports::shared::{
    CacheKey, Copies, Described, Found, HeldSeats, Listener, Notification, Notifications, Quota, SHARED_EVENT_PAGES,
    SaleCopy, SharedCache, SharedClaims, SharedLimits, Standing, Verdict,
};
use crate::ports::{Later, StoreError};
use crate::sale::SeatCounts;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a reader who says nothing more is waited for.
const TURN: Duration = Duration::from_secs(2);

/// Shared state in memory.
#[derive(Clone, Default)]
pub struct FakeShared {
    gone: Arc<AtomicBool>,
    kept: Arc<Mutex<Kept>>,
    listeners: Arc<Mutex<Vec<Listener>>>,
}

#[derive(Default)]
struct Kept {
    /// When the next request would be due if all came evenly.
    limits: HashMap<String, Instant>,
    claims: HashMap<BuyerId, EventId>,
    cached: HashMap<CacheKey, (Vec<u8>, Instant)>,
    turns: HashMap<CacheKey, (u128, Instant)>,
    next_turn: u128,
    copies: HashMap<EventId, Copied>,
    whole_since: bool,
}

/// A copy as its readers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Seats by their state.
    pub counts: SeatCounts,
    /// Everyone with a place.
    pub places: BTreeMap<BuyerId, Standing>,
    /// Pending holds.
    pub holds: BTreeMap<ReservationId, HeldSeats>,
}

impl FakeShared {
    /// Goes away, or comes back with what it had.
    pub fn go(&self, away: bool) {
        self.gone.store(away, Ordering::SeqCst);
        if !away {
            self.notify(Notification::Missed);
        }
    }

    /// Loses everything.
    pub fn wipe(&self) {
        *self.kept.lock() = Kept::default();
    }

    /// The copy of an event.
    #[must_use]
    pub fn copy(&self, event: EventId) -> Option<Copied> {
        self.kept.lock().copies.get(&event).cloned()
    }

    /// How many have a place in the copy of an event.
    #[must_use]
    pub fn places_of(&self, event: EventId) -> usize {
        self.kept.lock().copies.get(&event).map_or(0, |copy| copy.places.len())
    }

    /// Which event has the buyer.
    #[must_use]
    pub fn claimed(&self, buyer: BuyerId) -> Option<EventId> {
        self.kept.lock().claims.get(&buyer).copied()
    }

    fn reach(&self) -> Result<MutexGuard<'_, Kept>, StoreError> {
        if self.gone.load(Ordering::SeqCst) {
            Err(StoreError("a test made the fake unreachable".into()))
        } else {
            Ok(self.kept.lock())
        }
    }

    fn notify(&self, notification: Notification) {
        let listeners: Vec<Listener> = self.listeners.lock().clone();
        listeners.iter().for_each(|listener| listener(notification));
    }
}

impl SharedLimits for FakeShared {
    fn spend<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<Verdict, StoreError>> {
        Box::pin(async move {
            let (mut kept, now) = (self.reach()?, Instant::now());
            let due = kept.limits.get(name).copied().unwrap_or(now).max(now);
            let next = due + quota.interval();
            let over = (next - now).saturating_sub(quota.window);
            if !over.is_zero() {
                return Ok(Verdict::Refused { retry_after: over });
            }
            kept.limits.insert(name.to_owned(), next);
            Ok(Verdict::Allowed)
        })
    }

    fn give_back<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(due) = self.reach()?.limits.get_mut(name) {
                *due = due.checked_sub(quota.interval()).unwrap_or(*due);
            }
            Ok(())
        })
    }
}

impl SharedClaims for FakeShared {
    fn claim(&self, buyer: BuyerId, event: EventId, over: Option<EventId>) -> Later<'_, Result<EventId, StoreError>> {
        Box::pin(async move {
            let mut kept = self.reach()?;
            let holder = kept.claims.get(&buyer).copied().filter(|holder| Some(*holder) != over).unwrap_or(event);
            kept.claims.insert(buyer, holder);
            Ok(holder)
        })
    }

    fn release(&self, buyer: BuyerId, event: EventId) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut kept = self.reach()?;
            if kept.claims.get(&buyer) == Some(&event) {
                kept.claims.remove(&buyer);
            }
            Ok(())
        })
    }
}

impl Kept {
    fn forget_pages(&mut self) {
        self.cached.retain(|key, _| !is_page(key));
        self.turns.retain(|key, _| !is_page(key));
    }
}

fn is_page(key: &CacheKey) -> bool {
    matches!(key, CacheKey::EventPage(_))
}

impl SharedCache for FakeShared {
    fn find(&self, key: CacheKey) -> Later<'_, Result<Found, StoreError>> {
        Box::pin(async move {
            let (mut kept, now) = (self.reach()?, Instant::now());
            if let Some((value, until)) = kept.cached.get(&key)
                && *until > now
            {
                return Ok(Found::Value(value.clone()));
            }
            if kept.turns.get(&key).is_some_and(|(_, until)| *until > now) {
                return Ok(Found::Wait);
            }
            if is_page(&key) && kept.cached.keys().filter(|key| is_page(key)).count() >= SHARED_EVENT_PAGES {
                kept.forget_pages();
            }
            kept.next_turn += 1;
            let turn = kept.next_turn;
            kept.turns.insert(key, (turn, now + TURN));
            Ok(Found::Read { turn })
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
            let mut kept = self.reach()?;
            if kept.turns.get(&key).is_none_or(|(current, _)| *current != turn) {
                return Ok(false);
            }
            kept.turns.remove(&key);
            kept.cached.insert(key, (value.to_vec(), Instant::now() + lives));
            Ok(true)
        })
    }

    fn forget(&self, what: Described) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            {
                let mut kept = self.reach()?;
                kept.cached.remove(&CacheKey::from(what));
                kept.turns.remove(&CacheKey::from(what));
                if what.is_in_event_lists() {
                    kept.forget_pages();
                }
            }
            self.notify(Notification::Changed(what));
            Ok(())
        })
    }
}

impl Notifications for FakeShared {
    fn notify_revoked<'a>(&'a self, revoked: &'a [Revocation]) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            drop(self.reach()?);
            revoked.iter().for_each(|revocation| self.notify(Notification::Revoked(*revocation)));
            Ok(())
        })
    }

    fn listen(&self, listener: Listener) {
        self.listeners.lock().push(listener);
    }
}

impl Copies for FakeShared {
    fn write<'a>(&'a self, copies: &'a [SaleCopy]) -> Later<'a, Result<Vec<EventId>, StoreError>> {
        Box::pin(async move {
            let (mut kept, mut lost) = (self.reach()?, Vec::new());
            for copy in copies {
                if copy.retired {
                    kept.copies.remove(&copy.event);
                } else if copy.whole || kept.copies.contains_key(&copy.event) {
                    let copied = kept.copies.entry(copy.event).or_default();
                    if copy.whole {
                        *copied = Copied::default();
                    }
                    copied.take(copy);
                } else {
                    lost.push(copy.event);
                }
                for (buyer, standing) in copy.places.iter().filter(|_| copy.claims) {
                    if *standing != Standing::Gone {
                        kept.claims.insert(*buyer, copy.event);
                    } else if kept.claims.get(buyer) == Some(&copy.event) {
                        kept.claims.remove(buyer);
                    }
                }
            }
            Ok(lost)
        })
    }

    fn are_intact(&self) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(std::mem::replace(&mut self.reach()?.whole_since, true)) })
    }
}

impl Copied {
    fn take(&mut self, copy: &SaleCopy) {
        self.counts = copy.counts;
        for (buyer, standing) in &copy.places {
            match standing {
                Standing::Gone => drop(self.places.remove(buyer)),
                Standing::Waiting(_) | Standing::Active(..) => drop(self.places.insert(*buyer, *standing)),
            }
        }
        for (id, hold) in &copy.holds {
            match hold {
                Some(hold) => drop(self.holds.insert(*id, hold.clone())),
                None => drop(self.holds.remove(id)),
            }
        }
    }
}
