//! Declined charges as a limit: who tries stolen cards has many of them. Counted when a decline is answered, for the buyer and
//! for the address, and checked before the next charge. Must never count anything but a decline, nor the same one twice.

use crate::http::{Context, Problem};
use crate::limits::{Due, Family};
use onsale_engine::id::BuyerId;
use onsale_engine::sale::{PaymentFailure, PaymentStatus, PaymentView};

/// Whose declines a charge would add to.
pub(super) struct Declines([Due; 2]);

impl Declines {
    pub(super) fn of(ctx: &Context, buyer: BuyerId) -> Self {
        Self([
            Due { family: Family::Declined, who: buyer.0.as_u128() },
            Due { family: Family::DeclinedAddress, who: ctx.client },
        ])
    }

    /// Whether a charge may be started.
    ///
    /// # Errors
    /// 429 when too many were declined of late.
    pub(super) fn check(&self, ctx: &Context) -> Result<(), Problem> {
        self.0.iter().try_for_each(|due| ctx.app.limits.may_try(*due))
    }

    /// Counts the outcome of a charge that this request has started.
    pub(super) async fn count(&self, ctx: &Context, outcome: &PaymentView) {
        if let PaymentStatus::Failed(PaymentFailure::Declined(_)) = &outcome.status {
            for due in self.0 {
                ctx.app.limits.has_failed(due).await;
            }
        }
    }
}
