//! One event: its journal replayed from genesis, and everything else that is stored of it compared with the result.

use super::draw::DrawCheck;
use onsale_adapters::{Evidence, ProjectedRows};
use onsale_engine::id::{EventId, PaymentId, ReservationId, SeatIndex, Seq};
use onsale_engine::plan::Plan;
use onsale_engine::ports::ReadError;
use onsale_engine::ports::rows::{Before, Changes, PaymentRecord, SeatStatus};
use onsale_engine::runtime::panic_message;
use onsale_engine::sale::draw::{Draw, DrawView};
use onsale_engine::sale::{Entry, Fact, MoneyMoved, PaymentStatus, ReservationView, Sale, SeatCounts};
use onsale_engine::time::Timestamp;
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Differences of one kind that are named; more are counted.
const NAMED: usize = 5;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A row of the journal is missing, does not fit its chain, or cannot be read. Nothing after it counts.
    Row {
        /// The row.
        seq: Seq,
        /// What is wrong with it.
        reason: String,
    },
    /// What must always be true of a sale is not.
    Invariant(String),
    /// The newest snapshot leads to another state than the facts from genesis.
    Snapshot(String),
    /// A table does not hold what the facts up to its checkpoint say.
    Table(String),
    /// The draw is not what its seed, its cohort and its commitment make it.
    Draw(String),
    /// Something could not be read, so that nothing is known of it.
    Unread(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { seq, reason } => write!(f, "the journal is damaged at row {}: {reason}", seq.0),
            Self::Invariant(what) => write!(f, "an invariant is broken: {what}"),
            Self::Snapshot(what) => write!(f, "the snapshot differs: {what}"),
            Self::Table(what) => write!(f, "the tables differ: {what}"),
            Self::Draw(what) => write!(f, "the draw does not hold: {what}"),
            Self::Unread(what) => write!(f, "it could not be read: {what}"),
        }
    }
}

/// What was found of one event.
#[derive(Clone, Debug)]
pub struct EventReport {
    /// The event.
    pub event: EventId,
    /// Rows of its journal that are good, from the first.
    pub rows: u64,
    /// The last of them.
    pub last_seq: Seq,
    /// The chain at that row, in hexadecimal.
    pub chain_head: String,
    /// The fact after which the newest snapshot was taken; `None` without one.
    pub snapshot: Option<Seq>,
    /// The last fact that is in the tables.
    pub checkpoint: Seq,
    /// Its seats after the last good row.
    pub seats: SeatCounts,
    /// Reservations that were ever made.
    pub reservations: usize,
    /// Payments that were ever opened.
    pub payments: usize,
    /// The draw as far as it is, where there is one.
    pub draw: Option<DrawView>,
    /// Money that the provider has moved and that no payment accounts for: the journal is right, the accounts may not be.
    pub unmatched: Vec<UnmatchedOutcome>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// An outcome that no payment accounts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedOutcome {
    /// The row that says so.
    pub seq: Seq,
    /// When it was written.
    pub at: Timestamp,
    /// The payment that the provider names.
    pub payment: PaymentId,
    /// What it says.
    pub moved: MoneyMoved,
}

impl UnmatchedOutcome {
    /// The outcome of such a fact; none of another, nor of a repeat: old payments leave memory, but their rows remain.
    fn of(entry: &Entry, changes: &Changes) -> Option<Self> {
        let Fact::OutcomeUnmatched { payment, moved } = &entry.fact else { return None };
        let repeats = changes.payments.get(payment).is_some_and(|change| match moved {
            MoneyMoved::Captured { amount } => change.record.captured == *amount,
            MoneyMoved::Refunded => {
                matches!(change.record.view.status, PaymentStatus::Refunded { settled: true, .. })
            }
        });
        (!repeats).then_some(Self { seq: entry.seq, at: entry.at, payment: *payment, moved: *moved })
    }
}

impl fmt::Display for UnmatchedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (payment, at, seq) = (self.payment, crate::time::rfc3339(self.at), self.seq.0);
        match self.moved {
            MoneyMoved::Captured { amount } => {
                write!(f, "payment {payment}: {} captured at {at} (row {seq})", amount.0)
            }
            MoneyMoved::Refunded => write!(f, "payment {payment}: refunded at {at} (row {seq})"),
        }
    }
}

/// Checks one event; hands every good fact to `each`.
pub(super) fn check(reader: &dyn Evidence, event: EventId, each: &mut dyn FnMut(EventId, &Entry)) -> EventReport {
    let mut replay = Replay::new(event);
    let tables =
        reader.projected_rows(event).map_err(|error| replay.faults.push(Fault::Unread(error.to_string()))).ok();
    replay.run(reader, tables.as_ref(), each);
    let mut snapshot = None;
    if replay.is_whole {
        replay.check_state();
        snapshot = replay.check_snapshot(reader);
    }
    let last_seq = replay.sale.seq();
    let chain = reader.chain_at(event, last_seq).ok().flatten();
    EventReport {
        event,
        rows: last_seq.0,
        last_seq,
        chain_head: chain.map(|chain| chain.to_string()).unwrap_or_default(),
        snapshot,
        checkpoint: tables.map(|tables| tables.checkpoint).unwrap_or_default(),
        seats: replay.sale.counts(),
        reservations: replay.changes.reservations.len(),
        payments: replay.changes.payments.len(),
        draw: replay.sale.draw().map(Draw::view),
        unmatched: replay.unmatched,
        faults: replay.faults,
    }
}

