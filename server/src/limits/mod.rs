//! Rate limits: how often a buyer (or, before there is one, an address) may ask, for each family of routes. This node
//! counts by itself, and together with the others where they share something; without them its own count decides.
//! A request with a stored answer is uncounted. Must never delay a read.

mod client;
mod family;
mod guesses;
mod local;
mod networks;

pub use client::address;
pub use family::{FAMILIES, Family};
pub use guesses::{Guess, TooMany};
pub use local::{OwnLimit, Who};
pub use networks::Networks;

use crate::config::RateLimitConfig;
use crate::http::Problem;
use crate::metrics::{write_head, write_single};
use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue, StatusCode};
use onsale_engine::ports::shared::{Quota, SharedLimits, Verdict};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A request as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// What it is counted as.
    pub family: Family,
    /// Whose it is.
    pub who: Who,
}

/// The limits of this node.
pub struct Limits {
    /// None while no limits are kept.
    kept: ArcSwapOption<Kept>,
    shared: Option<Arc<dyn SharedLimits>>,
    /// Proxies in front that add to `X-Forwarded-For`.
    forwarded_hops: usize,
}

struct Kept {
    families: [Arc<Limit>; FAMILIES],
}

struct Limit {
    family: Family,
    quota: Quota,
    own: OwnLimit,
    refused: AtomicU64,
}

impl Limits {
    /// The limits of a configuration; `shared` is what all nodes count together.
    #[must_use]
    pub fn new(config: &RateLimitConfig, shared: Option<Arc<dyn SharedLimits>>) -> Self {
        let limits = Self { kept: ArcSwapOption::empty(), shared, forwarded_hops: config.forwarded_hops };
        limits.renew(config);
        limits
    }

    /// Keeps the limits of another configuration from now on. A family whose limit is the same goes on counting; any
    /// other begins again with a full allowance. The proxies in front stay as they were.
    pub fn renew(&self, config: &RateLimitConfig) {
        let before = self.kept.load_full();
        let limit = |family: Family| {
            let quota = config.quotas[family.number()];
            let same = before.as_ref().map(|kept| &kept.families[family.number()]).filter(|limit| limit.quota == quota);
            same.cloned().unwrap_or_else(|| {
                Arc::new(Limit { family, quota, own: OwnLimit::new(quota), refused: AtomicU64::new(0) })
            })
        };
        self.kept.store(config.enabled.then(|| Arc::new(Kept { families: Family::ALL.map(limit) })));
    }

    /// How many proxies in front are believed about a client's address.
    #[must_use]
    pub fn forwarded_hops(&self) -> usize {
        self.forwarded_hops
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub async fn spend(&self, due: Due) -> Result<(), Problem> {
        if self.spend_here(due)? { self.spend_everywhere(due).await } else { Ok(()) }
    }

    /// Counts a request on this node; returns whether all nodes have to be asked, too. Who asks this node too often
    /// asks all of them too often.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub fn spend_here(&self, Due { family, who }: Due) -> Result<bool, Problem> {
        let kept = self.kept.load();
        let Some(limit) = kept.as_ref().map(|kept| &kept.families[family.number()]) else { return Ok(false) };
        limit.check(limit.own.spend(who))?;
        Ok(self.shared.is_some() && family.is_shared())
    }

