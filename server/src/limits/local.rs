//! A limit that this process keeps by itself: GCRA by the `governor` crate, over a bounded table of states. Must never
//! wait, and never refuse a request because the table is full.

use governor::clock::{Clock, MonotonicClock};
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota as Rate, RateLimiter};
use onsale_engine::ports::shared::{Quota, Verdict};
use onsale_engine::shared_map::SharedMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Whose requests are counted together: a buyer, or an address.
pub type Who = u128;

/// Buyers or addresses remembered for one family, about 60 bytes each; beyond them newcomers are let through uncounted
/// until others are forgotten.
const MAX_REMEMBERED: usize = 1 << 20;

/// Whether a permit is taken, or only checked for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Ask {
    Spend(Who),
    Look(Who),
}

/// A limit for each of many.
pub struct OwnLimit<C: Clock = MonotonicClock> {
    limiter: RateLimiter<Ask, SharedStates, C, governor::middleware::NoOpMiddleware<C::Instant>>,
    requests: u32,
    /// What one request moves a state by.
    interval: Nanos,
    states: SharedStates,
}

impl OwnLimit {
    /// A limit in real time.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::with(quota, MonotonicClock, MAX_REMEMBERED)
    }
}

impl<C: Clock> OwnLimit<C> {
    fn with(quota: Quota, clock: C, room: usize) -> Self {
        // A window is at least a second and a count at most a million, so the interval is never zero.
        let rate = Rate::with_period(quota.interval()).unwrap_or(Rate::per_second(quota.requests));
        let states = SharedStates(Arc::new(States {
            by_who: SharedMap::default(),
            kept: AtomicUsize::new(0),
            room,
            uncounted: AtomicU64::new(0),
        }));
        let interval = Nanos::from(rate.replenish_interval());
        let limiter = RateLimiter::new(rate.allow_burst(quota.requests), states.clone(), clock);
        Self { limiter, requests: quota.requests.get(), interval, states }
    }

    /// Takes one request out of what `who` may ask.
    pub fn spend(&self, who: Who) -> Verdict {
        self.check(&Ask::Spend(who))
    }

    /// Gives back one request that was taken.
    pub fn give_back(&self, who: Who) {
        if let Some(state) = self.states.0.by_who.get(&who) {
            let earlier = |at: Option<Nanos>| Ok::<_, ()>(((), at.unwrap_or_default().saturating_sub(self.interval)));
            let _ = state.measure_and_replace(&NotKeyed::NonKey, earlier);
        }
    }

    /// Whether `who` may ask; takes nothing.
    pub fn look(&self, who: Who) -> Verdict {
        self.check(&Ask::Look(who))
    }

    /// Takes everything that `who` may still ask.
    pub fn spend_all(&self, who: Who) {
        let taken = (0..self.requests).take_while(|_| self.spend(who) == Verdict::Allowed);
        taken.for_each(drop);
    }

    fn check(&self, ask: &Ask) -> Verdict {
        match self.limiter.check_key(ask) {
            Ok(()) => Verdict::Allowed,
            Err(until) => Verdict::Refused { retry_after: until.wait_time_from(self.limiter.clock().now()) },
        }
    }

    /// Forgets those who may ask for everything again; answers how many are left.
    pub fn forget_idle(&self) -> usize {
        self.limiter.retain_recent();
        self.limiter.len()
    }

    /// Requests that were let through uncounted, because the table was full.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.states.0.uncounted.load(Ordering::Relaxed)
    }
}

/// One GCRA state for each who has asked lately.
struct States {
    by_who: SharedMap<Who, InMemoryState>,
    kept: AtomicUsize,
    room: usize,
    uncounted: AtomicU64,
}

/// The states as the limiter has them, shared because it lends them to nobody.
#[derive(Clone)]
struct SharedStates(Arc<States>);

impl StateStore for SharedStates {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let this = &*self.0;
        let who = match ask {
            Ask::Spend(who) => who,
            Ask::Look(who) => {
                let at = this.by_who.get(who).and_then(|state| arrival(&state));
                return decide(at).map(|(allowed, _)| allowed);
            }
        };
        if let Some(state) = this.by_who.get(who) {
            return state.measure_and_replace(&NotKeyed::NonKey, decide);
        }
        if this.kept.load(Ordering::Relaxed) >= this.room {
            this.uncounted.fetch_add(1, Ordering::Relaxed);
            return decide(None).map(|(allowed, _)| allowed);
        }
        let state = this.by_who.entry(*who).or_insert_with(|| {
            this.kept.fetch_add(1, Ordering::Relaxed);
            InMemoryState::default()
        });
        state.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// Reads a state without changing it: an `Err` leaves it as it is and carries the result out.
fn arrival(state: &InMemoryState) -> Option<Nanos> {
    state.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>).err().flatten()
}