/// Folding from genesis never asks for what was before.
struct Nothing;

impl Before for Nothing {
    type Error = Infallible;

    fn reservation(&mut self, _: ReservationId) -> Result<Option<ReservationView>, Infallible> {
        Ok(None)
    }

    fn payment(&mut self, _: PaymentId) -> Result<Option<PaymentRecord>, Infallible> {
        Ok(None)
    }
}

/// The facts from genesis, applied to a sale and folded into rows.
struct Replay {
    event: EventId,
    sale: Sale,
    changes: Changes,
    draw: DrawCheck,
    unmatched: Vec<UnmatchedOutcome>,
    /// Whether the journal was read to its end.
    is_whole: bool,
    faults: Vec<Fault>,
}

impl Replay {
    fn new(event: EventId) -> Self {
        let (changes, draw) = (Changes::default(), DrawCheck::default());
        let (unmatched, faults) = (Vec::new(), Vec::new());
        Self { event, sale: Sale::new(), changes, draw, unmatched, is_whole: false, faults }
    }

    /// Replays, and stops by at the tables' checkpoint to compare them with the rows as they must be there.
    fn run(&mut self, reader: &dyn Evidence, tables: Option<&ProjectedRows>, each: &mut dyn FnMut(EventId, &Entry)) {
        let (sale, changes, draw) = (&mut self.sale, &mut self.changes, &mut self.draw);
        let unmatched = &mut self.unmatched;
        let mut differences = None;
        let event = self.event;
        let compare = |sale: &Sale, changes: &Changes| {
            let tables = tables.filter(|tables| tables.checkpoint == sale.seq())?;
            Some(table_differences(tables, changes, sale.plan().map(|plan| &**plan)))
        };
        differences = differences.or_else(|| compare(sale, changes));
        let mut refused = None;
        let read = reader.replay(event, Seq(0), &mut |entry| {
            if refused.is_some() {
                return;
            }
            unmatched.extend(UnmatchedOutcome::of(&entry, changes));
            let Ok(()) = changes.fold(event, &entry, &mut Nothing);
            changes.notices.clear();
            each(event, &entry);
            draw.before(sale, &entry);
            if let Err(reason) = applied(sale, &entry) {
                refused = Some(Fault::Row { seq: entry.seq, reason });
                return;
            }
            draw.after(sale, &entry);
            differences = differences.take().or_else(|| compare(sale, changes));
        });
        self.is_whole = read.is_ok() && refused.is_none();
        self.faults.extend(refused);
        self.faults.extend(std::mem::take(&mut self.draw.faults).into_iter().map(Fault::Draw));
        match read {
            Ok(()) => {}
            Err(ReadError::Damaged { seq, reason, .. }) => self.faults.push(Fault::Row { seq, reason }),
            Err(error @ ReadError::Unavailable(_)) => self.faults.push(Fault::Unread(error.to_string())),
        }
        match (differences, tables) {
            (Some(found), _) => self.faults.extend(found.into_iter().map(Fault::Table)),
            (None, Some(tables)) if self.is_whole => self.faults.push(Fault::Table(format!(
                "they are said to hold row {}, but the journal ends with {}",
                tables.checkpoint.0,
                self.sale.seq().0
            ))),
            (None, _) => {}
        }
    }

    /// The invariants, and that the rows that facts fold into are the sale's own.
    fn check_state(&mut self) {
        self.faults.extend(self.sale.check_invariants().into_iter().map(Fault::Invariant));
        let snapshot = self.sale.snapshot();
        let mut differing = Vec::new();
        for row in &snapshot.reservations {
            if self.changes.reservations.get(&row.view.id).is_none_or(|change| change.view != row.view) {
                differing.push(format!("the sale has another reservation {} than its facts fold into", row.view.id));
            }
        }
        for row in &snapshot.payments {
            let folded = self.changes.payments.get(&row.view.id).map(|change| &change.record);
            let same = folded.is_some_and(|record| {
                record.view == row.view && record.transaction == row.transaction && record.captured == row.captured
            });
            if !same {
                differing.push(format!("the sale has another payment {} than its facts fold into", row.view.id));
            }
        }
        self.faults.extend(shortened(differing).into_iter().map(Fault::Invariant));
    }

