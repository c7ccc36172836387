//! What must always be true of a sale, in one place: used by tests, by the simulation, and by the metric that must
//! read 0. Reads the whole state, so it must never run within a request.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "counts the seats and buyers of one sale; a wrong sum would be reported as a violation"
)]

use crate::id::{BuyerId, SeatIndex};
use crate::sale::Sale;
use crate::sale::fact::PaymentFailure;
use crate::sale::reply::{PaymentStatus, ReservationStatus};
use crate::sale::seats::ledger::SeatState;
use crate::sale::snapshot::{PaymentRow, PlaceState};
use hashbrown::HashMap;
use std::time::Duration;

impl Sale {
    /// Every violation; empty when all is well.
    #[must_use]
    pub fn check_invariants(&self) -> Vec<String> {
        let mut broken = Vec::new();
        self.check_seats_and_counts(&mut broken);
        self.check_buyers(&mut broken);
        self.check_money(&mut broken);
        self.check_room(&mut broken);
        self.check_limits(&mut broken);
        broken
    }

    /// No seat in two hands; every taken seat in one; available + held + sold + blocked = capacity, in each category
    /// too; what is not for sale by the rules is blocked, and nothing else.
    fn check_seats_and_counts(&self, broken: &mut Vec<String>) {
        let Some(ledger) = &self.ledger else { return };
        let mut owner: HashMap<SeatIndex, SeatState> = HashMap::new();
        for reservation in self.reservations.iter().filter(|r| r.is_live()) {
            let state =
                if reservation.status == ReservationStatus::Confirmed { SeatState::Sold } else { SeatState::Held };
            for &seat in &reservation.seats {
                if owner.insert(seat, state).is_some() {
                    broken.push(format!("seat {} is in two hands", ledger.plan.seat_id(seat)));
                }
                if ledger.state(seat) != state {
                    broken.push(format!("seat {} should be {state:?}", ledger.plan.seat_id(seat)));
                }
            }
        }
        let (held, sold, blocked) = (ledger.held().count(), ledger.sold().count(), ledger.blocked().count());
        if held + sold != owner.len() {
            broken.push(format!("{held} held and {sold} sold seats, but {} in reservations", owner.len()));
        }
        let all = ledger.counts();
        if (all.held as usize, all.sold as usize, all.blocked as usize) != (held, sold, blocked) {
            broken.push(format!("counts {all:?} where {held} are held, {sold} sold and {blocked} blocked"));
        }
        for counts in ledger.category_counts().iter().chain([&all]) {
            if counts.available + counts.held + counts.sold + counts.blocked != counts.total {
                broken.push(format!("counts do not add up: {counts:?}"));
            }
        }
        let Some(config) = &self.config else { return };
        for seat in (0..ledger.plan.capacity()).map(|seat| SeatIndex(seat as u32)) {
            let for_sale = config.is_for_sale(ledger.plan.seat_category(seat)) && !config.is_blocked(seat);
            if for_sale == (ledger.state(seat) == SeatState::Blocked) {
                broken.push(format!(
                    "seat {} is {:?}, for sale: {for_sale}",
                    ledger.plan.seat_id(seat),
                    ledger.state(seat)
                ));
            }
        }
    }

    /// Every buyer's count of seats is right and within the limit.
    fn check_buyers(&self, broken: &mut Vec<String>) {
        let limit = self.config.as_ref().map_or(u16::MAX, |config| config.max_seats_per_buyer);
        let mut seats: HashMap<BuyerId, u16> = HashMap::new();
        for reservation in self.reservations.iter().filter(|r| r.is_live()) {
            *seats.entry(reservation.buyer).or_default() += reservation.seats.len() as u16;
        }
        for (buyer, has) in &seats {
            if *has > limit || self.reservations.buyer(*buyer).seats != *has {
                broken.push(format!(
                    "{buyer} has {has} seats, counted {:?}, limit {limit}",
                    self.reservations.buyer(*buyer)
                ));
            }
        }
        if seats.len() != self.reservations.buyers() {
            broken.push(format!("{} buyers with seats, {} counted", seats.len(), self.reservations.buyers()));
        }
        if self.reservations.live() as usize != self.reservations.iter().filter(|r| r.is_live()).count() {
            broken.push("live reservations are miscounted".into());
        }
    }

