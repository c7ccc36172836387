//! Random commands at random times, told to the sale and to the naive model: the same answers, the same state to be
//! seen, and after every step a sale that is whole, replays, and goes on from a snapshot as if nothing had happened.

use crate::id::{BuyerId, CategoryIndex, Epoch, PaymentId, PlanHash, ReservationId, SeatIndex, Slot};
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::model::{Due, Model, No, Place};
use crate::sale::stage::{admin, buyer, drawn, replayed, rules};
use crate::sale::{
    ChangeHold, ChargeOutcome, Command, ConfirmPayment, Decision, Entry, Fact, Hold, MoneyMoved, OpenPayment,
    OperatorCancel, PaymentFailure, RefundReason, Rejection, RequestKey, ReservationStatus, Sale, SaleConfig,
    SeatBlocking, SeatCounts, Seats, Selection, SteeringChange, Unavailable,
};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const HALL: [&str; 4] = ["VVVV_VVV", "RRVVVRR", "RRRRRR", "RR_R"];
const BUYERS: u128 = 6;
/// A payment that nobody has opened.
const NOBODYS: PaymentId = PaymentId(Uuid::from_u128(0xdead));

/// Something that somebody wants, with reservations and payments named by how long ago they were made.
#[derive(Clone, Debug)]
enum Deed {
    Hold {
        buyer: u8,
        seats: Vec<u8>,
        key: Option<(u8, u8)>,
        token: bool,
    },
    HoldBlock {
        buyer: u8,
        first: u8,
        size: u8,
    },
    HoldBest {
        buyer: u8,
        category: u8,
        quantity: u8,
    },
    Change {
        ago: u8,
        seats: Vec<u8>,
        stranger: bool,
    },
    ChangeBlock {
        ago: u8,
        first: u8,
        size: u8,
    },
    Release {
        ago: u8,
        stranger: bool,
    },
    Cancel {
        ago: u8,
        stranger: bool,
    },
    /// An administrator ends somebody's reservation.
    OperatorCancel {
        ago: u8,
        only_paid: bool,
    },
    Open {
        ago: u8,
        wrong: bool,
        key: Option<(u8, u8)>,
    },
    Confirm {
        ago: u8,
        wrong: bool,
        key: Option<(u8, u8)>,
        other: bool,
    },
    /// Tries one card after the other.
    Declined {
        ago: u8,
        times: u8,
    },
    Settle {
        ago: u8,
        outcome: u8,
    },
    SettleRefund {
        ago: u8,
    },
    Enter {
        buyer: u8,
    },
    Leave {
        buyer: u8,
    },
    Absent {
        buyer: u8,
    },
    Steer(SteeringChange),
    Block {
        block: Vec<u8>,
        unblock: Vec<u8>,
    },
    CancelSale,
    Wait {
        millis: u64,
        timers: bool,
    },
    Tick,
    Restart,
}

fn seats() -> impl Strategy<Value = Vec<u8>> {
    let seat = prop_oneof![40 => 0..24_u8, 1 => Just(200)];
    prop::collection::vec(seat, 0..5).prop_map(|mut seats| {
        let mut seen = Vec::new();
        seats.retain(|seat| {
            !seen.contains(seat) && {
                seen.push(*seat);
                true
            }
        });
        seats
    })
}

fn key() -> impl Strategy<Value = Option<(u8, u8)>> {
    prop_oneof![3 => Just(None), 1 => (0..3_u8, 0..2_u8).prop_map(Some)]
}

