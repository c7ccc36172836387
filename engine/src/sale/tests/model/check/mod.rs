//! Random commands at random times, submitted to the sale and to the naive model: the same answers and the same visible state,
//! and after every step a sale that keeps its invariants, replays, and goes on from a snapshot alike.

mod actions;
mod commands;
mod payments;

use crate::id::{BuyerId, CategoryIndex, Epoch, PaymentId, PlanHash, ReservationId, SeatIndex, Slot};
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::tests::model::{Due, Model, No, Place};
use crate::sale::tests::stage::{admin, buyer, drawn, replayed};
use crate::sale::{
    ChangeHold, ChargeOutcome, Command, ConfirmPayment, Entry, Fact, Hold, MoneyMoved, OpenPayment, OperatorCancel,
    PaymentFailure, RefundReason, Rejection, RequestKey, ReservationStatus, Sale, SaleConfig, SeatBlocking, SeatCounts,
    Seats, Selection, Unavailable,
};
use crate::time::Timestamp;
use actions::{Action, action, sale_rules};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const HALL: [&str; 4] = ["VVVV_VVV", "RRVVVRR", "RRRRRR", "RR_R"];
const BUYERS: u128 = 6;
/// A payment that nobody has opened.
const UNKNOWN: PaymentId = PaymentId(Uuid::from_u128(0xdead));

proptest! {
    #![proptest_config(ProptestConfig { cases: 8 * ProptestConfig::default().cases, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_sale_does_what_the_naive_model_does(config in sale_rules(), actions in prop::collection::vec(action(), 1..120)) {
        let mut pair = Pair::new(config);
        actions.iter().for_each(|action| pair.perform(action));
    }
}

struct Pair {
    sale: Sale,
    /// A sale that was once restored from a snapshot and has gone on from there.
    restored: Sale,
    model: Model,
    journal: Vec<Entry>,
    now: Timestamp,
    epoch: Epoch,
    serial: u128,
    reservations: Vec<ReservationId>,
    payments: Vec<PaymentId>,
}

impl Pair {
    fn new(config: SaleConfig) -> Self {
        let plan = Arc::new(Plan::compile(&drawn(&HALL), PlanHash([1; 32])).unwrap());
        let now = crate::sale::tests::stage::time("10:00:00");
        let mut pair = Self {
            sale: Sale::new(),
            restored: Sale::new(),
            model: Model::new(&HALL, config.clone(), now),
            journal: Vec::new(),
            now,
            epoch: Epoch(1),
            serial: 0,
            reservations: Vec::new(),
            payments: Vec::new(),
        };
        let command = Command::Configure { config: Box::new(config), plan, by: admin() };
        let facts = pair.decide(&command).unwrap();
        pair.happen(facts);
        pair
    }

    fn uuid(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(0xffff_0000 + self.serial)
    }

    /// What the sale decides, which the restored sale decides too.
    fn decide(&self, command: &Command) -> Result<Vec<Fact>, Rejection> {
        let decision = self.sale.decide(command, self.now, self.epoch);
        assert_eq!(self.restored.decide(command, self.now, self.epoch), decision, "a restored sale");
        decision.map(|decision| decision.facts.into_vec())
    }