impl ShrinkableKeyedStateStore<Ask> for SharedStates {
    fn retain_recent(&self, drop_below: Nanos) {
        let states = &*self.0;
        states.by_who.retain(|_, state| arrival(state).is_some_and(|at| at > drop_below));
        states.by_who.shrink_to_fit();
        states.kept.store(states.by_who.len(), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.0.kept.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use governor::clock::FakeRelativeClock;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn quota(requests: u32, seconds: u64) -> Quota {
        Quota { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) }
    }

    /// The naive form: a bucket of tokens for each, filled little by little.
    #[derive(Default)]
    struct Buckets(HashMap<Who, (f64, f64)>);

    impl Buckets {
        /// Whether it is allowed, and how far from the boundary that was, in tokens.
        fn spend(&mut self, quota: Quota, who: Who, now: f64) -> (bool, f64) {
            let full = f64::from(quota.requests.get());
            let (tokens, at) = self.0.entry(who).or_insert((full, now));
            *tokens = (*tokens + (now - *at) * full / quota.window.as_secs_f64()).min(full);
            *at = now;
            let allowed = *tokens >= 1.0 - 1e-6;
            let margin = (*tokens - 1.0).abs();
            if allowed {
                *tokens -= 1.0;
            }
            (allowed, margin)
        }
    }

    #[test]
    fn it_decides_as_a_bucket_of_tokens_does() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let quota = quota(random.random_range(1..20), random.random_range(1..30));
            // Three together ask for somewhat more than each may.
            let longest = u64::try_from(quota.interval().as_micros()).unwrap() / 2;
            let clock = FakeRelativeClock::default();
            let limit = OwnLimit::with(quota, clock.clone(), 100);
            let (mut naive, mut now, mut refused) = (Buckets::default(), 0.0, 0);
            for step in 0..2000 {
                let pause = Duration::from_micros(random.random_range(0..=longest));
                clock.advance(pause);
                now += pause.as_secs_f64();
                if random.random_ratio(1, 50) {
                    limit.forget_idle();
                }
                let who = random.random_range(0..3);
                let (expected, margin) = naive.spend(quota, who, now);
                let actual = limit.spend(who);
                if margin > 1e-4 {
                    assert_eq!(actual == Verdict::Allowed, expected, "seed {seed} step {step} {quota:?}");
                }
                refused += u32::from(actual != Verdict::Allowed);
            }
            assert!(refused > 0, "seed {seed} never refused {quota:?}");
        }
    }

    #[test]
    fn who_waits_for_retry_after_is_let_through_and_not_before() {
        let clock = FakeRelativeClock::default();
        let limit = OwnLimit::with(quota(3, 30), clock.clone(), 100);
        for _ in 0..3 {
            assert_eq!(limit.spend(7), Verdict::Allowed);
        }
        let Verdict::Refused { retry_after } = limit.spend(7) else { panic!("the fourth is too many") };
        assert_eq!(retry_after, Duration::from_secs(10));
        assert_eq!(limit.spend(8), Verdict::Allowed, "another one has a limit of their own");
        clock.advance(retry_after - Duration::from_millis(1));
        assert!(matches!(limit.spend(7), Verdict::Refused { .. }));
        clock.advance(Duration::from_millis(1));
        assert_eq!(limit.spend(7), Verdict::Allowed);
    }

    #[test]
    fn looking_takes_nothing() {
        let clock = FakeRelativeClock::default();
        let limit = OwnLimit::with(quota(3, 30), clock.clone(), 100);
        assert_eq!([limit.look(7); 9], [Verdict::Allowed; 9]);
        assert_eq!(limit.forget_idle(), 0, "a check alone is not remembered");
        for _ in 0..3 {
            assert_eq!((limit.look(7), limit.spend(7)), (Verdict::Allowed, Verdict::Allowed));
        }
        let refused = Verdict::Refused { retry_after: Duration::from_secs(10) };
        assert_eq!((limit.look(7), limit.look(7)), (refused, refused));
        clock.advance(Duration::from_secs(20));
        assert_eq!(limit.look(7), Verdict::Allowed);
        limit.spend_all(7);
        assert_eq!(limit.look(7), refused);
        assert_eq!(limit.look(8), Verdict::Allowed);
    }

    #[test]
    fn what_is_given_back_may_be_spent_again_and_no_more_than_that() {
        let clock = FakeRelativeClock::default();
        let limit = OwnLimit::with(quota(3, 30), clock.clone(), 100);
        clock.advance(Duration::from_secs(100));
        limit.give_back(7);
        for _ in 0..20 {
            assert_eq!(limit.spend(7), Verdict::Allowed);
            limit.give_back(7);
        }
        assert_eq!((0..9).filter(|_| limit.spend(7) == Verdict::Allowed).count(), 3);
        limit.give_back(7);
        assert_eq!((limit.spend(7), limit.spend(8)), (Verdict::Allowed, Verdict::Allowed));
        assert_eq!(limit.spend(7), Verdict::Refused { retry_after: Duration::from_secs(10) });
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_idle() {
        let clock = FakeRelativeClock::default();
        let limit = OwnLimit::with(quota(1, 10), clock.clone(), 2);
        assert_eq!([limit.spend(1), limit.spend(2)], [Verdict::Allowed; 2]);
        // A third finds no room: let through, however often, and counted as such.
        assert_eq!([limit.spend(3), limit.spend(3)], [Verdict::Allowed; 2]);
        assert_eq!(limit.uncounted(), 2);
        assert!(matches!(limit.spend(1), Verdict::Refused { .. }), "whom it knows it still limits");
        assert_eq!(limit.forget_idle(), 2);
        clock.advance(Duration::from_secs(21));
        assert_eq!(limit.forget_idle(), 0);
        assert_eq!(limit.spend(3), Verdict::Allowed);
        assert!(matches!(limit.spend(3), Verdict::Refused { .. }));
    }
}
