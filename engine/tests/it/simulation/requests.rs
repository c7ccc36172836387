//! Requests of clients, and what each node answered to them, held against the journal. A success rests on facts that are
//! durable when it is received. Whatever was answered as not done never comes to be: of each thing that is found in the
//! journal there must be a request that was not refused.

use super::chance::Chance;
use super::node::Node;
use super::tally::Tally;
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, Seq};
use onsale_engine::runtime::Refusal;
use onsale_engine::sale::{Command, Fact, PaymentView, Reply, Sale};
use onsale_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::task::AbortHandle;

/// What a command leaves in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trace {
    Held(ReservationId),
    Changed(ReservationId),
    Released(ReservationId),
    Cancelled(ReservationId),
    Opened(PaymentId),
    Started(PaymentId),
    Entered(BuyerId),
    Left(BuyerId),
    Steered,
    Blocked,
    SaleCancelled,
}

/// A request that is waited for.
pub struct Request {
    node: u64,
    event: EventId,
    pub command: Command,
    /// The moment of its submission.
    since: u64,
    /// Whether its node knew then that another one owns the event, and since when.
    fenced: Option<u64>,
    task: AbortHandle,
}

/// Something that a client received.
enum Received {
    Answer {
        answer: Result<(Reply, Seq), Refusal>,
        /// Whether it goes on waiting for the outcome of a charge.
        settles: bool,
    },
    Settled(Option<PaymentView>),
}

/// A success.
struct Success {
    command: Command,
    reply: Reply,
}

#[derive(Default)]
pub struct Requests {
    waiting: BTreeMap<u64, Request>,
    received: Arc<Mutex<Vec<(u64, Received)>>>,
    serial: u64,
    /// How often each trace may be found, since nobody was answered that it would not.
    credits: BTreeMap<(EventId, Trace), i64>,
    successes: BTreeMap<(EventId, Seq), Vec<Success>>,
    /// When the entries were submitted whose outcome is not known, by node, event and buyer.
    entering: BTreeMap<(u64, EventId, BuyerId), BTreeSet<(u64, u64)>>,
}

impl Requests {
    /// A client of the node asks.
    pub fn submit(
        &mut self,
        node: &Node,
        event: EventId,
        command: Command,
        deadline: Timestamp,
        now: u64,
        fenced: Option<u64>,
    ) {
        self.serial += 1;
        let (serial, sale, asked) = (self.serial, node.sale(event), command.clone());
        let received = Arc::clone(&self.received);
        let task = node.spawn(async move {
            let (answer, settlement) = match sale.ask(asked, deadline).await {
                Ok(answer) => (Ok((answer.reply, answer.seq)), answer.settlement),
                Err(refusal) => (Err(refusal), None),
            };
            let settles = settlement.is_some();
            received.lock().unwrap().push((serial, Received::Answer { answer, settles }));
            if let Some(settlement) = settlement {
                let payment = settlement.await.ok();
                received.lock().unwrap().push((serial, Received::Settled(payment)));
            }
        });
        if let Some(trace) = asks_for(&command) {
            *self.credits.entry((event, trace)).or_default() += 1;
        }
        if let Command::Enter { buyer } = &command {
            self.entering.entry((node.id, event, *buyer)).or_default().insert((now, serial));
        }
        let request = Request { node: node.id, event, command, since: now, fenced, task };
        self.waiting.insert(serial, request);
    }

    /// A client goes away at whatever moment it is, one of the newest mostly.
    pub fn hang_up(&mut self, node: u64, chance: &mut Chance) -> Option<(EventId, Command)> {
        let open: Vec<u64> =
            self.waiting.iter().filter(|(_, one)| one.node == node).map(|(serial, _)| *serial).collect();
        let Request { event, command, task, .. } = self.waiting.remove(chance.recent(&open)?)?;
        task.abort();
        Some((event, command))
    }

