//! The stage for stories about a sale: a drawn hall, a clock that is moved by hand, buyers and a payment
//! provider who do what the story says. After every command it checks the invariants and that a snapshot is whole;
//! at the end, that replaying the journal gives the same sale. Must never decide anything itself.

pub(in crate::sale) mod buyer;

use crate::id::{BuyerId, Epoch, PaymentId, PlanHash, ReservationId, SeatIndex};
use crate::money::Amount;
use crate::plan::{Category, Plan, PlanDraft, RowDraft, SeatDraft, SectionDraft};
use crate::sale::draw::DrawSeed;
use crate::sale::{
    AdmissionConfig, ChargeOutcome, Command, Entry, Fact, PaymentStatus, Rejection, Reply, ReservationStatus,
    ReservationView, Sale, SaleConfig, Seats, Steering, SteeringChange,
};
use crate::time::Timestamp;
use buyer::Buyer;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A time of the day of the sale, `HH:MM:SS` with as many decimals as wanted.
pub(in crate::sale) fn time(text: &str) -> Timestamp {
    let mut parts = text.split(':').map(|part| part.parse::<f64>().expect("HH:MM:SS"));
    let mut next = || parts.next().expect("HH:MM:SS");
    let seconds = next() * 3600.0 + next() * 60.0 + next();
    Timestamp(1_780_272_000_000_000 + (seconds * 1e6).round() as i64)
}

/// A hall as it is drawn: a row each line, the nearest to the stage first; a letter is a seat of that category, `_` an
/// aisle. Rows are called A, B, …, seats 1, 2, … within their row.
pub(in crate::sale) fn drawn(rows: &[&str]) -> PlanDraft {
    let mut letters: Vec<char> = Vec::new();
    let mut drafts = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let label = if rows.len() > 26 { number.to_string() } else { char::from(b'A' + number as u8).to_string() };
        let mut seats = Vec::new();
        for (column, letter) in row.chars().enumerate().filter(|(_, letter)| *letter != '_' && *letter != ' ') {
            if !letters.contains(&letter) {
                letters.push(letter);
            }
            let name = (seats.len() + 1).to_string();
            let (x, y) = (column as f32, number as f32);
            seats.push(SeatDraft {
                id: format!("{label}-{name}"),
                label: name,
                x,
                y,
                category: letter.to_string(),
                ..SeatDraft::default()
            });
        }
        drafts.push(RowDraft { label, seats, ..RowDraft::default() });
    }
    let category = |letter: char| Category { name: letter.to_string(), color: String::new() };
    let categories = letters.into_iter().map(category).collect();
    let section = SectionDraft { rows: drafts, ..SectionDraft::default() };
    PlanDraft { size: (100.0, 100.0), categories, sections: vec![section], ..PlanDraft::default() }
}

/// The rules that a story starts from: on sale from 10:00 to 12:00, four seats each, five minutes, no waiting room.
/// The first category costs 100, the next 200, and so on.
pub(in crate::sale) fn rules(categories: usize) -> SaleConfig {
    SaleConfig {
        sale_starts_at: time("10:00:00"),
        sale_ends_at: time("12:00:00"),
        cancellation_closes_at: time("18:00:00"),
        currency: "KRW".parse().unwrap(),
        prices: (1..=categories as i64).map(|nth| Some(Amount(nth * 100))).collect(),
        blocked: Arc::default(),
        max_seats_per_buyer: 4,
        hold: Duration::from_secs(300),
        no_orphans: false,
        admission: AdmissionConfig {
            required: false,
            rate_per_second: 10,
            capacity: 50_000,
            active_limit: None,
            token: Duration::from_secs(600),
            max_holds_per_slot: 30,
            absent: Duration::from_secs(300),
            draw: false,
            room_opens_at: None,
        },
    }
}

pub(in crate::sale) struct Stage {
    pub(in crate::sale) sale: Sale,
    pub(in crate::sale) now: Timestamp,
    pub(in crate::sale) journal: Vec<Entry>,
    epoch: Epoch,
    serial: u128,
}

impl Stage {
    /// At ten o'clock in the theatre; buyer 1 holds two seats for 200.
    pub fn holding() -> (Self, ReservationId) {
        let mut stage = Self::theatre();
        stage.at("10:00:00");
        let hold = stage.buyer(1).holds(["A-1", "A-2"]);
        (stage, hold)
    }

    /// At half past nine; buyers 1, 2 and 3 wait for ten o'clock.
    pub fn crowd() -> Self {
        let mut stage = Self::with_room();
        for buyer in 1..=3 {
            stage.at("09:30:00").buyer(buyer).enters();
        }
        stage
    }

    /// A hall as drawn, its sale made at nine.
    pub(in crate::sale) fn hall(rows: &[&str]) -> Self {
        Self::of(&drawn(rows))
    }

    /// A hall of this draft, its sale made at nine.
    pub(in crate::sale) fn of(draft: &PlanDraft) -> Self {
        let plan = Arc::new(Plan::compile(draft, PlanHash([7; 32])).expect("a sound plan"));
        let config = Box::new(rules(plan.categories().len()));
        let sale = Sale::new();
        let mut stage = Self { sale, now: time("09:00:00"), journal: Vec::new(), epoch: Epoch(1), serial: 0 };
        stage.submit(&Command::Configure { config, plan, by: admin() }).expect("a sale can be made");
        stage
    }

