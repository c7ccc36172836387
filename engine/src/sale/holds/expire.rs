//! The end of a hold by time, and what extends it. A hold lasts [`crate::sale::SaleConfig::hold`] from when it was made; no
//! change moves that. One thing alone extends it: while the provider is being asked, or has not said what became of the
//! charge, the hold stays for [`CHARGE_KEEPS_HOLD_FOR`] after the charge was started, if that is later. Must never end a hold
//! before its time.

use crate::limits::CHARGE_KEEPS_HOLD_FOR;
use crate::sale::Sale;
use crate::sale::fact::{Fact, Facts, PaymentFailure};
use crate::sale::holds::reservation::Reservation;
use crate::time::Timestamp;
use smallvec::smallvec;

/// Until when a charge that was started at `at` keeps its hold.
pub(crate) fn charge_keeps_hold_until(at: Timestamp) -> Timestamp {
    at + CHARGE_KEEPS_HOLD_FOR
}

impl Reservation {
    /// When the hold ends, a running charge considered.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.charging_until().map_or(self.hold_expires_at, |until| until.max(self.hold_expires_at))
    }
}

impl Sale {
    /// When the next hold ends.
    pub(crate) fn next_hold_end(&self) -> Option<Timestamp> {
        self.reservations.next_deadline().map(|(at, _)| at)
    }

    /// Ends the hold that is due first.
    pub(crate) fn expire_hold(&self) -> Option<Facts> {
        let (_, reservation) = self.reservations.next_deadline()?;
        let mut facts: Facts = smallvec![Fact::HoldExpired { reservation }];
        facts.extend(self.failed_with(reservation, PaymentFailure::HoldEnded));
        Some(facts)
    }
}
