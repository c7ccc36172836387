//! Stories: what random buyers do to a real sale, as the facts that a journal would hold. The sale that lived through
//! them is what tables are compared with.

use crate::support::NOON;
use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{BuyerId, CategoryIndex, Epoch, EventId, PaymentId, ReservationId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::plan::Plan;
use onsale_engine::sale::{
    ChangeHold, ChargeOutcome, Command, ConfirmPayment, Entry, Hold, OpenPayment, OperatorCancel, Sale, SaleConfig,
    SeatBlocking, Selection, SteeringChange,
};
use onsale_engine::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const EPOCH: Epoch = Epoch(1);
const BUYERS: u128 = 6;

pub struct Story {
    pub event: EventId,
    pub sale: Sale,
    pub entries: Vec<Entry>,
    random: StdRng,
    now: Timestamp,
    reservations: Vec<ReservationId>,
    payments: Vec<(PaymentId, ReservationId)>,
}

pub fn buyer(number: u128) -> BuyerId {
    BuyerId(Uuid::from_u128(1000 + number))
}

pub fn buyers() -> impl Iterator<Item = BuyerId> {
    (0..BUYERS).map(buyer)
}

impl Story {
    /// A sale that has just been made.
    pub fn begin(event: EventId, seed: u64) -> Self {
        let mut story = Self {
            event,
            sale: Sale::new(),
            entries: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            now: NOON,
            reservations: Vec::new(),
            payments: Vec::new(),
        };
        let mut config = small_config(NOON);
        config.blocked = [SeatIndex(7), SeatIndex(8), SeatIndex(190)].into();
        assert!(story.execute(Command::Configure {
            config: Box::new(config),
            plan: small_plan(10, 20),
            by: buyer(99)
        }));
        story
    }

    /// A sale of another hall that opens in ten minutes, under changed rules.
    pub fn before_opening(event: EventId, plan: Arc<Plan>, change: impl FnOnce(&mut SaleConfig)) -> Self {
        let mut story = Self { sale: Sale::new(), entries: Vec::new(), ..Self::begin(event, 1) };
        assert!(story.configure(plan, change));
        story
    }

    /// Other rules, and another hall, ten minutes before it opens.
    pub fn configure(&mut self, plan: Arc<Plan>, change: impl FnOnce(&mut SaleConfig)) -> bool {
        let mut config = Box::new(small_config(NOON + Duration::from_secs(600)));
        change(&mut config);
        self.execute(Command::Configure { config, plan, by: buyer(99) })
    }

    /// A sale that has seen this many requests, and at last, sometimes, its cancellation.
    pub fn random(event: EventId, seed: u64, requests: usize) -> Self {
        let mut story = Self::begin(event, seed);
        for _ in 0..requests {
            story.request();
        }
        if story.random.random_bool(0.3) {
            story.execute(Command::CancelSale { by: buyer(99) });
            while story.execute(Command::Tick) {}
        }
        story
    }

    /// Decides and applies; whether anything happened.
    pub fn execute(&mut self, command: Command) -> bool {
        let Ok(decision) = self.sale.decide(&command, self.now, EPOCH) else { return false };
        let happened = !decision.facts.is_empty();
        for fact in decision.facts {
            let seq = self.sale.seq().next();
            let entry = Entry { seq, epoch: EPOCH, at: self.now, trace: crate::support::trace(seq.0), fact };
            self.sale.apply(&entry);
            self.entries.push(entry);
        }
        happened
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        while self.execute(Command::Tick) {}
    }

    /// A hold of the best seats; its reservation, if it was granted.
    pub fn hold(&mut self, buyer: BuyerId, quantity: u16) -> Option<ReservationId> {
        let category = CategoryIndex(self.random.random_range(0..2));
        self.hold_selection(buyer, Selection::best(category, quantity))
    }

    fn hold_selection(&mut self, buyer: BuyerId, selection: Selection) -> Option<ReservationId> {
        let reservation = ReservationId::new(self.event, self.now.unix_millis(), self.random.random());
        self.reservations.push(reservation);
        self.execute(Command::Hold(Hold { reservation, buyer, selection, slot: None, key: None }))
            .then_some(reservation)
    }

    /// Opens a payment.
    pub fn open(&mut self, reservation: ReservationId) -> Option<PaymentId> {
        let payment = PaymentId::new(self.event, self.now.unix_millis(), self.random.random());
        let view = self.sale.reservation(reservation)?;
        let (buyer, amount) = (view.buyer, view.amount);
        self.payments.push((payment, reservation));
        let open = OpenPayment { payment, buyer, reservation, amount, key: None };
        self.execute(Command::OpenPayment(open)).then_some(payment)
    }

    /// Opens a payment and starts to charge it.
    pub fn pay(&mut self, reservation: ReservationId) -> Option<PaymentId> {
        let payment = self.open(reservation)?;
        let view = self.sale.payment(payment)?;
        let (buyer, amount) = (view.buyer, view.amount);
        let transaction = format!("sim_ok_{}", self.random.random::<u16>()).into();
        let confirm = ConfirmPayment { buyer, payment, reservation, amount, transaction, key: None };
        self.execute(Command::ConfirmPayment(confirm)).then_some(payment)
    }

    /// Seats out of the sale and others back; whether anything happened.
    pub fn block(&mut self, block: &[SeatIndex], unblock: &[SeatIndex]) -> bool {
        let unblock = unblock.iter().copied().filter(|seat| !block.contains(seat)).collect();
        let change = Box::new(SeatBlocking { block: block.into(), unblock, reason: "a camera".into() });
        self.execute(Command::BlockSeats { change, by: buyer(99) })
    }

    fn seats(&mut self) -> onsale_engine::sale::Seats {
        let first = self.random.random_range(0..198u32);
        (first..first + self.random.random_range(1..=3)).map(SeatIndex).collect()
    }

    fn any_reservation(&mut self) -> Option<ReservationId> {
        let recent = self.reservations.len().min(8);
        let at = self.reservations.len().checked_sub(1 + self.random.random_range(0..recent.max(1)))?;
        Some(self.reservations[at])
    }

    fn any_payment(&mut self) -> Option<PaymentId> {
        let recent = self.payments.len().min(6);
        let at = self.payments.len().checked_sub(1 + self.random.random_range(0..recent.max(1)))?;
        Some(self.payments[at].0)
    }

    fn request(&mut self) {
        match self.random.random_range(0..100) {
            0..20 => {
                let (buyer, quantity) = (buyer(self.random.random_range(0..BUYERS)), self.random.random_range(1..=3));
                self.hold(buyer, quantity);
            }
            20..35 => {
                let (buyer, seats) = (buyer(self.random.random_range(0..BUYERS)), self.seats());
                self.hold_selection(buyer, Selection::These(seats));
            }
            35..55 => {
                let Some(reservation) = self.any_reservation() else { return };
                let Some(buyer) = self.sale.reservation(reservation).map(|view| view.buyer) else { return };
                let seats = self.seats();
                match self.random.random_range(0..9) {
                    0..3 => self.execute(Command::ChangeHold(ChangeHold { buyer, reservation, seats })),
                    3..5 => self.execute(Command::ReleaseHold { buyer, reservation }),
                    5..7 => {
                        let (by, reason, only_paid) = (self::buyer(99), "asked for".into(), self.random.random());
                        self.execute(Command::CancelByOperator(OperatorCancel { reservation, by, reason, only_paid }))
                    }
                    _ => self.execute(Command::CancelReservation { buyer, reservation }),
                };
            }
            55..70 => {
                let Some(reservation) = self.any_reservation() else { return };
                if self.random.random_bool(0.2) {
                    self.open(reservation);
                } else {
                    self.pay(reservation);
                }
            }
            70..85 => {
                let Some(payment) = self.any_payment() else { return };
                let amount = self.sale.payment(payment).map(|view| view.amount).unwrap_or_default();
                let outcome = match self.random.random_range(0..8) {
                    0..4 => ChargeOutcome::Captured { amount },
                    4 => ChargeOutcome::Captured { amount: Amount(amount.0 + 1) },
                    5 => ChargeOutcome::Declined { reason: "no_funds".into() },
                    6 => ChargeOutcome::NotCharged,
                    _ => ChargeOutcome::Unknown,
                };
                self.execute(Command::SettleCharge { payment, outcome });
            }
            85..90 => {
                let Some(payment) = self.any_payment() else { return };
                self.execute(Command::SettleRefund { payment });
            }
            90..92 => {
                let change =
                    SteeringChange { rate_per_second: Some(self.random.random_range(1..50)), ..Default::default() };
                self.execute(Command::Steer { change, by: buyer(99) });
            }
            92..95 => {
                let (block, all) = (self.seats(), self.random.random_bool(0.3));
                let unblock = if all { self.sale.seats_blocked() } else { Vec::new() };
                self.block(&block, &unblock);
            }
            _ => {
                let time = Duration::from_millis(self.random.random_range(0..90_000));
                self.pass(time);
            }
        }
    }
}