    /// Row A of ten V seats at 100 and two rows of ten R seats at 200, all without aisles.
    pub(in crate::sale) fn theatre() -> Self {
        Self::hall(&["VVVVVVVVVV", "RRRRRRRRRR", "RRRRRRRRRR"])
    }

    /// The theatre with a waiting room.
    pub(in crate::sale) fn with_room() -> Self {
        Self::theatre().rules(|config| config.admission.required = true)
    }

    /// Changes the rules before the sale opens.
    pub(in crate::sale) fn rules(mut self, change: impl FnOnce(&mut SaleConfig)) -> Self {
        self.reconfigures(change).expect("rules change before the sale opens");
        self
    }

    pub(in crate::sale) fn reconfigures(&mut self, change: impl FnOnce(&mut SaleConfig)) -> Result<Reply, Rejection> {
        let mut config = Box::new(self.sale.config().unwrap().clone());
        change(&mut config);
        let plan = Arc::clone(self.sale.plan().unwrap());
        self.submit(&Command::Configure { config, plan, by: admin() })
    }

    /// The clock goes on to this time, and every timer on the way rings when it should.
    pub(in crate::sale) fn at(&mut self, text: &str) -> &mut Self {
        let until = time(text);
        while let Some(due) = self.sale.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.step();
        }
        self.now = until;
        self
    }

    /// The clock goes on to this time, and no timer rings.
    pub(in crate::sale) fn unattended_at(&mut self, text: &str) -> &mut Self {
        self.now = time(text);
        self
    }

    /// Timers that are late ring now.
    pub(in crate::sale) fn timers_ring(&mut self) -> &mut Self {
        while self.sale.next_deadline().is_some_and(|due| due <= self.now) {
            self.step();
        }
        self
    }

    /// One step of passing time; it must do something when it is due.
    pub(in crate::sale) fn step(&mut self) -> Vec<Fact> {
        let before = self.journal.len();
        self.submit(&Command::Tick).unwrap();
        assert!(self.journal.len() > before, "a due step at {:?} does nothing", self.sale.next_deadline());
        self.journal[before..].iter().map(|entry| entry.fact.clone()).collect()
    }

    /// The engine restarts: the sale is what its journal says, under the next epoch.
    pub(in crate::sale) fn restarts(&mut self) -> &mut Self {
        self.epoch.0 += 1;
        self.sale = replayed(&self.journal);
        self
    }

    /// A command, decided, applied, and looked over.
    pub(in crate::sale) fn submit(&mut self, command: &Command) -> Result<Reply, Rejection> {
        let decision = self.sale.decide(command, self.now, self.epoch)?;
        for fact in decision.facts {
            self.happens(fact);
        }
        if self.sale.wants_seed() {
            let seed = DrawSeed([self.next().into_bytes(), self.next().into_bytes()].concat().try_into().unwrap());
            self.submit(&Command::CommitDraw { seed })?;
        }
        assert_eq!(self.sale.check_invariants(), Vec::<String>::new(), "after {command:?}");
        let snapshot = self.sale.snapshot();
        assert_eq!(Sale::from_snapshot(snapshot.clone()).snapshot(), snapshot, "after {command:?}");
        Ok(self.sale.answer(decision.outcome, self.now))
    }

    pub(in crate::sale) fn buyer(&mut self, number: u128) -> Buyer<'_> {
        Buyer::on(self, buyer(number))
    }

    pub(in crate::sale) fn seat(&self, id: &str) -> SeatIndex {
        self.sale.plan().unwrap().seat(id).unwrap_or(SeatIndex(u32::MAX))
    }

    pub(in crate::sale) fn seats(&self, ids: &[&str]) -> Seats {
        ids.iter().map(|id| self.seat(id)).collect()
    }

    pub(in crate::sale) fn names(&self, seats: &[SeatIndex]) -> Vec<String> {
        seats.iter().map(|seat| self.sale.plan().unwrap().seat_id(*seat).to_owned()).collect()
    }

    pub(in crate::sale) fn reservation(&self, id: ReservationId) -> ReservationView {
        self.sale.reservation(id).expect("a reservation")
    }

    pub(in crate::sale) fn seats_of(&self, id: ReservationId) -> Vec<String> {
        self.names(&self.reservation(id).seats)
    }

    pub(in crate::sale) fn status(&self, id: ReservationId) -> ReservationStatus {
        self.reservation(id).status
    }

    pub(in crate::sale) fn payment(&self, id: PaymentId) -> PaymentStatus {
        self.sale.payment(id).expect("a payment").status
    }

    /// A row as it looks: `.` free, `h` held, `s` sold, `x` not for sale.
    #[track_caller]
    pub(in crate::sale) fn shows(&mut self, row: &str, expected: &str) -> &mut Self {
        let (held, sold, blocked) = (self.sale.seats_held(), self.sale.seats_sold(), self.sale.seats_blocked());
        let plan = self.sale.plan().unwrap();
        let row = plan.rows().iter().find(|candidate| &*candidate.label == row).expect("a row of that name");
        let letter = |seat| {
            if held.contains(&seat) {
                'h'
            } else if sold.contains(&seat) {
                's'
            } else if blocked.contains(&seat) {
                'x'
            } else {
                '.'
            }
        };
        let drawn: String = row.seats.clone().map(|seat| letter(SeatIndex(seat))).collect();
        assert_eq!(drawn, expected, "row {}", row.label);
        self
    }

    /// A row as the story finds it: the seats marked `h` are held, each by a buyer of no other part in the story, all day.
    pub(in crate::sale) fn begins_with(&mut self, row: &str, picture: &str) -> &mut Self {
        for (at, _) in picture.char_indices().filter(|(_, letter)| *letter == 'h') {
            let (id, seats) = (self.next(), self.seats(&[&format!("{row}-{}", at + 1)]));
            if !self.sale.ledger.as_ref().unwrap().is_free(seats[0]) {
                continue;
            }
            let (reservation, buyer, expires_at) = (ReservationId(id), BuyerId(id), time("23:00:00"));
            self.happens(Fact::SeatsHeld { reservation, buyer, seats, amount: Amount(1), expires_at, slot: None });
        }
        self.shows(row, picture)
    }

    pub(in crate::sale) fn happens(&mut self, fact: Fact) {
        let entry = Entry { seq: self.sale.seq().next(), epoch: self.epoch, at: self.now, trace: None, fact };
        self.sale.apply(&entry);
        self.journal.push(entry);
    }

    /// So many holds of B-1 are made and released at once, by a buyer of no other part in the story.
    pub(in crate::sale) fn churns(&mut self, times: usize) -> &mut Self {
        let (seats, expires_at) = (self.seats(&["B-1"]), self.now);
        for _ in 0..times {
            let (reservation, seats, amount) = (ReservationId(self.next()), seats.clone(), Amount(200));
            self.happens(Fact::SeatsHeld { reservation, buyer: buyer(888_888), seats, amount, expires_at, slot: None });
            self.happens(Fact::HoldReleased { reservation });
        }
        self
    }

    pub(in crate::sale) fn next(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(0xffff_0000 + self.serial)
    }

    /// The provider answers a charge.
    pub(in crate::sale) fn provider_says(&mut self, payment: PaymentId, outcome: ChargeOutcome) -> &mut Self {
        self.submit(&Command::SettleCharge { payment, outcome }).expect("a known payment");
        self
    }

    pub(in crate::sale) fn captures(&mut self, payment: PaymentId) -> &mut Self {
        let amount = self.sale.payment(payment).expect("a payment").amount;
        self.provider_says(payment, ChargeOutcome::Captured { amount })
    }

    pub(in crate::sale) fn declines(&mut self, payment: PaymentId) -> &mut Self {
        self.provider_says(payment, ChargeOutcome::Declined { reason: "no_funds".into() })
    }

    pub(in crate::sale) fn refunds(&mut self, payment: PaymentId) -> &mut Self {
        self.submit(&Command::SettleRefund { payment }).expect("a known payment");
        self
    }

    pub(in crate::sale) fn steer(&mut self, change: SteeringChange) -> Steering {
        match self.submit(&Command::Steer { change, by: admin() }).expect("steered") {
            Reply::Steering(view) => view.steering,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::sale) fn pauses(&mut self, paused: bool) -> &mut Self {
        self.steer(SteeringChange { paused: Some(paused), ..SteeringChange::default() });
        self
    }

    pub(in crate::sale) fn requires(&mut self, required: bool) -> &mut Self {
        self.steer(SteeringChange { required: Some(required), ..SteeringChange::default() });
        self
    }

    pub(in crate::sale) fn limits_active(&mut self, limit: Option<u64>) -> &mut Self {
        self.steer(SteeringChange { active_limit: Some(limit), ..SteeringChange::default() });
        self
    }

    pub(in crate::sale) fn cancels_the_sale(&mut self) -> &mut Self {
        self.submit(&Command::CancelSale { by: admin() }).expect("cancelled");
        self
    }

    /// When everyone was let in, by `due`.
    pub(in crate::sale) fn dues(&self) -> Vec<Timestamp> {
        let due = |entry: &Entry| match &entry.fact {
            Fact::Admitted { due, .. } => Some(*due),
            _ => None,
        };
        self.journal.iter().filter_map(due).collect()
    }

    pub(in crate::sale) fn active(&self) -> u64 {
        self.sale.steering().unwrap().active
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(replayed(&self.journal).snapshot(), self.sale.snapshot(), "replay gives the same sale");
        }
    }
}

/// The sale that a journal describes.
pub(in crate::sale) fn replayed(journal: &[Entry]) -> Sale {
    let mut sale = Sale::new();
    journal.iter().for_each(|entry| sale.apply(entry));
    sale
}

pub(in crate::sale) fn buyer(number: u128) -> BuyerId {
    BuyerId(Uuid::from_u128(number))
}

pub(in crate::sale) fn admin() -> BuyerId {
    buyer(999_999)
}