    /// Counts a request on all nodes together.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub async fn spend_everywhere(&self, Due { family, who }: Due) -> Result<(), Problem> {
        let Some(limit) = self.limit(family) else { return Ok(()) };
        limit.check(self.spend_shared(&limit, who).await)
    }

    /// Gives back what a request was counted for, here and on all nodes: it had a stored answer.
    pub async fn give_back(&self, Due { family, who }: Due) {
        let Some(limit) = self.limit(family) else { return };
        limit.own.give_back(who);
        if let Some(shared) = self.shared.as_ref().filter(|_| family.is_shared()) {
            // Not given back where nobody answers: then this node's own count decides.
            let _ = shared.give_back(&limit.name_of(who), limit.quota).await;
        }
    }

    /// A request of the family that was refused had a stored answer after all.
    pub fn was_answered(&self, family: Family) {
        if let Some(limit) = self.limit(family) {
            limit.refused.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether something may be tried of which only what fails is counted, by what this node knows.
    ///
    /// # Errors
    /// 429 when too much has failed.
    pub fn may_try(&self, Due { family, who }: Due) -> Result<(), Problem> {
        self.limit(family).map_or(Ok(()), |limit| limit.check(limit.own.look(who)))
    }

    /// Counts what was tried and has failed, on this node and on all of them together. What has happened is not refused any
    /// more: where it was one too many, the next is.
    pub async fn has_failed(&self, Due { family, who }: Due) {
        let Some(limit) = self.limit(family) else { return };
        if limit.own.spend(who) == Verdict::Allowed && self.spend_shared(&limit, who).await != Verdict::Allowed {
            limit.own.spend_all(who);
        }
    }

    fn limit(&self, family: Family) -> Option<Arc<Limit>> {
        self.kept.load().as_ref().map(|kept| Arc::clone(&kept.families[family.number()]))
    }

    /// What all nodes together say; where they share nothing, or it does not answer, the node's own count has decided.
    async fn spend_shared(&self, limit: &Limit, who: Who) -> Verdict {
        let Some(shared) = self.shared.as_ref().filter(|_| limit.family.is_shared()) else { return Verdict::Allowed };
        shared.spend(&limit.name_of(who), limit.quota).await.unwrap_or(Verdict::Allowed)
    }

    /// Forgets who has not asked for long.
    pub fn tidy(&self) {
        for limit in self.kept.load().iter().flat_map(|kept| &kept.families) {
            limit.own.forget_idle();
        }
    }

    /// Writes what was refused, in Prometheus text.
    pub fn write(&self, out: &mut String) {
        let Some(kept) = self.kept.load_full() else { return };
        write_head(out, "onsale_rate_limited_total");
        for limit in &kept.families {
            let (name, refused) = (limit.family.name(), limit.refused.load(Ordering::Relaxed));
            let _ = writeln!(out, "onsale_rate_limited_total{{family=\"{name}\"}} {refused}");
        }
        let uncounted: u64 = kept.families.iter().map(|limit| limit.own.uncounted()).sum();
        write_single(out, "onsale_rate_uncounted_total", uncounted);
    }
}

impl Limit {
    /// As what all nodes count somebody together.
    fn name_of(&self, who: Who) -> String {
        format!("{}:{who:032x}", self.family.name())
    }

    fn check(&self, verdict: Verdict) -> Result<(), Problem> {
        let Verdict::Refused { retry_after } = verdict else { return Ok(()) };
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(self.refusal(retry_after))
    }

    /// 429, with what the draft of the IETF's httpapi group asks for (draft-ietf-httpapi-ratelimit-headers-11).
    fn refusal(&self, retry_after: Duration) -> Problem {
        let seconds = u32::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        let (name, requests, window) = (self.family.name(), self.quota.requests, self.quota.window.as_secs());
        let value = |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many requests; ask again after Retry-After")
            .retry_after(seconds)
            .header(HeaderName::from_static("ratelimit-policy"), value(format!("\"{name}\";q={requests};w={window}")))
            .header(HeaderName::from_static("ratelimit"), value(format!("\"{name}\";r=0;t={seconds}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use onsale_engine::fakes::FakeShared;

    fn config(enabled: bool) -> RateLimitConfig {
        let mut quotas = Family::ALL.map(Family::default_quota);
        let two = Quota { requests: 2.try_into().unwrap(), window: Duration::from_secs(3600) };
        quotas[Family::Hold.number()] = two;
        quotas[Family::Status.number()] = two;
        quotas[Family::Password.number()] = two;
        quotas[Family::PasswordAccount.number()] = Quota { requests: 3.try_into().unwrap(), ..two };
        RateLimitConfig { enabled, forwarded_hops: 0, quotas }
    }

    async fn allowed(limits: &Limits, family: Family, times: usize) -> usize {
        let mut allowed = 0;
        for _ in 0..times {
            allowed += usize::from(limits.spend(Due { family, who: 7 }).await.is_ok());
        }
        allowed
    }

    #[test]
    fn every_family_stands_at_its_number_with_a_name_of_its_own() {
        for (number, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family.number(), number);
            assert_eq!(Family::ALL.iter().filter(|other| other.name() == family.name()).count(), 1);
            assert!(family.default_quota().requests.get() > 1, "{family:?}");
        }
    }

    #[tokio::test]
    async fn families_are_counted_apart_and_nothing_is_when_it_is_off() {
        let limits = Limits::new(&config(true), None);
        assert_eq!(allowed(&limits, Family::Hold, 5).await, 2);
        assert_eq!(allowed(&limits, Family::Status, 5).await, 2);
        assert_eq!(allowed(&limits, Family::Read, 5).await, 5);
        let mut out = String::new();
        limits.write(&mut out);
        assert!(out.contains("onsale_rate_limited_total{family=\"hold\"} 3\n"), "{out}");
        assert_eq!(allowed(&Limits::new(&config(false), None), Family::Hold, 50).await, 50);
    }

    #[tokio::test]
    async fn a_changed_limit_is_in_force_and_an_unchanged_one_goes_on_counting() {
        let limits = Limits::new(&config(true), None);
        assert_eq!(allowed(&limits, Family::Hold, 1).await, 1);
        assert_eq!(allowed(&limits, Family::Status, 1).await, 1);
        let mut other = config(true);
        other.quotas[Family::Hold.number()].requests = 5.try_into().unwrap();
        limits.renew(&other);
        assert_eq!(allowed(&limits, Family::Hold, 9).await, 5);
        assert_eq!(allowed(&limits, Family::Status, 9).await, 1);
        limits.renew(&config(false));
        assert_eq!(allowed(&limits, Family::Hold, 9).await, 9);
    }

    #[tokio::test]
    async fn nodes_count_together_and_each_alone_when_what_they_share_is_gone() {
        let shared = Arc::new(FakeShared::default());
        let node = || Limits::new(&config(true), Some(Arc::clone(&shared) as Arc<dyn SharedLimits>));
        let (one, other) = (node(), node());
        assert_eq!(allowed(&one, Family::Hold, 1).await, 1);
        assert_eq!(allowed(&other, Family::Hold, 3).await, 1, "two in all, whichever node is asked");
        // Reads are counted by each node alone.
        assert_eq!(allowed(&one, Family::Status, 3).await, 2);
        assert_eq!(allowed(&other, Family::Status, 3).await, 2);

        shared.go(true);
        let (one, other) = (node(), node());
        assert_eq!(allowed(&one, Family::Hold, 5).await, 2);
        assert_eq!(allowed(&other, Family::Hold, 5).await, 2);
    }

    fn guess(pair: Who) -> Guess {
        Guess { pair, account: Some(1) }
    }

    #[tokio::test]
    async fn only_wrong_passwords_count_and_those_of_all_nodes() {
        let shared = Arc::new(FakeShared::default());
        let node = || Limits::new(&config(true), Some(Arc::clone(&shared) as Arc<dyn SharedLimits>));
        let (one, other) = (node(), node());
        for _ in 0..9 {
            assert!(one.may_guess(guess(7)).is_ok(), "a right one takes nothing");
        }
        assert!(one.was_wrong(guess(7)).await.is_ok() && one.may_guess(guess(7)).is_ok());
        assert!(other.was_wrong(guess(7)).await.is_ok() && other.may_guess(guess(7)).is_ok());
        // Two in all: this node learns of it by the next wrong one, and from then on compares none.
        let too_many = |actual: Result<(), TooMany>| matches!(actual, Err(TooMany::FromAddress(_)));
        assert!(too_many(one.was_wrong(guess(7)).await) && too_many(one.may_guess(guess(7))));
        assert!(Limits::new(&config(false), None).was_wrong(guess(7)).await.is_ok());
    }

    #[tokio::test]
    async fn guesses_count_for_the_account_from_its_address_and_from_anywhere() {
        let limits = Limits::new(&config(true), None);
        for _ in 0..2 {
            assert!(limits.was_wrong(guess(7)).await.is_ok());
        }
        assert!(matches!(limits.may_guess(guess(7)), Err(TooMany::FromAddress(_))));
        assert!(limits.may_guess(guess(8)).is_ok(), "a stranger's guesses are the stranger's");
        assert!(limits.was_wrong(guess(8)).await.is_ok());
        // Three in all: now every address is refused by the account's limit, and who has a session is not.
        assert!(matches!(limits.may_guess(guess(8)), Err(TooMany::AtAccount(_))));
        assert!(matches!(limits.may_guess(guess(9)), Err(TooMany::AtAccount(_))));
        assert!(limits.may_guess(Guess { pair: 9, account: None }).is_ok());
        assert!(limits.may_guess(Guess { pair: 9, account: Some(2) }).is_ok(), "another account");
    }

    #[tokio::test]
    async fn only_what_failed_counts_and_on_all_nodes() {
        let shared = Arc::new(FakeShared::default());
        let mut few = config(true);
        few.quotas[Family::Declined.number()].requests = 2.try_into().unwrap();
        let node = || Limits::new(&few, Some(Arc::clone(&shared) as Arc<dyn SharedLimits>));
        let (one, other) = (node(), node());
        let due = |who| Due { family: Family::Declined, who };
        for _ in 0..9 {
            assert!(one.may_try(due(7)).is_ok(), "trying takes nothing");
        }
        one.has_failed(due(7)).await;
        other.has_failed(due(7)).await;
        assert!(one.may_try(due(7)).is_ok() && other.may_try(due(7)).is_ok());
        // Two in all: this node learns it from the next that fails.
        one.has_failed(due(7)).await;
        let refused = one.may_try(due(7)).unwrap_err().into_response("", Default::default());
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(one.may_try(due(8)).is_ok(), "another buyer");
    }

    #[tokio::test]
    async fn a_refusal_says_when_to_come_back() {
        let limits = Limits::new(&config(true), None);
        allowed(&limits, Family::Hold, 2).await;
        let refused = limits.spend(Due { family: Family::Hold, who: 7 }).await.unwrap_err();
        let response = refused.into_response("", Default::default());
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "1800");
        assert_eq!(response.headers()["ratelimit-policy"], "\"hold\";q=2;w=3600");
        assert_eq!(response.headers()["ratelimit"], "\"hold\";r=0;t=1800");
    }
}
