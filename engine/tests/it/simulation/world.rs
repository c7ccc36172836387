//! The world: two sales with waiting rooms, nodes that take them from each other, clients, the provider, and time. One
//! thing happens after another, as chance has it; after each of them the promises are checked (`promises.rs`).

use super::chance::Chance;
use super::chronicle::Chronicle;
use super::clients::{BUYERS, Clients, admin, buyer};
use super::journal::Storage;
use super::node::Node;
use super::provider::Provider;
use super::requests::Requests;
use super::tally::Tally;
use onsale_engine::fakes::{FakeClock, small_config, small_plan};
use onsale_engine::id::{BuyerId, Epoch, EventId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::ports::Clock;
use onsale_engine::runtime::NextStep;
use onsale_engine::sale::{Command, SaleConfig};
use onsale_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Things that happen in one history before everything comes to rest.
const MOMENTS: u64 = 300;
/// Clients and what they ask for are chosen so that both sales matter to the same buyers.
pub const EVENTS: [EventId; 2] = [EventId(Uuid::from_u128(0xe1)), EventId(Uuid::from_u128(0xe2))];

/// One event, as the journal says it is.
pub struct Event {
    pub id: EventId,
    pub clients: Clients,
    pub chronicle: Chronicle,
}

pub struct World {
    pub chance: Chance,
    pub clock: FakeClock,
    pub storage: Storage,
    pub provider: Provider,
    pub events: Vec<Event>,
    pub nodes: [Option<Node>; 2],
    /// Whether both nodes run at the same time.
    rivals: bool,
    starts: u64,
    pub requests: Requests,
    /// How many things have happened.
    pub moment: u64,
    /// Since when a node serves an event, by that epoch, in one go.
    pub serving: BTreeMap<(u64, EventId), (Epoch, u64)>,
    /// Buyers who got into two events by way of two nodes, which cannot know of each other here.
    pub in_both: BTreeSet<BuyerId>,
    /// What the provider reports of its own accord, again and again.
    pub reports: Vec<(EventId, Command)>,
    pub tally: Tally,
}

fn rules(chance: &mut Chance, now: Timestamp) -> SaleConfig {
    let mut config = small_config(now + Duration::from_secs(chance.below(20)));
    config.sale_ends_at = config.sale_starts_at + Duration::from_secs(chance.within(200..4000));
    config.cancellation_closes_at = config.sale_ends_at + Duration::from_secs(3600);
    config.hold = Duration::from_secs(chance.within(5..300));
    config.no_orphans = chance.percent(30);
    if chance.percent(30) {
        config.prices[0] = Some(Amount(0));
    }
    config.admission.required = chance.percent(85);
    config.admission.rate_per_second = chance.within(1..8) as u32;
    config.admission.active_limit = chance.percent(50).then(|| chance.within(1..5));
    config.admission.token = Duration::from_secs(chance.within(10..600));
    config.admission.capacity = chance.within(3..10);
    config.admission.draw = chance.percent(40);
    config.admission.max_holds_per_slot = chance.within(2..20) as u16;
    if chance.percent(15) {
        config.prices[1] = None;
    }
    if chance.percent(30) {
        config.blocked = [SeatIndex(3), SeatIndex(11)].into();
    }
    config
}

impl World {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let clock = FakeClock::at(Timestamp::from_secs(1_780_000_000));
        let provider = Provider::new(Chance::of(chance.next()), &clock);
        let events = EVENTS.iter().zip(1..).map(|(id, number)| Event {
            id: *id,
            clients: Clients::of(number),
            chronicle: Chronicle::default(),
        });
        let mut world = Self {
            rivals: chance.percent(60),
            chance,
            provider,
            storage: Storage::default(),
            events: events.collect(),
            nodes: [None, None],
            starts: 0,
            requests: Requests::default(),
            moment: 0,
            serving: BTreeMap::new(),
            in_both: BTreeSet::new(),
            reports: Vec::new(),
            tally: Tally::default(),
            clock,
        };
        world.start_node(0);
        for event in EVENTS {
            world.make_sale(event);
        }
        world
    }

    fn make_sale(&mut self, event: EventId) {
        let config = Box::new(rules(&mut self.chance, self.clock.now()));
        let make = Command::Configure { config, plan: small_plan(3, 8), by: admin() };
        self.nodes[0].as_mut().unwrap().hands.open(event).unwrap();
        self.submit(0, event, make);
        self.nodes[0].as_mut().unwrap().work_off(&mut self.chance);
        self.check_promises();
    }

    /// One whole history.
    pub fn live(mut self) -> Tally {
        for _ in 0..MOMENTS {
            self.something_happens();
            self.check_promises();
        }
        self.come_to_rest();
        self.settle_accounts();
        self.tally
    }

    fn something_happens(&mut self) {
        match self.chance.below(1000) {
            0..330 => self.client_asks(),
            330..370 => self.client_hangs_up(),
            370..400 => self.buyers_poll(),
            400..700 => self.node_works(),
            700..800 => self.node_works_everything_off(),
            800..900 => self.time_passes(),
            900..930 => self.node_rebuilds(),
            930..950 => {
                self.with_node(|node, _| node.hands.take_snapshot());
            }
            950..965 => self.provider_reports(),
            965..970 => self.loses_an_event(),
            970..975 => self.actor_panics(),
            975..985 => self.crash(),
            985..998 => self.another_node_starts(),
            _ => {
                let event = self.event();
                self.submit_somewhere(event, Command::CancelSale { by: admin() });
            }
        }
    }

    // Clients.

    fn event(&mut self) -> usize {
        self.chance.below(EVENTS.len() as u64) as usize
    }

    fn client_asks(&mut self) {
        let event = self.event();
        let (Some(node), now) = (self.node_of(event), self.clock.now()) else { return };
        let Event { id, clients, .. } = &mut self.events[event];
        let sale = self.nodes[node].as_ref().unwrap().sale(*id);
        let command = clients.ask(&sale.view(), now, &mut self.chance);
        self.submit(node, EVENTS[event], command);
    }

    /// A client that hangs up while entering mostly goes to the other event.
    fn client_hangs_up(&mut self) {
        let Some(at) = self.a_node() else { return };
        let id = self.nodes[at].as_ref().unwrap().id;
        let Some((event, command)) = self.requests.hang_up(id, &mut self.chance) else { return };
        self.tally.hung_up += 1;
        if let Command::Enter { .. } = &command
            && self.chance.percent(70)
            && let Some(other) = EVENTS.into_iter().find(|other| *other != event)
        {
            self.submit(at, other, command);
        }
    }

    /// Those who keep their page open are not absent.
    fn buyers_poll(&mut self) {
        let now = self.clock.now();
        for node in self.nodes.iter().flatten() {
            for number in 0..BUYERS {
                let sale = node.sale(EVENTS[(number % 2) as usize]);
                sale.heartbeat(buyer(number), now);
            }
        }
    }

    fn submit_somewhere(&mut self, event: usize, command: Command) {
        if let Some(node) = self.node_of(event) {
            self.submit(node, EVENTS[event], command);
        }
    }

    fn submit(&mut self, node: usize, event: EventId, command: Command) {
        let Some(node) = &self.nodes[node] else { return };
        let millis = if self.chance.percent(80) { 20_000 } else { self.chance.within(1..3_000) };
        let deadline = self.clock.now() + Duration::from_millis(millis);
        // The answer to the append is not known before it is read.
        let knows = node.hands.next_step() != NextStep::Publish;
        let fenced = self.storage.fenced(node.id, event).filter(|_| knows);
        self.requests.submit(node, event, command, deadline, self.moment, fenced);
        if self.chance.percent(90) {
            node.run_tasks();
        }
    }

    // Nodes.

    /// The node that owns the event mostly, or any.
    fn node_of(&mut self, event: usize) -> Option<usize> {
        let owner = self.storage.owner(EVENTS[event]).map(|(_, node)| node);
        let at = self.nodes.iter().position(|node| node.as_ref().is_some_and(|node| Some(node.id) == owner));
        if self.chance.percent(80) && at.is_some() { at } else { self.a_node() }
    }

    fn a_node(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some()).collect();
        self.chance.pick(&alive).copied()
    }

    fn with_node<T>(&mut self, action: impl FnOnce(&mut Node, &mut Chance) -> T) -> Option<T> {
        let at = self.a_node()?;
        self.nodes[at].as_mut().map(|node| action(node, &mut self.chance))
    }

    /// A few steps of a few of its parts.
    fn node_works(&mut self) {
        let Some(at) = self.a_node() else { return };
        for _ in 0..self.chance.within(1..8) {
            match self.chance.below(10) {
                0..4 => self.step(at),
                4..8 => drop(self.nodes[at].as_ref().map(|node| node.turn(&mut self.chance))),
                8 => drop(self.nodes[at].as_ref().map(Node::run_tasks)),
                _ => drop(self.nodes[at].as_ref().map(|node| node.hands.ring_timers())),
            }
            self.check_promises();
        }
    }

    /// The journal's next step; a write may fail, or its answer be lost.
    fn step(&mut self, at: usize) {
        let Some(node) = &mut self.nodes[at] else { return };
        if matches!(node.hands.next_step(), NextStep::Append | NextStep::Raise) {
            self.tally.lost_answers += u64::from(self.storage.may_fail(&mut self.chance));
        }
        node.hands.step();
        if node.must_end() {
            self.kill(at);
        }
    }

    fn node_works_everything_off(&mut self) {
        self.with_node(|node, chance| node.work_off(chance));
    }

    fn node_rebuilds(&mut self) {
        let began = self.with_node(|node, _| node.hands.rebuild());
        self.tally.rebuilds += u64::from(began == Some(true));
    }

    /// The node learns that another one has taken an event before an append of its own says so.
    fn loses_an_event(&mut self) {
        let (event, Some(at)) = (self.event(), self.a_node()) else { return };
        let node = self.nodes[at].as_ref().unwrap();
        let owner = self.storage.owner(EVENTS[event]).map(|(_, owner)| owner);
        if owner.is_some_and(|owner| owner != node.id) {
            node.engine.lose(EVENTS[event]);
        }
    }

    fn actor_panics(&mut self) {
        let event = self.event();
        if let Some(at) = self.node_of(event) {
            self.tally.panics += 1;
            self.nodes[at].as_ref().unwrap().sale(EVENTS[event]).panic_in_next_turn();
        }
    }

    /// A process dies as it is, and mostly starts again.
    fn crash(&mut self) {
        let Some(at) = self.a_node() else { return };
        self.kill(at);
        if self.chance.percent(70) {
            self.start_node(at);
        }
    }

    pub fn kill(&mut self, at: usize) {
        if let Some(node) = self.nodes[at].take() {
            self.tally.crashes += 1;
            self.tally.unanswered += self.requests.forget(node.id);
        }
    }

    /// The other node takes everything over: a rival that is not dead, or one that stood by.
    fn another_node_starts(&mut self) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_none()).collect();
        if let Some(at) = self.chance.pick(&others).copied() {
            let is_alone = others.len() == self.nodes.len();
            if is_alone || self.rivals {
                self.tally.takeovers += u64::from(!is_alone);
                self.start_node(at);
            }
        }
    }

    pub fn start_node(&mut self, at: usize) {
        self.starts += 1;
        let seed = self.chance.next();
        self.nodes[at] = Some(Node::start(self.starts, &self.storage, &self.provider, &self.clock, seed));
    }

    // Time and the provider.

    fn time_passes(&mut self) {
        let millis = match self.chance.below(10) {
            0..7 => self.chance.within(0..400),
            7..9 => self.chance.within(400..5_000),
            _ => self.chance.within(5_000..120_000),
        };
        self.advance(Duration::from_millis(millis));
        for node in self.nodes.iter().flatten() {
            if self.chance.percent(70) {
                node.hands.ring_timers();
            }
        }
    }

    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.nodes.iter().flatten().for_each(|node| node.advance(by));
    }

    /// The provider says once more what became of a charge, or has declined and takes the money nevertheless.
    fn provider_reports(&mut self) {
        let event = self.event();
        let Event { id, clients, chronicle } = &self.events[event];
        let started: Vec<_> =
            clients.payments.iter().filter(|id| chronicle.payments.get(id).is_some_and(|paid| paid.started)).collect();
        let Some(payment) = self.chance.pick(&started).copied().copied() else { return };
        let amount = chronicle.payments[&payment].reservation.map(|id| chronicle.reservations[&id].amount);
        // What is free by now takes no money.
        let outcome = match amount.filter(|amount| *amount > 0) {
            Some(amount) if self.chance.percent(50) => self.provider.breaks_its_word(payment, Amount(amount)),
            Some(_) | None => self.provider.says_of(payment),
        };
        let Some(outcome) = outcome else { return };
        let report = Command::SettleCharge { payment, outcome };
        self.reports.push((*id, report.clone()));
        self.tally.reports += 1;
        if let Some(at) = self.node_of(event) {
            self.nodes[at].as_ref().unwrap().hands.report(EVENTS[event], report);
        }
    }
}