    /// A node is dead; how many are not answered.
    pub fn forget(&mut self, node: u64) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|_, request| request.node != node);
        self.entering.retain(|(of, ..), _| *of != node);
        (before - self.waiting.len()) as u64
    }

    /// Whether somebody of the node waits.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// No command of the event is in flight at the node: what nobody waited for has come to its end.
    pub fn none_in_flight(&mut self, node: u64, event: EventId) {
        let waiting = &self.waiting;
        for ((of, at, _), open) in &mut self.entering {
            if (*of, *at) == (node, event) {
                open.retain(|(_, serial)| waiting.contains_key(serial));
            }
        }
    }

    /// When the oldest entry of the buyer that may have been committed just now was submitted.
    pub fn entering_since(&self, node: u64, event: EventId, buyer: BuyerId) -> Option<u64> {
        self.entering.get(&(node, event, buyer))?.first().map(|(since, _)| *since)
    }

    /// Looks at what was received meanwhile; `written` are the facts that each event has in the journal, and `fenced` says
    /// since when a node knows that it does not own an event. Answers what was received of payments that have settled.
    pub fn receive(
        &mut self,
        written: impl Fn(EventId) -> Seq,
        fenced: impl Fn(u64, EventId) -> Option<u64>,
        tally: &mut Tally,
    ) -> Vec<(EventId, PaymentView)> {
        let mut settled = Vec::new();
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        for (serial, received) in received {
            let Some(request) = self.waiting.get(&serial) else { continue };
            let (node, event) = (request.node, request.event);
            let (answer, settles) = match received {
                Received::Answer { answer, settles } => (answer, settles),
                Received::Settled(payment) => {
                    tally.settled += u64::from(payment.is_some());
                    settled.extend(payment.map(|payment| (event, payment)));
                    self.waiting.remove(&serial);
                    continue;
                }
            };
            if let Command::Enter { buyer } = &request.command
                && !matches!(answer, Err(Refusal::DeadlineExceeded))
            {
                let since = (request.since, serial);
                self.entering.entry((node, event, *buyer)).or_default().remove(&since);
            }
            let knew = request.fenced.is_some() && request.fenced == fenced(node, event);
            assert!(
                !knew || is_for_reasons_of_ours(&answer),
                "a node that knows that another one owns the event answers {:?}: {answer:?}",
                request.command,
            );
            let command = request.command.clone();
            if !settles {
                self.waiting.remove(&serial);
            }
            self.answered(event, command, answer, &written, tally);
        }
        settled
    }

    fn answered(
        &mut self,
        event: EventId,
        command: Command,
        answer: Result<(Reply, Seq), Refusal>,
        written: impl Fn(EventId) -> Seq,
        tally: &mut Tally,
    ) {
        let refusal = match answer {
            Ok((reply, seq)) => {
                tally.answered += 1;
                assert!(seq <= written(event), "{command:?} was answered {reply:?} before it was committed");
                return self.successes.entry((event, seq)).or_default().push(Success { command, reply });
            }
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Rejected(_) => tally.rejected += 1,
            Refusal::QueuedElsewhere => tally.elsewhere += 1,
            Refusal::Overloaded | Refusal::StorageUnavailable | Refusal::Unserved => tally.not_done += 1,
            Refusal::DeadlineExceeded => {
                tally.unknown += 1;
                return;
            }
        }
        if let Some(trace) = asks_for(&command) {
            *self.credits.entry((event, trace)).or_default() -= 1;
        }
    }

    /// A fact was written: somebody must have asked for it who was not answered that it is not done.
    pub fn uses(&mut self, event: EventId, fact: &Fact) {
        if let Some(trace) = left_by(fact) {
            *self.credits.entry((event, trace)).or_default() -= 1;
        }
    }

    /// Nothing that was answered as not done has come to be.
    pub fn check_credits(&self, is_cancelled: impl Fn(EventId) -> bool) {
        for ((event, trace), credit) in &self.credits {
            // A sale that is cancelled cancels reservations that nobody has asked about.
            let is_swept = matches!(trace, Trace::Cancelled(_) | Trace::Released(_)) && is_cancelled(*event);
            assert!(is_swept || *credit >= 0, "{trace:?} of {event} was answered as not done, and is in the journal");
        }
    }

    /// Whether a success that rests on facts up to `seq` is what the journal says at that place.
    pub fn check_successes(&self, event: EventId, sale: &Sale) {
        for Success { command, reply } in self.successes.get(&(event, sale.seq())).into_iter().flatten() {
            assert!(is_true(command, reply, sale), "{command:?} was answered {reply:?}, which is in no journal");
        }
    }
}