fn steer() -> impl Strategy<Value = SteeringChange> {
    let none = SteeringChange::default;
    prop_oneof![
        (1..5_u32).prop_map(move |rate| SteeringChange { rate_per_second: Some(rate), ..none() }),
        prop::option::of(0..4_u64).prop_map(move |limit| SteeringChange { active_limit: Some(limit), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { required: Some(on), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { paused: Some(on), ..none() }),
        any::<bool>().prop_map(move |on| SteeringChange { closed: Some(on), ..none() }),
    ]
}

fn wait() -> impl Strategy<Value = Deed> {
    let millis = prop_oneof![
        6 => 0..2_000_u64,
        6 => 2_000..40_000_u64,
        3 => 40_000..400_000_u64,
        1 => 400_000..2_000_000_u64,
        1 => 80_000_000..100_000_000_u64
    ];
    (millis, prop::bool::weighted(0.7)).prop_map(|(millis, timers)| Deed::Wait { millis, timers })
}

fn deed() -> impl Strategy<Value = Deed> {
    let who = || 0..BUYERS as u8;
    let stranger = || prop::bool::weighted(0.1);
    prop_oneof![
        8 => (who(), seats(), key(), prop::bool::weighted(0.9))
            .prop_map(|(buyer, seats, key, token)| Deed::Hold { buyer, seats, key, token }),
        8 => (who(), 0..24_u8, 1..4_u8).prop_map(|(buyer, first, size)| Deed::HoldBlock { buyer, first, size }),
        6 => (who(), 0..2_u8, 0..5_u8).prop_map(|(buyer, category, quantity)| Deed::HoldBest { buyer, category, quantity }),
        4 => (0..3_u8, seats(), stranger()).prop_map(|(ago, seats, stranger)| Deed::Change { ago, seats, stranger }),
        3 => (0..3_u8, 0..24_u8, 1..4_u8).prop_map(|(ago, first, size)| Deed::ChangeBlock { ago, first, size }),
        4 => (0..6_u8, stranger()).prop_map(|(ago, stranger)| Deed::Release { ago, stranger }),
        3 => (0..6_u8, stranger()).prop_map(|(ago, stranger)| Deed::Cancel { ago, stranger }),
        2 => (0..6_u8, any::<bool>()).prop_map(|(ago, only_paid)| Deed::OperatorCancel { ago, only_paid }),
        10 => (0..3_u8, stranger(), key()).prop_map(|(ago, wrong, key)| Deed::Open { ago, wrong, key }),
        10 => (0..2_u8, stranger(), key(), stranger())
            .prop_map(|(ago, wrong, key, other)| Deed::Confirm { ago, wrong, key, other }),
        2 => (0..2_u8, 1..4_u8).prop_map(|(ago, times)| Deed::Declined { ago, times }),
        10 => (0..3_u8, 0..8_u8).prop_map(|(ago, outcome)| Deed::Settle { ago, outcome }),
        2 => (0..4_u8).prop_map(|ago| Deed::SettleRefund { ago }),
        8 => who().prop_map(|buyer| Deed::Enter { buyer }),
        2 => who().prop_map(|buyer| Deed::Leave { buyer }),
        1 => who().prop_map(|buyer| Deed::Absent { buyer }),
        2 => steer().prop_map(Deed::Steer),
        2 => (seats(), seats()).prop_map(|(block, mut unblock)| {
            unblock.retain(|seat| !block.contains(seat));
            Deed::Block { block, unblock }
        }),
        1 => prop_oneof![9 => Just(Deed::Tick), 1 => Just(Deed::CancelSale)],
        14 => wait(),
        4 => Just(Deed::Tick),
        1 => Just(Deed::Restart),
    ]
}

prop_compose! {
    fn sale_rules()(
        no_orphans in any::<bool>(), required in any::<bool>(), rate in 1..4_u32, limit in prop::option::of(1..4_u64),
        capacity in 2..7_u64, max in 2..5_u16, hold in 30..400_u64, token in 30..700_u64, opens in 0..100_i64,
        minutes in 5..200_i64, room in prop::option::of(0..50_i64), made in 1..8_u16,
        unpriced in prop_oneof![4 => Just(None), 1 => (0..2_usize).prop_map(Some)],
        blocked in prop_oneof![2 => Just(Vec::new()), 1 => seats()],
        is_free in prop::bool::weighted(0.3),
    ) -> SaleConfig {
        let start = crate::sale::stage::time("10:00:00");
        let after = |seconds: i64| Timestamp(start.0 + seconds * 1_000_000);
        let mut config = rules(2);
        (config.no_orphans, config.max_seats_per_buyer) = (no_orphans, max);
        if is_free {
            config.prices[0] = Some(Amount(0));
        }
        (config.sale_starts_at, config.sale_ends_at) = (after(opens), after(opens + minutes * 60));
        config.cancellation_closes_at = after(opens + minutes * 90);
        config.hold = Duration::from_secs(hold);
        config.admission.required = required;
        config.admission.rate_per_second = rate;
        config.admission.active_limit = limit;
        config.admission.capacity = capacity;
        config.admission.token = Duration::from_secs(token);
        config.admission.room_opens_at = room.map(after);
        config.admission.max_holds_per_slot = made;
        unpriced.iter().for_each(|category| config.prices[*category] = None);
        let mut blocked: Vec<_> = blocked.iter().filter(|seat| **seat < 23).map(|seat| SeatIndex(u32::from(*seat))).collect();
        blocked.sort_unstable();
        config.blocked = blocked.into();
        config
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8 * ProptestConfig::default().cases, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_sale_does_what_the_naive_model_does(config in sale_rules(), deeds in prop::collection::vec(deed(), 1..120)) {
        let mut pair = Pair::new(config);
        deeds.iter().for_each(|deed| pair.perform(deed));
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
        let now = crate::sale::stage::time("10:00:00");
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
        let told = |result: &Result<Decision, Rejection>| match result {
            Ok(decision) => Ok(format!("{decision:?}")),
            Err(rejection) => Err(rejection.clone()),
        };
        let decision = self.sale.decide(command, self.now, self.epoch);
        assert_eq!(told(&self.restored.decide(command, self.now, self.epoch)), told(&decision), "a restored sale");
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

    fn perform(&mut self, deed: &Deed) {
        match deed {
            Deed::Wait { millis, timers } => self.wait(*millis, *timers),
            Deed::Tick => {
                self.tick();
            }
            Deed::Restart => {
                self.epoch.0 += 1;
                self.sale = replayed(&self.journal);
                self.restored = Sale::from_snapshot(self.sale.snapshot());
            }
            _ => self.tell(deed),
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

    fn nobodys(&mut self) -> Uuid {
        self.uuid()
    }

    fn key(buyer: BuyerId, route: u128, key: Option<(u8, u8)>) -> Option<RequestKey> {
        key.map(|(key, body)| RequestKey {
            scope: (buyer.0.as_u128() << 64) | (route << 32) | u128::from(key),
            body: u128::from(body),
        })
    }

    fn tell(&mut self, deed: &Deed) {
        match deed {
            Deed::Hold { buyer: who, seats, key, token } => {
                let seats = seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                self.hold(*who, Selection::These(seats), *key, *token);
            }
            Deed::HoldBlock { buyer: who, first, size } => {
                let seats = (*first..*first + *size).map(|seat| SeatIndex(u32::from(seat))).collect();
                self.hold(*who, Selection::These(seats), None, true);
            }
            Deed::HoldBest { buyer: who, category, quantity } => {
                let category = CategoryIndex(u16::from(*category));
                self.hold(*who, Selection::best(category, u16::from(*quantity)), None, true);
            }
            Deed::Change { ago, seats, stranger } => {
                let seats = seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                self.change(*ago, seats, *stranger);
            }
            Deed::ChangeBlock { ago, first, size } => {
                let seats = (*first..*first + *size).map(|seat| SeatIndex(u32::from(seat))).collect();
                self.change(*ago, seats, false);
            }
            Deed::Release { ago, stranger } => {
                let (reservation, buyer) = self.somebodys(*ago, *stranger);
                let expected = self.model.may_release(buyer, reservation);
                if self.same(&Command::ReleaseHold { buyer, reservation }, expected)
                    && self.model.reservations[&reservation].status == ReservationStatus::Pending
                {
                    self.model.end(reservation, ReservationStatus::Cancelled, PaymentFailure::HoldEnded);
                }
            }
            Deed::Cancel { ago, stranger } => {
                let (reservation, buyer) = self.somebodys(*ago, *stranger);
                let expected = self.model.may_cancel(buyer, reservation, self.now);
                if self.same(&Command::CancelReservation { buyer, reservation }, expected) {
                    self.model.refund(reservation, RefundReason::BuyerCancelled);
                }
            }
            Deed::OperatorCancel { ago, only_paid } => {
                let (reservation, _) = self.somebodys(*ago, false);
                let status = self.model.reservations.get(&reservation).map(|reservation| reservation.status);
                // Whether one that has ended was ever paid is for the stories to show.
                let only_paid = *only_paid && status.is_some_and(|status| status == ReservationStatus::Pending);
                let expected = self.model.may_end(reservation, only_paid);
                let cancel = OperatorCancel { reservation, by: admin(), reason: "asked for".into(), only_paid };
                if self.same(&Command::CancelByOperator(cancel), expected) {
                    match status {
                        Some(ReservationStatus::Confirmed) => {
                            self.model.refund(reservation, RefundReason::OperatorCancelled);
                        }
                        Some(ReservationStatus::Pending) => {
                            self.model.end(reservation, ReservationStatus::Cancelled, PaymentFailure::HoldEnded);
                        }
                        Some(ReservationStatus::Cancelled | ReservationStatus::Expired) | None => {}
                    }
                }
            }
            Deed::Declined { ago, times } => {
                for _ in 0..*times {
                    self.pay(&Deed::Open { ago: *ago, wrong: false, key: None });
                    self.pay(&Deed::Confirm { ago: 0, wrong: false, key: None, other: false });
                    self.settle(0, 0);
                }
            }
            Deed::Open { .. } | Deed::Confirm { .. } | Deed::Settle { .. } | Deed::SettleRefund { .. } => {
                self.pay(deed)
            }
            Deed::Enter { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                let expected = self.model.may_enter(buyer, self.now);
                let stands = expected == Ok(true);
                if self.same(&Command::Enter { buyer }, expected.map(|_| ())) && !stands {
                    self.model.join(buyer);
                }
            }
            Deed::Leave { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                self.same(&Command::Leave { buyer }, Ok(()));
                self.model.places.remove(&buyer);
            }
            Deed::Absent { buyer: who } => {
                let buyer = buyer(u128::from(*who));
                self.same(&Command::ExpireAbsent { buyer }, Ok(()));
                if let Some(place @ Place::Waiting { .. }) = self.model.places.get_mut(&buyer) {
                    *place = Place::Expired { at: self.now };
                }
            }
            Deed::Steer(change) => {
                let expected = if self.model.cancelled { Err("SaleClosed") } else { Ok(()) };
                if self.same(&Command::Steer { change: change.clone(), by: admin() }, expected) {
                    self.model.steering = self.model.steering.after(change);
                }
            }
            Deed::Block { block, unblock } => {
                let seats = |seats: &[u8]| seats.iter().map(|seat| SeatIndex(u32::from(*seat))).collect();
                let change = SeatBlocking { block: seats(block), unblock: seats(unblock), reason: "a camera".into() };
                let expected = self.model.may_block(&change);
                if self.same(&Command::BlockSeats { change: Box::new(change.clone()), by: admin() }, expected) {
                    self.model.block(&change);
                }
            }
            Deed::CancelSale => {
                self.same(&Command::CancelSale { by: admin() }, Ok(()));
                self.model.cancelled = true;
            }
            Deed::Wait { .. } | Deed::Tick | Deed::Restart => unreachable!("no commands"),
        }
        self.model.note(self.now);
    }

    /// Tells the command; both must say the same. Whether it was taken.
    fn same(&mut self, command: &Command, expected: Result<(), No>) -> bool {
        let decided = self.decide(command);
        let kind = decided.as_ref().map(|_| ()).map_err(name);
        assert_eq!(kind, expected.map_err(str::to_owned), "{command:?} at {:?}", self.now);
        decided.map(|facts| self.happen(facts)).is_ok()
    }

    fn somebodys(&mut self, ago: u8, stranger: bool) -> (ReservationId, BuyerId) {
        let Some(id) = Self::back(&self.reservations, ago) else {
            return (ReservationId(self.nobodys()), buyer(0));
        };
        let owner = self.model.reservations[&id].buyer;
        (id, if stranger { buyer(77) } else { owner })
    }

    fn hold(&mut self, who: u8, selection: Selection, key: Option<(u8, u8)>, token: bool) {
        let buyer = buyer(u128::from(who));
        let slot = match self.model.places.get(&buyer) {
            Some(Place::Active { slot, .. }) if token => Some(*slot),
            _ => (!token).then_some(Slot(1)),
        };
        let hold =
            Hold { reservation: ReservationId(self.uuid()), buyer, selection, slot, key: Self::key(buyer, 1, key) };
        let expected = self.model.may_hold(&hold, self.now);
        let command = Command::Hold(hold.clone());
        let decided = self.decide(&command);
        let again = expected == Ok(true);
        let expected = expected.and_then(|_| self.best_exists(&hold, again));
        assert_eq!(decided.as_ref().map(|_| ()).map_err(name), expected.map_err(str::to_owned), "{hold:?}");
        match decided {
            Ok(facts) if again => assert!(facts.is_empty()),
            Ok(facts) => {
                let Some(Fact::SeatsHeld { seats, .. }) = facts.last() else { panic!("{facts:?}") };
                self.check_choice(&hold.selection, seats);
                self.model.hold(&hold, seats.to_vec(), self.now);
                self.reservations.push(hold.reservation);
                self.happen(facts);
            }
            Err(Rejection::SeatUnavailable { reason, taken, longest_block, alternative }) => {
                self.check_unavailable(&hold.selection, (reason, &taken, longest_block), alternative.as_ref());
                self.check_alternative(&hold, alternative);
            }
            Err(Rejection::OrphanSeat { alternative, .. }) => self.check_alternative(&hold, alternative),
            Err(_) => {}
        }
    }

    fn best_exists(&self, hold: &Hold, again: bool) -> Result<(), No> {
        match &hold.selection {
            Selection::Best { category, quantity, .. } if !again => {
                let letter = ['V', 'R'][category.at()];
                let none = self.model.blocks(letter, usize::from(*quantity)).is_empty();
                if none { Err("SeatUnavailable") } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Best seats are a block of their category that leaves no single seat if one does.
    fn check_choice(&self, selection: &Selection, seats: &[SeatIndex]) {
        match selection {
            Selection::These(asked) => assert_eq!(asked.as_slice(), seats),
            Selection::Best { category, quantity, .. } => {
                let blocks = self.model.blocks(['V', 'R'][category.at()], usize::from(*quantity));
                assert!(blocks.iter().any(|block| block == seats), "{seats:?} is no free block");
                let clean = |block: &[SeatIndex]| self.model.orphans(block, &[]).is_empty();
                let could = blocks.iter().any(|block| clean(block));
                assert!(!self.model.rules.no_orphans || !could || clean(seats), "{seats:?} leaves one");
            }
        }
    }

    /// A refusal says why, how many stand together, and names others if there are any.
    fn check_unavailable(
        &self,
        selection: &Selection,
        (reason, taken, longest): (Unavailable, &Seats, u16),
        alternative: Option<&Seats>,
    ) {
        let model = &self.model;
        let (letter, size, expected) = match selection {
            Selection::These(seats) => {
                assert!(taken.iter().eq(seats.iter().filter(|seat| model.is_taken(**seat))));
                let is_left = ['V', 'R'].iter().any(|letter| model.free_of(*letter) > 0);
                let reason = if is_left { Unavailable::Taken } else { Unavailable::SoldOut };
                (model.seats[seats[0].at()].letter, seats.len(), reason)
            }
            Selection::Best { category, quantity, .. } => {
                assert_eq!(*taken, Seats::new());
                let letter = ['V', 'R'][category.at()];
                let reason = if model.free_of(letter) > 0 { Unavailable::NoBlock } else { Unavailable::SoldOut };
                (letter, usize::from(*quantity), reason)
            }
        };
        assert_eq!(reason, expected);
        let has_block = |size: &usize| !model.blocks(letter, *size).is_empty();
        if size > 0 {
            assert_eq!(usize::from(longest), (0..=24).rev().find(has_block).unwrap_or(0), "the longest block");
        }
        assert!(alternative.is_none_or(|seats| seats.len() == size));
        if alternative.is_none() {
            assert!(!has_block(&size), "a block could be had");
            let could = size > 0 && model.free_of(letter) >= size && !model.rules.no_orphans;
            assert!(!could, "seats apart could be had");
        }
    }

    /// An alternative succeeds when it is tried next.
    fn check_alternative(&self, hold: &Hold, alternative: Option<Seats>) {
        let Some(seats) = alternative else { return };
        let next = Hold { selection: Selection::These(seats), key: None, ..hold.clone() };
        assert!(self.decide(&Command::Hold(next.clone())).is_ok(), "{next:?} was offered");
    }

    fn change(&mut self, ago: u8, seats: Seats, stranger: bool) {
        let (reservation, buyer) = self.somebodys(ago, stranger);
        let change = ChangeHold { buyer, reservation, seats };
        let expected = self.model.may_change(&change, self.now);
        let decided = self.decide(&Command::ChangeHold(change.clone()));
        let kind = decided.as_ref().map(|_| ()).map_err(name);
        let own = self.model.reservations.get(&reservation).map(|r| r.seats.clone()).unwrap_or_default();
        let leaves_one = || self.model.rules.no_orphans && !self.model.orphans(&change.seats, &own).is_empty();
        if expected.is_ok() && leaves_one() {
            // Whether another block could have been had is left to the sale; what it says must be consistent.
            let refused = kind == Err("OrphanSeat".to_owned());
            assert!(refused || kind.is_ok() && self.model.is_block(&change.seats), "{change:?}: {kind:?}");
        } else {
            assert_eq!(kind, expected.map_err(str::to_owned), "{change:?}");
        }
        match decided {
            Ok(facts) => {
                assert_eq!(self.model.change(&change), !facts.is_empty());
                self.happen(facts);
            }
            Err(Rejection::SeatUnavailable { alternative, .. } | Rejection::OrphanSeat { alternative, .. }) => {
                let Some(seats) = alternative else { return };
                let next = ChangeHold { seats, ..change };
                assert!(self.decide(&Command::ChangeHold(next.clone())).is_ok(), "{next:?} was offered");
            }
            Err(_) => {}
        }
    }

    fn pay(&mut self, deed: &Deed) {
        match deed {
            Deed::Open { ago, wrong, key } => {
                let (reservation, buyer) = self.somebodys(*ago, false);
                let amount = self.model.reservations.get(&reservation).map_or(0, |r| r.amount) + i64::from(*wrong);
                let (payment, key) = (PaymentId(self.uuid()), Self::key(buyer, 2, *key));
                let open = OpenPayment { payment, buyer, reservation, amount: Amount(amount), key };
                let expected = self.model.may_open(&open, self.now);
                let again = expected == Ok(true);
                if self.same(&Command::OpenPayment(open.clone()), expected.map(|_| ())) && !again {
                    let answered = self.model.open(&open, self.now);
                    if answered == payment {
                        self.payments.push(payment);
                    }
                }
            }
            Deed::Confirm { ago, wrong, key, other } => {
                let payment = Self::back(&self.payments, *ago).unwrap_or(PaymentId(self.nobodys()));
                let known = self.model.payments.get(&payment).cloned();
                let reservation = known.as_ref().map_or_else(|| self.somebodys(0, false).0, |p| p.reservation);
                let owner = self.model.reservations.get(&reservation).map_or(buyer(0), |r| r.buyer);
                let amount = Amount(known.map_or(0, |p| p.amount) + i64::from(*wrong));
                let (transaction, key) = (if *other { "u" } else { "t" }.into(), Self::key(owner, 3, *key));
                let confirm = ConfirmPayment { buyer: owner, payment, reservation, amount, transaction, key };
                let expected = self.model.may_confirm(&confirm, self.now);
                let again = expected == Ok(true);
                if self.same(&Command::ConfirmPayment(confirm.clone()), expected.map(|_| ())) && !again {
                    self.model.confirm(&confirm, self.now);
                }
            }
            Deed::Settle { ago, outcome } => self.settle(*ago, *outcome),
            Deed::SettleRefund { ago } => {
                let payment = Self::back(&self.payments, *ago).unwrap_or(NOBODYS);
                self.same(&Command::SettleRefund { payment }, Ok(()));
                self.model.settle_refund(payment);
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn settle(&mut self, ago: u8, outcome: u8) {
        let payment = Self::back(&self.payments, ago).unwrap_or(NOBODYS);
        let amount = self.model.payments.get(&payment).map_or(7, |payment| payment.amount);
        let outcome = match outcome {
            0 => ChargeOutcome::Declined { reason: "no".into() },
            1 => ChargeOutcome::NotCharged,
            2 => ChargeOutcome::Unknown,
            3 => ChargeOutcome::Captured { amount: Amount(amount + 1) },
            4 => ChargeOutcome::Captured { amount: Amount(0) },
            _ => ChargeOutcome::Captured { amount: Amount(amount) },
        };
        let command = Command::SettleCharge { payment, outcome: outcome.clone() };
        if payment == NOBODYS {
            let expected = match outcome {
                ChargeOutcome::Captured { amount } => {
                    self.model.is_unmatched(payment, MoneyMoved::Captured { amount });
                    Ok(())
                }
                _ => Err("PaymentNotFound"),
            };
            self.same(&command, expected);
            return;
        }
        let facts = self.decide(&command).unwrap();
        let sold = facts.iter().find_map(|fact| match fact {
            Fact::ReservationConfirmed { seats, .. } => Some(seats.to_vec()),
            _ => None,
        });
        self.model.settle(payment, &outcome, sold);
        self.happen(facts);
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