    /// The newest snapshot and the facts after it lead to the same state; answers where it was taken.
    fn check_snapshot(&mut self, reader: &dyn Evidence) -> Option<Seq> {
        let snapshot = match reader.snapshot(self.event) {
            Ok(found) => found?,
            Err(error) => {
                self.faults.push(Fault::Unread(error.to_string()));
                return None;
            }
        };
        let taken_after = snapshot.seq;
        let mut sale = Sale::from_snapshot(snapshot);
        let mut refused = None;
        let replayed = reader.replay(self.event, taken_after, &mut |entry| {
            if refused.is_none() {
                refused = applied(&mut sale, &entry).err();
            }
        });
        match replayed {
            Ok(()) if let Some(reason) = refused => self.faults.push(Fault::Snapshot(reason)),
            Ok(()) if sale.snapshot() == self.sale.snapshot() => {}
            Ok(()) => self.faults.push(Fault::Snapshot(format!(
                "the one after row {} leads to another state than the rows from the first",
                taken_after.0
            ))),
            Err(error) => self.faults.push(Fault::Unread(error.to_string())),
        }
        Some(taken_after)
    }
}

/// Applies a fact, or answers why that cannot be: a sale asserts what must hold before it changes, and a journal of which the
/// facts contradict each other is a fault to be listed. The sale is of no use after that.
fn applied(sale: &mut Sale, entry: &Entry) -> Result<(), String> {
    let panic = match catch_unwind(AssertUnwindSafe(|| sale.apply(entry))) {
        Ok(()) => return Ok(()),
        Err(panic) => panic,
    };
    Err(format!("it contradicts the rows before it: {}", panic_message(&*panic)))
}

/// Where the tables differ from the rows that the facts up to their checkpoint fold into.
fn table_differences(tables: &ProjectedRows, changes: &Changes, plan: Option<&Plan>) -> Vec<String> {
    let mut differing = Vec::new();
    let reservations = changes.reservations.values().map(|change| &change.view);
    differing.extend(differences("reservation", &tables.reservations, reservations, |view| view.id.to_string()));
    let payments = changes.payments.values().map(|change| &change.record);
    differing.extend(differences("payment", &tables.payments, payments, |record| record.view.id.to_string()));
    let name = |seat: SeatIndex| plan.filter(|plan| plan.has(seat)).map(|plan| plan.seat_id(seat)).unwrap_or_default();
    let mut seats: Vec<_> = changes
        .seats
        .iter()
        .map(|((_, seat), record)| (name(*seat).to_owned(), word(record.status).to_owned(), record.reservation))
        .collect();
    seats.sort();
    differing.extend(differences("seat", &tables.seats, seats.iter(), |(seat, _, _)| seat.clone()));
    differing
}

fn word(status: SeatStatus) -> &'static str {
    match status {
        SeatStatus::Available => "AVAILABLE",
        SeatStatus::Held => "HELD",
        SeatStatus::Sold => "SOLD",
        SeatStatus::Blocked => "BLOCKED",
    }
}

/// What two lists in the same order do not have in common, by name.
fn differences<'a, T: PartialEq + fmt::Debug + 'a>(
    what: &str,
    stored: &'a [T],
    expected: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> String,
) -> Vec<String> {
    let (mut stored, mut expected) = (stored.iter().peekable(), expected.peekable());
    let mut found = Vec::new();
    loop {
        match (stored.peek(), expected.peek()) {
            (None, None) => return shortened(found),
            (Some(has), Some(must)) if name(has) == name(must) => {
                if has != must {
                    found.push(format!("{what} {} is {has:?}, must be {must:?}", name(has)));
                }
                stored.next();
                expected.next();
            }
            (Some(has), must) if must.is_none_or(|must| name(has) < name(must)) => {
                found.push(format!("{what} {} is there without a fact", name(has)));
                stored.next();
            }
            (_, Some(must)) => {
                found.push(format!("{what} {} is missing", name(must)));
                expected.next();
            }
            (Some(_), None) => return shortened(found),
        }
    }
}

/// The first few, and how many more there are.
fn shortened(mut found: Vec<String>) -> Vec<String> {
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        found.truncate(NAMED);
        found.push(format!("and {more} more"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_name() {
        let check = |stored: &[(&str, u8)], expected: &[(&str, u8)], found: &[&str]| {
            let said = differences("row", stored, expected.iter(), |row| row.0.to_owned());
            assert_eq!(said, found);
        };
        check(&[("a", 1), ("b", 2)], &[("a", 1), ("b", 2)], &[]);
        check(&[("a", 1)], &[("a", 2)], &["row a is (\"a\", 1), must be (\"a\", 2)"]);
        check(&[("b", 1)], &[("a", 1), ("b", 1), ("c", 1)], &["row a is missing", "row c is missing"]);
        check(
            &[("a", 1), ("b", 1), ("c", 1)],
            &[("b", 1)],
            &["row a is there without a fact", "row c is there without a fact"],
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let many = (0..8).map(|number| number.to_string()).collect();
        assert_eq!(shortened(many), ["0", "1", "2", "3", "4", "and 3 more"]);
    }
}
