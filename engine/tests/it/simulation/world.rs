//! The world around one sale, moved by chance: the owner that decides ahead of the journal, its batches and crashes,
//! late timers, clients and the provider. After everything that happens the promises are checked.

use super::chance::Chance;
use super::chronicle::{Chronicle, Stands};
use super::clients::{Clients, admin, buyer};
use super::journal::{Append, Journal};
use super::provider::Provider;
use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{BuyerId, Epoch, PaymentId, ReservationId};
use onsale_engine::sale::draw::DrawSeed;
use onsale_engine::sale::{
    ChargeOutcome, Command, Decision, Entry, Fact, PlaceStatus, Reply, ReservationStatus, Sale, SaleConfig,
};
use onsale_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Things that happen in one history before everything comes to rest.
const MOMENTS: u64 = 220;

/// What happened, to see that the histories are worth their time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub facts: u64,
    pub answered: u64,
    pub refused: u64,
    pub crashes: u64,
    pub lost_facts: u64,
    pub unanswered: u64,
    pub unknown_commits: u64,
    pub fenced: u64,
    pub from_snapshots: u64,
    pub admitted: u64,
    pub confirmed: u64,
    pub refunded: u64,
    pub late_money: u64,
    pub cancelled_sales: u64,
    pub draws: u64,
    pub drawn_buyers: u64,
}

impl Told {
    pub fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.answered += other.answered;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.lost_facts += other.lost_facts;
        self.unanswered += other.unanswered;
        self.unknown_commits += other.unknown_commits;
        self.fenced += other.fenced;
        self.from_snapshots += other.from_snapshots;
        self.admitted += other.admitted;
        self.confirmed += other.confirmed;
        self.refunded += other.refunded;
        self.late_money += other.late_money;
        self.cancelled_sales += other.cancelled_sales;
        self.draws += other.draws;
        self.drawn_buyers += other.drawn_buyers;
    }

    /// Everything that can go wrong went wrong somewhere, and most things went well.
    pub fn is_rich(&self) -> bool {
        [
            self.crashes,
            self.lost_facts,
            self.unanswered,
            self.unknown_commits,
            self.fenced,
            self.from_snapshots,
            self.admitted,
            self.confirmed,
            self.refunded,
            self.late_money,
            self.cancelled_sales,
            self.draws,
            self.drawn_buyers,
        ]
        .into_iter()
        .all(|count| count > 100)
            && self.answered > 50_000
    }
}

/// Outside work and its results, on their way.
#[derive(Clone, Debug)]
enum Errand {
    Charge(PaymentId),
    Find(PaymentId),
    Refund(PaymentId),
    Told(Command),
}

pub struct World {
    chance: Chance,
    now: Timestamp,
    /// Runs ahead of the journal.
    sale: Sale,
    /// What readers see: committed facts.
    view: Sale,
    epoch: Epoch,
    batch: Vec<Entry>,
    answers: Vec<Reply>,
    /// A batch has failed: nothing is decided until it is in.
    failing: bool,
    journal: Journal,
    chronicle: Chronicle,
    provider: Provider,
    clients: Clients,
    errands: BTreeMap<(Timestamp, u64), Errand>,
    /// What the provider tells of its own accord, again and again.
    notices: Vec<Command>,
    serial: u64,
    told: Told,
}

fn rules(chance: &mut Chance, now: Timestamp) -> SaleConfig {
    let mut config = small_config(now + Duration::from_secs(chance.below(20)));
    config.sale_ends_at = config.sale_starts_at + Duration::from_secs(chance.within(200..4000));
    config.cancellation_closes_at = config.sale_ends_at + Duration::from_secs(3600);
    config.hold = Duration::from_secs(chance.within(5..300));
    config.no_orphans = chance.percent(30);
    config.admission.required = chance.percent(80);
    config.admission.rate_per_second = chance.within(1..8) as u32;
    config.admission.active_limit = chance.percent(50).then(|| chance.within(1..5));
    config.admission.token = Duration::from_secs(chance.within(10..600));
    config.admission.capacity = chance.within(3..10);
    config.admission.draw = chance.percent(40);
    config.admission.max_holds_per_slot = chance.within(2..20) as u16;
    config
}

