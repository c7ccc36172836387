//! What was asked, what was answered, and how long it took: a histogram for each call from the scheduled moment, errors
//! by kind, and a row for each second of the run. Must never leave a request out.

use hdrhistogram::Histogram;
use onsale_server::metrics::IN_ORDER;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest latency that is recorded as it is, in microseconds.
const LONGEST_MICROS: u64 = 120_000_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Joining the line.
    Enter,
    /// Reading one's place.
    Status,
    /// Opening an event stream, until its first event.
    Stream,
    /// From the moment when an admission was due until its buyer was answered; no request of its own.
    LetIn,
    /// Giving the place up.
    Leave,
    /// Reading the live seats.
    Live,
    /// Taking seats.
    Hold,
    /// Taking other seats instead.
    Change,
    /// Giving seats back.
    Release,
    /// Opening a payment.
    Pay,
    /// Confirming it.
    Confirm,
    /// Reading the reservation with its ticket.
    Ticket,
    /// Reading the list of events.
    List,
    /// Reading one event.
    Event,
    /// Reading a seat map, or that it has not changed.
    Map,
}

/// Which service level a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Entering the waiting room.
    Entry,
    /// Reading.
    Read,
    /// Anything else: reported, but without a level.
    Other,
}

impl Call {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Status => "status",
            Self::Stream => "stream",
            Self::LetIn => "let in, told",
            Self::Leave => "leave",
            Self::Live => "live seats",
            Self::Hold => "hold",
            Self::Change => "change",
            Self::Release => "release",
            Self::Pay => "pay",
            Self::Confirm => "confirm",
            Self::Ticket => "ticket",
            Self::List => "events",
            Self::Event => "event",
            Self::Map => "seat map",
        }
    }

    /// Whether it is a request, and not only something that was waited for.
    #[must_use]
    pub fn is_request(self) -> bool {
        self != Self::LetIn
    }

    /// Which service level it has.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Enter => Kind::Entry,
            Self::Status | Self::Stream | Self::Live | Self::Ticket | Self::List | Self::Event | Self::Map => {
                Kind::Read
            }
            Self::LetIn | Self::Leave | Self::Hold | Self::Change | Self::Release | Self::Pay | Self::Confirm => {
                Kind::Other
            }
        }
    }
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// Half took at most so long.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// All.
    pub most_ms: f64,
}

/// One call's row in the report.
#[derive(Clone, Debug, Serialize)]
pub struct CallRow {
    /// Which.
    #[serde(skip)]
    pub call: Call,
    /// Its name.
    pub name: &'static str,
    /// How often it succeeded.
    pub done: u64,
    /// How often it was refused in a way that is part of the game.
    pub refused: u64,
    /// How often it failed.
    pub failed: u64,
    /// How long it took, whatever the answer.
    #[serde(flatten)]
    pub latency: Percentiles,
}

/// All requests of the crowd together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Those that were answered, whatever the answer.
    pub answered: u64,
    /// Of them, with 5xx, but for refusals that are the sale's right answer: a full room, load that is shed.
    pub failures_of_the_server: u64,
    /// How long they took.
    #[serde(flatten)]
    pub latency: Percentiles,
}

/// How often something happened.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// The call.
    pub call: &'static str,
    /// The error's code, or what the connection said.
    pub code: String,
    /// How often.
    pub times: u64,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Since the first arrival was due.
    pub second: u64,
    /// Requests sent.
    pub sent: u64,
    /// Answers.
    pub answered: u64,
    /// Events of streams.
    pub events: u64,
    /// Requests that failed.
    pub failed: u64,
    /// 95 of 100 entries were answered within this, in milliseconds.
    pub entry_p95_ms: Option<f64>,
    /// 95 of 100 reads were answered within this, in milliseconds.
    pub read_p95_ms: Option<f64>,
    /// Buyers in the line, as they know.
    pub waiting: u64,
    /// Buyers who were let in, as they know.
    pub admitted: u64,
    /// Bytes of the server in memory.
    pub server_bytes: Option<u64>,
    /// Processors that the server kept busy.
    pub server_cores: Option<f64>,
    /// Processors that the load tool kept busy.
    pub own_cores: Option<f64>,
}

