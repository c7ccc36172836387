//! One on-sale in virtual time: the real [`Sale`], used by a random crowd, with its own deadlines as the clock. Only what is outside
//! of the engine is modelled: people, their polls, and a payment provider that accepts every charge.

use super::crowd::{Crowd, Ways};
use super::outcome::{Outcome, Second};
use onsale_engine::id::{BuyerId, CategoryIndex, Epoch, EventId, PaymentId, ReservationId, Slot};
use onsale_engine::plan::Plan;
use onsale_engine::sale::{
    ChargeOutcome, Command, ConfirmPayment, Entry, Fact, Facts, Hold, OpenPayment, Rejection, Sale, SaleConfig,
    Selection,
};
use onsale_engine::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// When a simulated sale opens; any instant would do.
pub(super) const OPENS: Timestamp = Timestamp::from_secs(1_900_000_000);
const EPOCH: Epoch = Epoch(1);
const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
/// A simulation that has not ended by then is reported as it is.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// What somebody does next. Ordered by time, then by number, so that runs are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Enter,
    Leave,
    Choose,
    Pay,
}

struct Person {
    ways: Ways,
    slot: Option<Slot>,
    reservation: Option<ReservationId>,
    is_waiting: bool,
}

pub(super) struct Simulation {
    sale: Sale,
    plan: Arc<Plan>,
    people: Vec<Person>,
    agenda: BinaryHeap<Reverse<(Timestamp, u32, Step)>>,
    dice: StdRng,
    now: Timestamp,
    outcome: Outcome,
}

impl Simulation {
    pub(super) fn new(config: &SaleConfig, plan: &Arc<Plan>, crowd: &Crowd) -> Self {
        let mut dice = StdRng::seed_from_u64(crowd.seed);
        let mut agenda = BinaryHeap::with_capacity(crowd.buyers as usize);
        let people = (0..crowd.buyers).map(|number| {
            let ways = crowd.throw(&mut dice);
            agenda.push(Reverse((OPENS + ways.comes_after, number, Step::Enter)));
            Person { ways, slot: None, reservation: None, is_waiting: false }
        });
        let people = people.collect();
        let mut simulation = Self {
            sale: Sale::new(),
            plan: Arc::clone(plan),
            people,
            agenda,
            dice,
            now: OPENS - Duration::from_secs(1),
            outcome: Outcome::new(plan.capacity() as u64, config.admission.rate_per_second),
        };
        let configure =
            Command::Configure { config: Box::new(config.clone()), plan: Arc::clone(plan), by: buyer(u32::MAX) };
        // The rules come from this program: where they are refused, an empty outcome shows it.
        let _ = simulation.ask(&configure);
        simulation.now = OPENS;
        simulation
    }

    /// Runs until nobody waits or shops any more; hands the sale to `at_the_height` once, when most people are in it.
    pub(super) fn run(mut self, mut at_the_height: impl FnMut(&Sale)) -> Outcome {
        let arrived = self.people.iter().map(|person| OPENS + person.ways.comes_after).max().unwrap_or(OPENS);
        let mut shown = false;
        let mut empty_since = None;
        loop {
            let person = self.agenda.peek().map(|Reverse((at, _, _))| *at);
            let sale = self.sale.next_deadline();
            let Some(next) = [person, sale].into_iter().flatten().min().filter(|next| *next <= OPENS + LONGEST) else {
                break;
            };
            if !shown && next > arrived {
                at_the_height(&self.sale);
                shown = true;
            }
            self.now = next.max(self.now);
            if sale.is_some_and(|at| at <= next) {
                if self.tick() == 0 {
                    break;
                }
            } else if let Some(Reverse((_, number, step))) = self.agenda.pop() {
                self.step(number, step);
            }
            self.notice();
            let counts = self.sale.counts();
            let sold_out = counts.available == 0 && counts.held == 0;
            // They receive that and leave.
            if sold_out && self.outcome.sold_out_after.is_none() {
                self.outcome.sold_out_after = Some(self.now.since(OPENS));
                self.outcome.left_without = self.waiting();
            }
            // Nothing may happen for a while after the last was let in.
            empty_since = if self.waiting() == 0 { empty_since.or(Some(self.now)) } else { None };
            let is_over = self.now > arrived && (sold_out || empty_since.is_some());
            if is_over && self.outcome.drained_after.is_none() {
                self.outcome.drained_after = Some(empty_since.unwrap_or(self.now).max(arrived).since(OPENS));
            }
            if sold_out && self.now > arrived {
                break;
            }
        }
        if !shown {
            at_the_height(&self.sale);
        }
        let counts = self.sale.counts();
        self.outcome.sold = u64::from(counts.sold);
        self.outcome.violations = self.sale.check_invariants();
        self.outcome
    }

    fn waiting(&self) -> u64 {
        self.sale.steering().map_or(0, |room| room.waiting)
    }

    /// Lets time do the next thing; answers how many facts that was.
    fn tick(&mut self) -> usize {
        let Ok(facts) = self.ask(&Command::Tick) else { return 0 };
        for fact in &facts {
            if let Fact::Admitted { buyer, slot, .. } = fact {
                let number = number(*buyer);
                self.outcome.admitted += 1;
                let delay = self.until_noticed() + self.people[number as usize].ways.chooses_for;
                let person = &mut self.people[number as usize];
                (person.slot, person.is_waiting) = (Some(*slot), false);
                self.plan_step(delay, number, Step::Choose);
            }
            if matches!(fact, Fact::HoldExpired { .. }) {
                self.outcome.holds_expired += 1;
            }
        }
        facts.len()
    }