    fn happen(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            self.model.last = self.now;
            let entry = Entry { seq: self.sale.seq().next(), epoch: self.epoch, at: self.now, trace: None, fact };
            self.sale.apply(&entry);
            self.restored.apply(&entry);
            self.journal.push(entry);
        }
    }

    fn perform(&mut self, action: &Action) {
        match action {
            Action::Wait { millis, timers } => self.wait(*millis, *timers),
            Action::Tick => {
                self.tick();
            }
            Action::Restart => {
                self.epoch.0 += 1;
                self.sale = replayed(&self.journal);
                self.restored = Sale::from_snapshot(self.sale.snapshot());
            }
            _ => self.act(action),
        }
        self.compare();
    }

    fn wait(&mut self, millis: u64, timers: bool) {
        let until = self.now + Duration::from_millis(millis);
        if timers {
            while let Some(due) = self.sale.next_deadline().filter(|due| *due <= until) {
                self.now = self.now.max(due);
                assert!(self.tick(), "a due step does something");
            }
        }
        self.now = until;
    }

    /// Whether anything happened.
    fn tick(&mut self) -> bool {
        let facts = self.decide(&Command::Tick).unwrap();
        self.model.step(&facts, self.now);
        self.model.note(self.now);
        let something = !facts.is_empty();
        self.happen(facts);
        something
    }

    fn back<T: Copy>(list: &[T], ago: u8) -> Option<T> {
        list.iter().rev().nth(usize::from(ago)).copied()
    }

    fn unknown_id(&mut self) -> Uuid {
        self.uuid()
    }

    fn key(buyer: BuyerId, route: u128, key: Option<(u8, u8)>) -> Option<RequestKey> {
        key.map(|(key, body)| RequestKey {
            scope: (buyer.0.as_u128() << 64) | (route << 32) | u128::from(key),
            body: u128::from(body),
        })
    }

    /// What can be seen is the same; the sale is whole, replays, and can be restored.
    fn compare(&mut self) {
        let (sale, model) = (&self.sale, &self.model);
        assert_eq!(sale.check_invariants(), Vec::<String>::new());
        let (held, sold, blocked) = (sale.seats_held(), sale.seats_sold(), sale.seats_blocked());
        let mut counts = [SeatCounts::default(); 2];
        for (at, seat) in model.seats.iter().enumerate() {
            let index = SeatIndex(at as u32);
            let owner = model.owner(index).map(|r| r.status);
            assert_eq!(held.contains(&index), owner == Some(ReservationStatus::Pending), "{index:?}");
            assert_eq!(sold.contains(&index), owner == Some(ReservationStatus::Confirmed), "{index:?}");
            let count = &mut counts[usize::from(seat.letter == 'R')];
            count.total += 1;
            assert_eq!(blocked.contains(&index), model.is_blocked(index), "{index:?}");
            count.available += u32::from(!model.is_taken(index));
            count.blocked += u32::from(model.is_blocked(index));
            count.held += u32::from(owner == Some(ReservationStatus::Pending));
            count.sold += u32::from(owner == Some(ReservationStatus::Confirmed));
        }
        assert_eq!(sale.category_counts(), counts);
        for (id, expected) in &model.reservations {
            let view = sale.reservation(*id).expect("a reservation");
            assert_eq!((view.status, view.amount.0), (expected.status, expected.amount), "{id:?}");
            assert_eq!(view.seats.as_slice(), expected.seats, "{id:?}");
            assert_eq!(view.hold_expires_at, expected.expires_at);
        }
        for (id, expected) in &model.payments {
            let view = sale.payment(*id).expect("a payment");
            assert_eq!((&view.status, view.amount.0), (&expected.status, expected.amount), "{id:?}");
            assert_eq!(sale.payment_row(*id).map(|row| row.captured.0), Some(expected.captured), "{id:?}");
        }
        let unmatched = sale.unmatched().into_iter().map(|row| (row.payment, row.moved));
        assert!(unmatched.eq(model.unmatched.iter().copied()), "{:?} but {:?}", sale.unmatched(), model.unmatched);
        for number in 0..BUYERS {
            let place = sale.place(buyer(number), self.now);
            assert_eq!(place.map(|place| place.status), model.place(buyer(number), self.now), "buyer {number}");
            let waiting = model.waiting().len() as u64;
            assert!(place.is_none_or(|place| place.total_in_queue == waiting));
        }
        let steering = sale.steering().unwrap();
        let counted = (steering.waiting, steering.active, steering.admitted_total);
        assert_eq!(counted, (model.waiting().len() as u64, model.active(), model.admitted()));
        let over = self.now >= model.rules.sale_ends_at;
        let earliest = model.dues(self.now).into_iter().filter(|(_, due)| !over || !matches!(due, Due::Admit(_)));
        assert_eq!(sale.next_deadline(), earliest.map(|(at, _)| at).min(), "the next deadline");
        let snapshot = sale.snapshot();
        assert_eq!(replayed(&self.journal).snapshot(), snapshot, "replay");
        assert_eq!(self.restored.snapshot(), snapshot, "a restored sale goes on alike");
        if self.serial.is_multiple_of(3) {
            self.restored = Sale::from_snapshot(snapshot.clone());
            assert_eq!(self.restored.snapshot(), snapshot, "a snapshot is whole");
        }
    }
}

fn name(rejection: &Rejection) -> String {
    format!("{rejection:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