struct One {
    latency: Histogram<u64>,
    done: u64,
    refused: u64,
    failed: u64,
}

/// How an answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// Refused in a way that is part of the game, by code.
    Refused(String),
    /// Anything else, by code.
    Failed(String),
}

impl Outcome {
    /// Why it did not succeed.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Refused(code) | Self::Failed(code) => Some(code),
        }
    }
}

/// Everything that is counted.
pub struct Tally {
    calls: BTreeMap<Call, One>,
    refused: BTreeMap<(Call, String), u64>,
    failed: BTreeMap<(Call, String), u64>,
    answered: u64,
    failures_of_the_server: u64,
    /// How late requests left, compared with their schedule: the tool's own doing.
    late: Histogram<u64>,
    entry: Histogram<u64>,
    reads: Histogram<u64>,
    now: Second,
    seconds: Vec<Second>,
}

#[allow(clippy::expect_used, reason = "the bounds are constants, and a test uses them")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("good bounds")
}

fn millis(latency: &Histogram<u64>, percentile: f64) -> f64 {
    latency.value_at_percentile(percentile) as f64 / 1000.0
}

fn percentiles(latency: &Histogram<u64>) -> Percentiles {
    let most_ms = latency.max() as f64 / 1000.0;
    // A bucket's upper edge may lie above all that was counted in it.
    let at = |percentile| millis(latency, percentile).min(most_ms);
    Percentiles { p50_ms: at(50.0), p95_ms: at(95.0), p99_ms: at(99.0), most_ms }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            calls: BTreeMap::new(),
            refused: BTreeMap::new(),
            failed: BTreeMap::new(),
            answered: 0,
            failures_of_the_server: 0,
            late: histogram(),
            entry: histogram(),
            reads: histogram(),
            now: Second::default(),
            seconds: Vec::new(),
        }
    }
}

impl Tally {
    /// A request leaves, so long after it was due.
    pub fn sent(&mut self, late: Duration) {
        self.late.saturating_record(micros(late).max(1));
        self.now.sent += 1;
    }

    /// It was answered, so long after it was due.
    pub fn answered(&mut self, call: Call, took: Duration, outcome: Outcome) {
        self.now.answered += 1;
        self.record(call, took, outcome);
    }

    /// An answer came with this status, and the code of its problem if it is one.
    pub fn status(&mut self, status: u16, code: Option<&str>) {
        self.answered += 1;
        let is_in_order = status == 503 && code.is_some_and(|code| IN_ORDER.contains(&code));
        self.failures_of_the_server += u64::from(status >= 500 && !is_in_order);
    }

    /// All requests together.
    #[must_use]
    pub fn requests(&self) -> Requests {
        let mut latency = histogram();
        for (_, one) in self.calls.iter().filter(|(call, _)| call.is_request()) {
            // They have the same bounds, so there is nothing that would not fit.
            let _ = latency.add(&one.latency);
        }
        let Self { answered, failures_of_the_server, .. } = *self;
        Requests { answered, failures_of_the_server, latency: percentiles(&latency) }
    }

    /// An event of a stream came.
    pub fn event(&mut self) {
        self.now.events += 1;
    }

    /// Something took so long.
    pub fn record(&mut self, call: Call, took: Duration, outcome: Outcome) {
        let took = micros(took).max(1);
        let one = self.calls.entry(call);
        let one = one.or_insert_with(|| One { latency: histogram(), done: 0, refused: 0, failed: 0 });
        one.latency.saturating_record(took);
        match call.kind() {
            Kind::Entry => self.entry.saturating_record(took),
            Kind::Read => self.reads.saturating_record(took),
            Kind::Other => {}
        }
        match outcome {
            Outcome::Done => one.done += 1,
            Outcome::Refused(code) => {
                one.refused += 1;
                *self.refused.entry((call, code)).or_default() += 1;
            }
            Outcome::Failed(code) => {
                one.failed += 1;
                self.now.failed += 1;
                *self.failed.entry((call, code)).or_default() += 1;
            }
        }
    }