    /// Captured − refunded money = confirmed reservations.
    fn check_money(&self, broken: &mut Vec<String>) {
        let kept: i64 = self
            .reservations
            .payments()
            .filter(|row| row.view.status == PaymentStatus::Captured)
            .map(|row| row.captured.0)
            .sum();
        let confirmed: i64 =
            self.reservations.iter().filter(|r| r.status == ReservationStatus::Confirmed).map(|r| r.amount.0).sum();
        if kept != confirmed {
            broken.push(format!("{kept} of money kept for {confirmed} of confirmed reservations"));
        }
    }

    /// No slot has made more holds than it may, each that time may end is among those that do, and declined charges are
    /// counted right.
    fn check_limits(&self, broken: &mut Vec<String>) {
        let limit = self.config.as_ref().map_or(u16::MAX, |config| config.admission.max_holds_per_slot);
        let mut ending = 0;
        for place in self.waiting_room.places() {
            let PlaceState::Active { holds_made, .. } = place.state else { continue };
            if holds_made > limit {
                broken.push(format!("{} has made {holds_made} holds with one slot, limit {limit}", place.buyer));
            }
            ending += u64::from(self.reservations.buyer(place.buyer).holds == 0);
        }
        if ending != self.waiting_room.ending() {
            broken.push(format!("{ending} slots may end by time, counted {}", self.waiting_room.ending()));
        }
        let declined =
            |row: &&PaymentRow| matches!(row.view.status, PaymentStatus::Failed(PaymentFailure::Declined(_)));
        let declined = self.reservations.payments().filter(declined).count();
        let counted: usize = self.reservations.iter().map(|reservation| usize::from(reservation.declined())).sum();
        if declined != counted {
            broken.push(format!("{declined} declined charges, counted {counted}"));
        }
    }

    /// The seed is the one that was committed to, and members of the cohort who still wait stand in the drawn order.
    fn check_draw(&self, broken: &mut Vec<String>) {
        let Some(draw) = &self.draw else { return };
        if draw.seed().commitment() != draw.view().commitment {
            broken.push("the seed of the draw is not the one that was committed to".into());
        }
        let waits = |buyer: BuyerId| {
            let place = self.place_row(buyer).filter(|place| place.state == PlaceState::Waiting)?;
            draw.is_of_cohort(place.ordinal).then_some(place.ordinal)
        };
        let drawn: Vec<_> = draw.drawn().filter_map(waits).collect();
        if drawn.windows(2).any(|pair| pair[0] >= pair[1]) {
            broken.push("the line is not in the drawn order".into());
        }
    }

    /// Active ≤ limit is checked on admission (an operator may lower the limit below that);
    /// here: the line, the slots and the admission window agree with the places.
    fn check_room(&self, broken: &mut Vec<String>) {
        let snapshot = self.waiting_room.snapshot();
        let count =
            |wanted: fn(&PlaceState) -> bool| snapshot.places.iter().filter(|p| wanted(&p.state)).count() as u64;
        let waiting = count(|state| *state == PlaceState::Waiting);
        let active = count(|state| matches!(state, PlaceState::Active { .. }));
        if (waiting, active) != (self.waiting_room.line().len(), self.waiting_room.active()) {
            let counted = (self.waiting_room.line().len(), self.waiting_room.active());
            broken.push(format!("(waiting, active) is {:?}, counted {counted:?}", (waiting, active)));
        }
        let mut last = None;
        for (ordinal, buyer) in self.waiting_room.line().iter() {
            if last.is_some_and(|last| last >= ordinal) {
                broken.push(format!("{ordinal:?} is out of order"));
            }
            if self.place_row(buyer).is_none_or(|place| place.ordinal != ordinal) {
                broken.push(format!("{buyer} stands at {ordinal:?} without a place"));
            }
            last = Some(ordinal);
        }
        if snapshot.window.windows(2).any(|pair| pair[1] < pair[0]) {
            broken.push("admissions are due out of order".into());
        }
        self.check_draw(broken);
        let spread = snapshot.window.first().zip(snapshot.window.last());
        if spread.is_some_and(|(first, last)| last.since(*first) >= Duration::from_secs(1)) {
            broken.push("the admission window is wider than a second".into());
        }
    }
}
