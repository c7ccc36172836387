//! Making a hold. Choosing seats and taking them is one step, so that what was chosen is what is held; a stored answer for the
//! same idempotency key comes before every check. Must never take a seat that the same decision has not found free.

use crate::sale::Sale;
use crate::sale::command::{Hold, Seats, Selection};
use crate::sale::config::SaleConfig;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Entry, Fact, Facts, RememberedAnswer};
use crate::sale::rejection::Rejection;
use crate::sale::reply::{ReservationStatus, ReservationView};
use crate::sale::seats::best_block::Asked;
use crate::sale::seats::ledger::{Ledger, SeatState};
use crate::sale::seats::unavailable::no_block;
use crate::sale::seats::{check_known, price};
use crate::sale::snapshot::ReservationRow;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_hold(&self, hold: &Hold, now: Timestamp) -> Result<Decision, Rejection> {
        if let Some(answer) = self.recall_hold(hold, now)? {
            return Ok(answer);
        }
        let (config, ledger) = self.on_sale()?;
        let quantity = quantity(ledger, &hold.selection)?;
        self.check_not_cancelled()?;
        let slot = self.check_slot(config, hold, now)?;
        self.check_open(config, now)?;
        if let Some(before) = self.reservations.get(hold.reservation) {
            return Err(Rejection::NotPending(self.state_of(before, now)));
        }
        self.check_seat_limit(config, hold.buyer, quantity, 0)?;
        self.check_hold_limit(config, hold.buyer, slot)?;
        let seats = self.choose(config, ledger, hold)?;
        let (amount, expires_at) = (price(config, &ledger.plan, &seats), now + config.hold);
        let mut facts: Facts = smallvec![];
        if let Some(key) = hold.key {
            let answer = RememberedAnswer::Held {
                reservation: hold.reservation,
                seats: seats.clone(),
                amount,
                created_at: now,
                expires_at,
            };
            facts.push(Fact::KeyRemembered { key, answer });
        }
        let (reservation, buyer) = (hold.reservation, hold.buyer);
        facts.push(Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot });
        Ok(Decision { facts, outcome: Outcome::Reservation(reservation) })
    }

    /// The seats that the hold takes.
    fn choose(&self, config: &SaleConfig, ledger: &Ledger, hold: &Hold) -> Result<Seats, Rejection> {
        match &hold.selection {
            Selection::These(seats) => {
                self.check_pairs(hold.buyer, seats, &[])?;
                self.check_free(config, ledger, seats, &[])?;
                Ok(seats.clone())
            }
            Selection::Best { category, .. } if !config.is_for_sale(*category) => Err(Rejection::CategoryNotForSale),
            Selection::Best { category, quantity, among } => ledger
                .best(*category, *quantity, *among, config.no_orphans)
                .ok_or_else(|| no_block(config, ledger, Asked::of(*category, *among), *quantity)),
        }
    }

    pub(crate) fn apply_hold(&mut self, entry: &Entry) {
        let Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot } = &entry.fact else { return };
        let view = ReservationView {
            id: *reservation,
            buyer: *buyer,
            status: ReservationStatus::Pending,
            seats: seats.clone(),
            amount: *amount,
            hold_expires_at: *expires_at,
            created_at: entry.at,
            confirmed_at: None,
            ticket: None,
            refund: None,
        };
        self.set_seats(seats, SeatState::Held);
        if self.reservations.insert(ReservationRow { created_seq: entry.seq, view }) {
            self.waiting_room.keep_slot(*buyer, true);
        }
        if let Some(slot) = slot {
            self.waiting_room.count_hold(*buyer, *slot);
        }
    }
}

/// How many seats are asked for, if the hall has what is named.
fn quantity(ledger: &Ledger, selection: &Selection) -> Result<usize, Rejection> {
    match selection {
        Selection::These(seats) => {
            check_known(ledger, seats)?;
            Ok(seats.len())
        }
        Selection::Best { category, .. } if category.at() >= ledger.plan.categories().len() => {
            Err(Rejection::CategoryNotFound)
        }
        Selection::Best { among, .. }
            if among.section.is_some_and(|section| section.at() >= ledger.plan.section_names()) =>
        {
            Err(Rejection::SectionNotFound)
        }
        Selection::Best { quantity, .. } => Ok(usize::from(*quantity)),
    }
}