    /// The second is over; `rest` brings what is not counted here.
    pub fn close_second(&mut self, rest: Second) -> Second {
        let p95 = |latency: &mut Histogram<u64>| {
            let p95 = (!latency.is_empty()).then(|| percentiles(latency).p95_ms);
            latency.reset();
            p95
        };
        let now = std::mem::take(&mut self.now);
        let (entry_p95_ms, read_p95_ms) = (p95(&mut self.entry), p95(&mut self.reads));
        let Second { sent, answered, events, failed, .. } = now;
        let second = Second { sent, answered, events, failed, entry_p95_ms, read_p95_ms, ..rest };
        self.seconds.push(second);
        second
    }

    /// Rows of all calls that were made.
    #[must_use]
    pub fn rows(&self) -> Vec<CallRow> {
        let row = |(call, one): (&Call, &One)| CallRow {
            call: *call,
            name: call.name(),
            done: one.done,
            refused: one.refused,
            failed: one.failed,
            latency: percentiles(&one.latency),
        };
        self.calls.iter().map(row).collect()
    }

    /// Failures by kind.
    #[must_use]
    pub fn failures(&self) -> Vec<Times> {
        times(&self.failed)
    }

    /// Refusals that are part of the game.
    #[must_use]
    pub fn refusals(&self) -> Vec<Times> {
        times(&self.refused)
    }

    /// How late requests left.
    #[must_use]
    pub fn lateness(&self) -> Percentiles {
        percentiles(&self.late)
    }

    /// Every second so far.
    #[must_use]
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }
}

fn times(counted: &BTreeMap<(Call, String), u64>) -> Vec<Times> {
    let one =
        |((call, code), times): (&(Call, String), &u64)| Times { call: call.name(), code: code.clone(), times: *times };
    counted.iter().map(one).collect()
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_and_failures_are_counted_by_call_and_by_second() {
        let mut tally = Tally::default();
        for millis in 1..=100 {
            tally.sent(Duration::ZERO);
            tally.answered(Call::Status, Duration::from_millis(millis), Outcome::Done);
        }
        tally.answered(Call::Enter, Duration::from_millis(7), Outcome::Failed("QUEUE_FULL".into()));
        tally.answered(Call::Hold, Duration::from_millis(7), Outcome::Refused("SEAT_UNAVAILABLE".into()));
        let second = tally.close_second(Second { second: 3, ..Second::default() });
        assert_eq!((second.second, second.sent, second.answered, second.failed), (3, 100, 102, 1));
        assert!((second.read_p95_ms.unwrap_or_default() - 95.0).abs() < 0.2, "{second:?}");
        assert!((second.entry_p95_ms.unwrap_or_default() - 7.0).abs() < 0.1, "{second:?}");
        assert_eq!(tally.close_second(Second::default()).read_p95_ms, None);
        let rows = tally.rows();
        assert_eq!(
            rows.iter().map(|row| (row.name, row.done, row.refused, row.failed)).collect::<Vec<_>>(),
            [("enter", 0, 0, 1), ("status", 100, 0, 0), ("hold", 0, 1, 0)]
        );
        assert!((rows[1].latency.p50_ms - 50.0).abs() < 0.1 && rows[1].latency.most_ms >= 100.0);
        assert_eq!(tally.failures()[0].code, "QUEUE_FULL");
        tally.record(Call::LetIn, Duration::from_secs(9), Outcome::Done);
        [200, 304].into_iter().for_each(|status| tally.status(status, None));
        let refused = [(409, "SEAT_UNAVAILABLE"), (503, "QUEUE_FULL"), (503, "STORAGE_UNAVAILABLE")];
        refused.into_iter().for_each(|(status, code)| tally.status(status, Some(code)));
        let requests = tally.requests();
        assert_eq!((requests.answered, requests.failures_of_the_server), (5, 1));
        assert!((requests.latency.most_ms - 100.0).abs() < 0.1, "nobody's turn is a request: {requests:?}");
    }
}