    /// A buyer polls: who is let in finds out at a random moment of the interval.
    fn until_noticed(&mut self) -> Duration {
        Duration::from_secs_f64(self.poll_after() as f64 * self.dice.random::<f64>())
    }

    fn poll_after(&self) -> u64 {
        self.sale.config().map_or(1, |config| config.admission.poll_after(self.waiting()).as_secs())
    }

    fn plan_step(&mut self, after: Duration, number: u32, step: Step) {
        self.agenda.push(Reverse((self.now + after, number, step)));
    }

    fn step(&mut self, number: u32, step: Step) {
        match step {
            Step::Enter => self.enter(number),
            Step::Leave => {
                if self.people[number as usize].is_waiting {
                    self.people[number as usize].is_waiting = false;
                    self.outcome.left += 1;
                    let _ = self.ask(&Command::Leave { buyer: buyer(number) });
                }
            }
            Step::Choose => self.choose(number),
            Step::Pay => self.pay(number),
        }
    }

    fn enter(&mut self, number: u32) {
        self.second().entered += 1;
        if self.ask(&Command::Enter { buyer: buyer(number) }).is_err() {
            self.outcome.refused_at_the_door += 1;
            return;
        }
        self.people[number as usize].is_waiting = true;
        if self.people[number as usize].ways.leaves {
            // Somewhen while they would wait.
            let ahead = self.waiting() as f64 / f64::from(self.outcome.rate.max(1));
            let after = Duration::from_secs_f64(ahead * self.dice.random::<f64>());
            self.plan_step(after, number, Step::Leave);
        }
    }

    /// As many seats together as are wanted, in a category at random, then in any other, then fewer.
    fn choose(&mut self, number: u32) {
        let categories = self.plan.categories().len().max(1);
        let first = self.dice.random_range(0..categories);
        for wanted in (1..=self.people[number as usize].ways.wants).rev() {
            for turn in 0..categories {
                let category = CategoryIndex(((first + turn) % categories) as u16);
                self.second().holds += 1;
                if self.hold(number, category, wanted) {
                    if let Some(after) = self.people[number as usize].ways.pays_after {
                        self.plan_step(after, number, Step::Pay);
                    }
                    return;
                }
                self.outcome.holds_refused += 1;
            }
        }
        self.outcome.went_without += 1;
        let _ = self.ask(&Command::Leave { buyer: buyer(number) });
    }

    fn hold(&mut self, number: u32, category: CategoryIndex, quantity: u16) -> bool {
        let reservation = ReservationId::new(EVENT, self.now.unix_millis(), self.dice.random());
        let selection = Selection::best(category, quantity);
        let slot = self.people[number as usize].slot;
        let hold = Hold { reservation, buyer: buyer(number), selection, slot, key: None };
        if self.ask(&Command::Hold(hold)).is_err() {
            return false;
        }
        self.outcome.holds_won += 1;
        self.people[number as usize].reservation = Some(reservation);
        true
    }

    fn pay(&mut self, number: u32) {
        let Some(reservation) = self.people[number as usize].reservation else { return };
        let Some(amount) = self.sale.reservation(reservation).map(|view| view.amount) else { return };
        self.second().payments += 1;
        let payment = PaymentId::new(EVENT, self.now.unix_millis(), self.dice.random());
        let buyer = buyer(number);
        let open = Command::OpenPayment(OpenPayment { payment, buyer, reservation, amount, key: None });
        let transaction = "planned".into();
        let confirm =
            Command::ConfirmPayment(ConfirmPayment { buyer, payment, reservation, amount, transaction, key: None });
        let settle = Command::SettleCharge { payment, outcome: ChargeOutcome::Captured { amount } };
        let paid = [open, confirm, settle].iter().all(|command| self.ask(command).is_ok());
        if paid { self.outcome.paid += 1 } else { self.outcome.paid_too_late += 1 }
    }

    /// Decides and applies; answers what happened.
    fn ask(&mut self, command: &Command) -> Result<Facts, Rejection> {
        let decision = self.sale.decide(command, self.now, EPOCH)?;
        for fact in &decision.facts {
            let entry =
                Entry { seq: self.sale.seq().next(), epoch: EPOCH, at: self.now, trace: None, fact: fact.clone() };
            self.sale.apply(&entry);
        }
        self.outcome.facts += decision.facts.len() as u64;
        Ok(decision.facts)
    }

    fn second(&mut self) -> &mut Second {
        self.outcome.second(self.now.since(OPENS))
    }

    /// How it stands at the end of this second.
    fn notice(&mut self) {
        let (counts, poll_after) = (self.sale.counts(), self.poll_after());
        let Some(room) = self.sale.steering() else { return };
        let second = self.second();
        second.waiting = room.waiting;
        second.active = room.active;
        second.sold = u64::from(counts.sold);
        second.polls = room.waiting / poll_after.max(1);
    }
}

fn buyer(number: u32) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(number) << 64 | 0x8000_0000_0000_0000))
}

fn number(buyer: BuyerId) -> u32 {
    (buyer.0.as_u128() >> 64) as u32
}
