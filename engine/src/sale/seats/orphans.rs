//! The orphan rule: a hold may not leave a single free seat between taken ones, because nobody buys it. A seat that stood alone
//! before is no reason to refuse, and a block may leave one where no other block could be sold, as the last seats of a hall.
//! Releases and expiries are not bound by it. Must never walk the hall: it reads the neighbours of the seats asked for.

use crate::id::SeatIndex;
use crate::sale::command::Seats;
use crate::sale::config::SaleConfig;
use crate::sale::rejection::Rejection;
use crate::sale::seats::ledger::Ledger;
use crate::sale::seats::unavailable::instead;

/// Refuses seats that would leave an orphan, where the rule holds, for a buyer who gives `own` back.
pub(crate) fn check(
    config: &SaleConfig,
    ledger: &Ledger,
    seats: &[SeatIndex],
    own: &[SeatIndex],
) -> Result<(), Rejection> {
    if !config.no_orphans {
        return Ok(());
    }
    let orphans = ledger.orphans(seats, own);
    if orphans.is_empty() || may_leave_one(ledger, seats, own) {
        return Ok(());
    }
    Err(Rejection::OrphanSeat { orphans, alternative: instead(config, ledger, seats, own) })
}

/// A block may leave a single seat behind when no other could be sold, as the last ones of a hall.
pub(crate) fn may_leave_one(ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> bool {
    ledger.is_block(seats) && block_without_orphans(ledger, seats, own).is_none()
}

/// The nearest block instead of these seats that leaves no single seat.
pub(crate) fn block_without_orphans(ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> Option<Seats> {
    ledger.alternative(seats, true).filter(|block| ledger.orphans(block, own).is_empty())
}

impl Ledger {
    /// Seats that would stand alone between taken ones (a blocked seat counts as taken) if `taken` were taken and `given` given
    /// back, and did not before.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "seats are numbered below MAX_SEATS, so each has a number after it"
    )]
    pub(crate) fn orphans(&self, taken: &[SeatIndex], given: &[SeatIndex]) -> Seats {
        let before = |seat: SeatIndex| self.is_free(seat);
        let after = |seat: SeatIndex| (before(seat) || given.contains(&seat)) && !taken.contains(&seat);
        let mut orphans = Seats::new();
        for &seat in taken.iter().chain(given) {
            let segment = &self.plan.segments()[self.plan.seat_segment(seat) as usize].seats;
            let near = |seat: u32, free: &dyn Fn(SeatIndex) -> bool| {
                let left = seat > segment.start && free(SeatIndex(seat - 1));
                left || seat + 1 < segment.end && free(SeatIndex(seat + 1))
            };
            for other in [seat.0.checked_sub(1), Some(seat.0), Some(seat.0 + 1)].into_iter().flatten() {
                let single = segment.contains(&other) && after(SeatIndex(other)) && !near(other, &after);
                let stood_alone = single && before(SeatIndex(other)) && !near(other, &before);
                if single && !stood_alone && !orphans.contains(&SeatIndex(other)) {
                    orphans.push(SeatIndex(other));
                }
            }
        }
        orphans
    }
}
