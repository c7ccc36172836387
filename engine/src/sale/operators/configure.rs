//! Making a sale, and changing its rules or its hall before it opens; not after, because buyers rely on them. What operators
//! have steered, and what they have blocked since the rules were read, stays. Must never change rules once the sale has
//! opened.

use crate::id::{BuyerId, SeatIndex};
use crate::plan::Plan;
use crate::sale::Sale;
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::decide::Decision;
use crate::sale::fact::{Entry, Fact};
use crate::sale::rejection::{Closed, Rejection};
use crate::sale::reply::SalePhase;
use crate::sale::seats::ledger::Ledger;
use crate::time::Timestamp;
use smallvec::smallvec;
use std::borrow::Cow;
use std::sync::Arc;

impl Sale {
    pub(crate) fn decide_configuration(
        &self,
        config: &SaleConfig,
        plan: &Arc<Plan>,
        by: BuyerId,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        match (self.phase, &self.config) {
            (SalePhase::Retired, _) => return Err(Rejection::NoSale),
            (SalePhase::Cancelled, _) => return Err(Rejection::SaleClosed(Closed::Cancelled)),
            (SalePhase::Scheduled, Some(before)) if now >= before.sale_starts_at => return Err(Rejection::SaleStarted),
            (SalePhase::Unconfigured | SalePhase::Scheduled, _) => {}
        }
        let fact = Fact::Configured { config: Arc::new(config.clone()), plan: Arc::clone(plan), by };
        Ok(Decision::done(smallvec![fact]))
    }

    /// The same for a caller who has read the rules, `seen` being the blocked seats that they read.
    pub(crate) fn decide_reconfiguration(
        &self,
        config: &SaleConfig,
        plan: &Arc<Plan>,
        seen: &[SeatIndex],
        by: BuyerId,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let config = self.with_later_blocking(config, plan, seen);
        self.decide_configuration(&config, plan, by, now)
    }

    /// New rules for the same hall with what was blocked and freed since the old ones were read, when these were `seen`.
    fn with_later_blocking<'a>(&self, config: &'a SaleConfig, plan: &Plan, seen: &[SeatIndex]) -> Cow<'a, SaleConfig> {
        let is_same_hall = self.plan().is_some_and(|before| before.hash() == plan.hash());
        let live = match &self.config {
            Some(live) if is_same_hall && *live.blocked != *seen => &live.blocked,
            Some(_) | None => return Cow::Borrowed(config),
        };
        let is_new = |seat: &SeatIndex| live.binary_search(seat).is_ok() && seen.binary_search(seat).is_err();
        let is_freed = |seat: &SeatIndex| seen.binary_search(seat).is_ok() && live.binary_search(seat).is_err();
        let mut blocked: Vec<SeatIndex> = config.blocked.iter().copied().filter(|seat| !is_freed(seat)).collect();
        blocked.extend(live.iter().filter(|seat| is_new(seat)));
        blocked.sort_unstable();
        blocked.dedup();
        Cow::Owned(SaleConfig { blocked: blocked.into(), ..config.clone() })
    }

    pub(crate) fn apply_configuration(&mut self, config: &Arc<SaleConfig>, plan: &Arc<Plan>, entry: &Entry) {
        if self.phase == SalePhase::Unconfigured {
            self.made_at = entry.at;
            self.waiting_room.made_in(entry.epoch);
        }
        let initial = Steering::initial(&config.admission);
        self.steering = Some(Box::new(match self.steering.take() {
            Some(before) => {
                Steering { paused: before.paused, closed: before.closed, message: before.message, ..initial }
            }
            None => initial,
        }));
        self.config = Some(Arc::clone(config));
        // Rules are set while nobody has bought; they bring all times of the event with them.
        self.schedule = None;
        self.phase = SalePhase::Scheduled;
        // The opening may have moved, and admission counts from it.
        self.waiting_room.possible_since = None;
        if self.plan().is_none_or(|before| before.hash() != plan.hash()) {
            self.ledger = Some(Box::new(Ledger::new(Arc::clone(plan))));
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.follow_rules(config);
        }
    }
}