impl World {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let now = Timestamp::from_secs(1_780_000_000);
        let config = Box::new(rules(&mut chance, now));
        let mut journal = Journal::default();
        let epoch = journal.raise_epoch();
        let mut world = Self {
            chance,
            now,
            sale: Sale::new(),
            view: Sale::new(),
            epoch,
            batch: Vec::new(),
            answers: Vec::new(),
            failing: false,
            journal,
            chronicle: Chronicle::default(),
            provider: Provider::default(),
            clients: Clients::default(),
            errands: BTreeMap::new(),
            notices: Vec::new(),
            serial: 0,
            told: Told::default(),
        };
        world.handle(&Command::Configure { config, plan: small_plan(3, 8), by: admin() });
        if world.sale.wants_seed() {
            let bits: [u64; 4] = std::array::from_fn(|_| world.chance.next());
            let mut seed = [0; 32];
            seed.chunks_mut(8).zip(bits).for_each(|(bytes, bits)| bytes.copy_from_slice(&bits.to_be_bytes()));
            world.handle(&Command::CommitDraw { seed: DrawSeed(seed) });
        }
        assert!(world.journal.write(&world.batch));
        world.publish();
        world.answer();
        world
    }

    /// One whole history.
    pub fn live(mut self) -> Told {
        for _ in 0..MOMENTS {
            self.moment();
            assert_eq!(self.sale.check_invariants(), Vec::<String>::new());
        }
        self.come_to_rest();
        self.settle_accounts();
        self.told
    }

    fn moment(&mut self) {
        match self.chance.below(100) {
            0..50 => {
                let command = self.clients.ask(&self.view, self.now, &mut self.chance);
                self.handle(&command);
            }
            50..72 => {
                let millis = match self.chance.below(10) {
                    0..7 => self.chance.within(0..400),
                    7..9 => self.chance.within(400..5_000),
                    _ => self.chance.within(5_000..120_000),
                };
                self.now = self.now + Duration::from_millis(millis);
                self.run_errands();
            }
            72..82 => self.ring_timers(),
            82..94 => {
                self.commit();
            }
            94..95 => self.crash(),
            95..98 => self.journal.keep(self.view.snapshot()),
            98..99 => self.break_word(),
            _ => {
                if self.chance.percent(15) {
                    self.handle(&Command::CancelSale { by: admin() });
                }
            }
        }
    }

    // The owner.

    /// Decides and applies on the sale that runs ahead; the answer waits for the batch.
    fn handle(&mut self, command: &Command) {
        if self.failing {
            return;
        }
        let now = self.now.max(self.sale.at());
        match self.sale.decide(command, now, self.epoch) {
            Ok(Decision { facts, outcome }) => {
                for fact in facts {
                    let entry = Entry { seq: self.sale.seq().next(), epoch: self.epoch, at: now, fact };
                    self.sale.apply(&entry);
                    self.batch.push(entry);
                }
                let reply = self.sale.answer(outcome, now);
                self.answers.push(reply);
            }
            Err(_) => self.told.refused += 1,
        }
    }

    fn ring_timers(&mut self) {
        for _ in 0..64 {
            let now = self.now.max(self.sale.at());
            if self.failing || self.sale.next_deadline().is_none_or(|due| due > now) {
                return;
            }
            let before = self.sale.seq();
            self.handle(&Command::Tick);
            assert!(self.sale.seq() > before, "a due step does something");
        }
    }

    /// Tries to commit the open batch; whether it is in.
    fn commit(&mut self) -> bool {
        match self.journal.append(&self.batch, &mut self.chance) {
            Append::Done => {
                self.failing = false;
                self.publish();
                if self.chance.percent(2) {
                    self.crash();
                } else {
                    self.answer();
                }
                true
            }
            Append::Failed => {
                self.failing = true;
                false
            }
            Append::Unknown => {
                self.told.unknown_commits += 1;
                self.failing = true;
                if self.chance.percent(20) {
                    self.crash();
                }
                false
            }
            Append::Fenced => panic!("nobody else owns the sale"),
        }
    }

    /// After a commit: the view, the answers, the effects, in this order.
    fn publish(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for entry in &batch {
            self.view.apply(entry);
            self.told.late_money += u64::from(self.buys_late(&entry.fact));
            self.chronicle.note(entry);
            self.told.facts += 1;
            match &entry.fact {
                Fact::PaymentStarted { payment, .. } => self.order(Errand::Charge(*payment)),
                Fact::RefundOrdered { payment, .. } => self.order(Errand::Refund(*payment)),
                Fact::Admitted { .. } => self.told.admitted += 1,
                Fact::ReservationConfirmed { .. } => self.told.confirmed += 1,
                Fact::PaymentRefunded { .. } => self.told.refunded += 1,
                Fact::SaleCancelled { .. } => self.told.cancelled_sales += 1,
                Fact::CohortFrozen { size, .. } => self.told.drawn_buyers += size,
                Fact::Drawn { .. } => self.told.draws += 1,
                _ => {}
            }
        }
    }

    /// Whether money that came after its hold had ended found seats.
    fn buys_late(&self, fact: &Fact) -> bool {
        let Fact::ReservationConfirmed { reservation, .. } = fact else { return false };
        self.chronicle.reservations[reservation].status == ReservationStatus::Expired
    }

    fn answer(&mut self) {
        for reply in std::mem::take(&mut self.answers) {
            self.told.answered += 1;
            self.is_true(&reply);
        }
    }

    /// What was answered is written, or was ended by something that is written.
    fn is_true(&self, reply: &Reply) {
        let (written, no_waiting) = (&self.chronicle, !self.view.steering().unwrap().steering.required);
        match reply {
            Reply::Reservation(view) => {
                let held = written.reservations.get(&view.id).expect("an answered reservation is written");
                assert_eq!(held.buyer, view.buyer);
                if view.status != ReservationStatus::Pending {
                    assert_eq!(held.status, view.status, "an end is final");
                }
            }
            Reply::Payment(view) => assert!(written.payments.contains_key(&view.id), "an answered payment is written"),
            Reply::Place(place) => match (place.ordinal, written.places.get(&place.buyer)) {
                (Some(_), Some(Stands::Waiting(_))) if written.is_drawn() => {}
                (Some(ordinal), Some(Stands::Waiting(stands))) => {
                    assert!(ordinal <= *stands, "the place or a later one")
                }
                (Some(_), _) | (None, None) => {}
                (None, Some(_)) => {
                    assert!(no_waiting || matches!(place.status, PlaceStatus::Active { slot: None, .. }))
                }
            },
            Reply::Done | Reply::Steering(_) => {}
        }
    }

    /// The process dies; what the journal has is what there is. The batch is not in it, or is and nobody was told.
    fn crash(&mut self) {
        self.told.crashes += 1;
        let old = std::mem::take(&mut self.batch);
        self.told.unanswered += std::mem::take(&mut self.answers).len() as u64;
        let written = self.journal.entries.len() as u64;
        let lost = old.iter().filter(|entry| entry.seq.0 > written).count() as u64;
        self.told.lost_facts += lost;
        self.epoch = self.journal.raise_epoch();
        for at in self.view.seq().0..written {
            let entry = self.journal.entries[at as usize].clone();
            self.view.apply(&entry);
            self.chronicle.note(&entry);
        }
        self.sale = self.journal.recover(&mut self.chance);
        self.told.from_snapshots += 1;
        assert_eq!(self.sale.snapshot(), self.view.snapshot(), "what is recovered is what was committed");
        if lost > 0 && self.chance.percent(50) {
            self.told.fenced += 1;
            assert!(!self.journal.write(&old), "a paused owner cannot write");
        }
        self.chronicle.agrees_with(&self.sale, self.now.max(self.sale.at()));
        self.failing = false;
        self.reconcile();
    }

    /// Errands in memory are lost with the process; what was open is asked about again.
    fn reconcile(&mut self) {
        let late = |errand: &Errand| matches!(errand, Errand::Charge(_));
        // A request to the provider may already be on the wire.
        self.errands.retain(|_, errand| late(errand));
        let (charges, refunds) = self.sale.open_money();
        charges.iter().for_each(|row| self.order(Errand::Find(row.view.id)));
        refunds.iter().for_each(|row| self.order(Errand::Refund(row.view.id)));
        let notices = self.notices.clone();
        notices.into_iter().for_each(|notice| self.order(Errand::Told(notice)));
    }

    // Outside.

    fn order(&mut self, errand: Errand) {
        let millis = if self.chance.percent(80) { self.chance.within(1..300) } else { self.chance.within(300..90_000) };
        self.serial += 1;
        self.errands.insert((self.now + Duration::from_millis(millis), self.serial), errand);
    }

    fn run_errands(&mut self) {
        while let Some(entry) = self.errands.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let errand = entry.remove();
            self.run(errand);
        }
    }

    fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Charge(payment) => {
                let amount = self.view.payment(payment).expect("a committed payment").amount;
                let outcome = self.provider.charge(payment, amount, self.now, &mut self.chance);
                if outcome == ChargeOutcome::Unknown {
                    self.order(Errand::Find(payment));
                }
                self.tell(Command::SettleCharge { payment, outcome });
            }
            Errand::Find(payment) => match self.provider.find(payment, self.now) {
                ChargeOutcome::Unknown => self.order(Errand::Find(payment)),
                outcome => self.tell(Command::SettleCharge { payment, outcome }),
            },
            Errand::Refund(payment) => {
                self.provider.refund(payment);
                // The answer may be lost; then it is asked again, and nothing more is given back.
                if self.chance.percent(20) {
                    self.order(Errand::Refund(payment));
                } else {
                    self.tell(Command::SettleRefund { payment });
                }
            }
            // Outcomes are never shed: while the journal fails they wait.
            Errand::Told(command) if self.failing => self.order(Errand::Told(command)),
            Errand::Told(command) => self.handle(&command),
        }
    }

    /// A result comes back, perhaps twice.
    fn tell(&mut self, command: Command) {
        if self.chance.percent(20) {
            self.order(Errand::Told(command.clone()));
        }
        self.order(Errand::Told(command));
    }

    /// The provider has said no and takes the money nevertheless.
    fn break_word(&mut self) {
        let Some(payment) = self.chance.pick(&self.clients.payments).copied() else { return };
        let Some(view) = self.view.payment(payment) else { return };
        if let Some(outcome) = self.provider.breaks_its_word(payment, view.amount) {
            let notice = Command::SettleCharge { payment, outcome };
            self.notices.push(notice.clone());
            self.tell(notice);
        }
    }

    // The end.

    /// Clients go home; the journal works again; time passes until nothing is left to happen.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            while !self.commit() {}
            self.ring_timers();
            self.run_errands();
            if !self.batch.is_empty() {
                continue;
            }
            let errand = self.errands.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.sale.next_deadline();
            let Some(next) = errand.into_iter().chain(deadline).min() else { break };
            self.now = self.now.max(next);
        }
        assert!(self.errands.is_empty() && self.batch.is_empty() && self.sale.next_deadline().is_none(), "no rest");
    }

    fn settle_accounts(&mut self) {
        assert_eq!(self.journal.replayed().snapshot(), self.sale.snapshot(), "replay from the beginning");
        assert_eq!(self.journal.recover(&mut self.chance).snapshot(), self.sale.snapshot(), "and from a snapshot");
        self.chronicle.agrees_with(&self.sale, self.now);
        assert_eq!(self.sale.open_money(), (Vec::new(), Vec::new()), "every charge and refund has come to its end");
        let confirmed = |held: &&super::chronicle::Held| held.status == ReservationStatus::Confirmed;
        let sold: i64 = self.chronicle.reservations.values().filter(confirmed).map(|held| held.amount).sum();
        let accounts = self.provider.accounts(self.now);
        let kept: i64 = accounts.values().map(|account| account.taken - account.given_back).sum();
        assert_eq!(kept, sold, "money kept is tickets sold");
        for (payment, account) in accounts {
            let paid = &self.chronicle.payments[&payment];
            let (taken, gone) = (account.taken > 0, account.refunds > 0);
            assert_eq!(paid.captured.is_some(), taken, "{payment:?} {account:?} {paid:?}");
            assert_eq!(paid.refunded, gone, "{payment:?} {account:?} {paid:?}");
            assert!(!taken || gone != self.pays_a_ticket(payment), "either a ticket or the money: {paid:?}");
        }
        let seats = |id: &ReservationId| self.chronicle.reservations[id].status == ReservationStatus::Confirmed;
        assert!(self.chronicle.owners.values().all(seats), "nothing is held any more");
        let idle = |who: &BuyerId| !self.sale.is_in_room(*who);
        assert!((0..super::clients::BUYERS).map(buyer).all(|who| idle(&who)), "nobody waits or shops any more");
    }

    fn pays_a_ticket(&self, payment: PaymentId) -> bool {
        let paid = &self.chronicle.payments[&payment];
        let reservation = paid.reservation.map(|id| self.chronicle.reservations[&id].status);
        paid.confirmed && !paid.refund_ordered && reservation == Some(ReservationStatus::Confirmed)
    }
}
