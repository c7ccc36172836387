//! The summary of a sale at which nothing happens any more: what lists, an event's page and operators' figures need of it. A few
//! hundred bytes, kept in memory in place of the sale. Must never hold the hall, a reservation or a place.

use crate::id::{PlanHash, Seq};
use crate::sale::Sale;
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::draw::{Draw, DrawView};
use crate::sale::reply::{SalePhase, SeatCounts, SteeringView};
use crate::time::Timestamp;
use std::sync::Arc;

/// A sale that is over, without its hall and its buyers.
#[derive(Clone, Debug, PartialEq)]
pub struct SaleSummary {
    /// The last fact in it.
    pub seq: Seq,
    /// The state of the sale itself.
    pub phase: SalePhase,
    /// The rules, without the list of blocked seats.
    pub config: SaleConfig,
    /// The hall's hash.
    pub plan: PlanHash,
    /// What operators have steered.
    pub steering: Steering,
    /// How many were ever admitted; nobody waits and nobody shops.
    pub admitted_total: u64,
    /// Each category's name and its seats, in the plan's order.
    pub categories: Box<[(Box<str>, SeatCounts)]>,
    /// What the public may know of the draw.
    pub draw: Option<DrawView>,
}

impl SaleSummary {
    /// All seats by their state.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "sums of the seats of one hall")]
    pub fn counts(&self) -> SeatCounts {
        self.categories.iter().fold(SeatCounts::default(), |all, (_, counts)| SeatCounts {
            total: all.total + counts.total,
            available: all.available + counts.available,
            held: all.held + counts.held,
            sold: all.sold + counts.sold,
            blocked: all.blocked + counts.blocked,
        })
    }

    /// What operators see of the waiting room.
    #[must_use]
    pub fn steering_view(&self) -> SteeringView {
        let (steering, admitted_total) = (self.steering.clone(), self.admitted_total);
        SteeringView { steering, waiting: 0, active: 0, admitted_total }
    }

    /// Bytes that it takes in memory, with what it points to.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "sums of bytes that are in memory")]
    pub fn bytes(&self) -> usize {
        let message = self.steering.message.as_deref().map_or(0, str::len);
        let names: usize = self.categories.iter().map(|(name, _)| name.len()).sum();
        let prices = std::mem::size_of_val(self.config.prices.as_slice());
        size_of::<Self>() + message + names + prices + std::mem::size_of_val(&*self.categories)
    }
}

impl Sale {
    /// Whether nothing will happen at the sale by itself, and nobody has anything pending at it: it has ended by its
    /// times, or was cancelled and swept, or retired. O(payments), so not under a lock that readers wait for.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        let has_ended = match self.phase() {
            SalePhase::Unconfigured => false,
            SalePhase::Scheduled => self.config().is_some_and(|config| config.sale_ends_at <= now),
            SalePhase::Cancelled | SalePhase::Retired => true,
        };
        let is_empty = self.steering().is_some_and(|room| room.waiting == 0 && room.active == 0);
        let (charges, refunds) = self.open_money();
        has_ended
            && is_empty
            && self.counts().held == 0
            && self.next_deadline().is_none()
            && charges.is_empty()
            && refunds.is_empty()
    }

    /// See [`SaleSummary`]; none before the first fact.
    #[must_use]
    pub fn summary(&self) -> Option<SaleSummary> {
        let (plan, room) = (self.plan()?, self.steering()?);
        let mut config = self.config()?.clone();
        config.prices.shrink_to_fit();
        // Which seats they were is not needed any more; how many is counted.
        config.blocked = Arc::default();
        let names = plan.categories().iter().map(|category| Box::from(category.name.as_str()));
        Some(SaleSummary {
            seq: self.seq(),
            phase: self.phase(),
            config,
            plan: plan.hash(),
            steering: room.steering,
            admitted_total: room.admitted_total,
            categories: names.zip(self.category_counts()).collect(),
            draw: self.draw().map(Draw::view),
        })
    }
}