fn is_for_reasons_of_ours<T>(answer: &Result<T, Refusal>) -> bool {
    matches!(
        answer,
        Err(Refusal::StorageUnavailable | Refusal::Unserved | Refusal::Overloaded | Refusal::DeadlineExceeded)
    )
}

fn is_true(command: &Command, reply: &Reply, sale: &Sale) -> bool {
    match reply {
        // An answer that was remembered with a key is the one of then.
        Reply::Reservation(view) => sale.reservation(view.id).is_some_and(|is| {
            let has_key = matches!(command, Command::Hold(hold) if hold.key.is_some());
            is == **view || has_key && (is.buyer, is.created_at) == (view.buyer, view.created_at)
        }),
        Reply::Payment(view) => sale.payment(view.id).is_some_and(|is| {
            let has_key = match command {
                Command::OpenPayment(open) => open.key.is_some(),
                Command::ConfirmPayment(confirm) => confirm.key.is_some(),
                _ => false,
            };
            is == **view || has_key && (is.buyer, is.created_at) == (view.buyer, view.created_at)
        }),
        Reply::Place(place) => {
            sale.place(place.buyer, sale.at()).is_some_and(|is| (is.buyer, is.ordinal) == (place.buyer, place.ordinal))
        }
        Reply::Steering(view) => sale.steering().is_some_and(|is| is.steering == view.steering),
        Reply::Done => match command {
            Command::Leave { buyer } => !sale.is_in_room(*buyer),
            Command::BlockSeats { change, .. } => {
                let blocked = sale.seats_blocked();
                change.block.iter().all(|seat| blocked.contains(seat))
                    && change.unblock.iter().all(|seat| !blocked.contains(seat))
            }
            _ => true,
        },
    }
}

fn asks_for(command: &Command) -> Option<Trace> {
    match command {
        Command::Hold(hold) => Some(Trace::Held(hold.reservation)),
        Command::OpenPayment(open) => Some(Trace::Opened(open.payment)),
        Command::ConfirmPayment(confirm) => Some(Trace::Started(confirm.payment)),
        Command::ChangeHold(change) => Some(Trace::Changed(change.reservation)),
        Command::ReleaseHold { reservation, .. } => Some(Trace::Released(*reservation)),
        Command::CancelReservation { reservation, .. } => Some(Trace::Cancelled(*reservation)),
        // Simulated administrators end only what is paid.
        Command::CancelByOperator(cancel) => Some(Trace::Cancelled(cancel.reservation)),
        Command::Enter { buyer } => Some(Trace::Entered(*buyer)),
        Command::Leave { buyer } => Some(Trace::Left(*buyer)),
        Command::Steer { .. } => Some(Trace::Steered),
        Command::BlockSeats { .. } => Some(Trace::Blocked),
        Command::CancelSale { .. } => Some(Trace::SaleCancelled),
        _ => None,
    }
}

fn left_by(fact: &Fact) -> Option<Trace> {
    match fact {
        Fact::SeatsHeld { reservation, .. } => Some(Trace::Held(*reservation)),
        Fact::HoldChanged { reservation, .. } => Some(Trace::Changed(*reservation)),
        Fact::HoldReleased { reservation } => Some(Trace::Released(*reservation)),
        Fact::ReservationCancelled { reservation, .. } | Fact::CancelledByOperator { reservation, .. } => {
            Some(Trace::Cancelled(*reservation))
        }
        Fact::PaymentOpened { payment, .. } => Some(Trace::Opened(*payment)),
        Fact::PaymentStarted { payment, .. } => Some(Trace::Started(*payment)),
        Fact::Entered { buyer, .. } => Some(Trace::Entered(*buyer)),
        Fact::Left { buyer } => Some(Trace::Left(*buyer)),
        Fact::Steered { .. } => Some(Trace::Steered),
        Fact::SeatsBlocked { .. } => Some(Trace::Blocked),
        Fact::SaleCancelled { .. } => Some(Trace::SaleCancelled),
        _ => None,
    }
}
