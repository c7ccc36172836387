//! Seat changes as they commit, for clients that watch a hall. One task for each event compares the seats with what it
//! saw last, a few times a second, and writes the difference once for all streams; a short memory of differences lets
//! a stream that broke off go on. Must never hold the read view while it compares.

use bytes::Bytes;
use onsale_engine::id::{EventId, SeatIndex, Seq};
use onsale_engine::plan::Plan;
use onsale_engine::runtime::SaleHandle;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Differences are taken at least this far apart.
const PACE: Duration = Duration::from_millis(250);
/// Differences kept for streams that come back; a minute of a busy sale.
const STEPS_KEPT: usize = 240;
/// Bytes of kept differences of one event.
const BYTES_KEPT: usize = 8 << 20;
/// How long a feed that nobody watches goes on, so that a stream can come back to it.
const LINGERS: Duration = Duration::from_secs(60);

/// In place of a step's number: nothing will come any more.
const OVER: u64 = u64::MAX;

const AVAILABLE: u8 = 0;
const HELD: u8 = 1;
const SOLD: u8 = 2;
const BLOCKED: u8 = 3;

/// The feeds that somebody watches.
#[derive(Default)]
pub struct Feeds {
    feeds: Mutex<HashMap<EventId, Arc<Feed>>>,
}

/// The changes of one event.
struct Feed {
    plan: Arc<Plan>,
    memory: Mutex<Memory>,
    /// The number of the next step.
    moved: watch::Sender<u64>,
}

struct Memory {
    /// Every seat's state at `version`.
    states: Vec<u8>,
    version: Seq,
    /// A client that knows this version or a later one can go on from the steps.
    oldest: Seq,
    steps: VecDeque<Step>,
    bytes: usize,
    next: u64,
}

/// One difference, written as an event.
struct Step {
    to: Seq,
    event: Bytes,
}

/// One stream's position in a feed.
pub struct Watching {
    feed: Arc<Feed>,
    moved: watch::Receiver<u64>,
    next: u64,
}

impl Feeds {
    /// Watches an event from the version that the client knows, or from the beginning: the first events to send, and
    /// what to wait on for more. A client that knows nothing is sent every seat that is not free; one that knows
    /// a version too old is sent every seat.
    pub fn watch(self: &Arc<Self>, sale: &Arc<SaleHandle>, known: Option<Seq>) -> Option<(Vec<Bytes>, Watching)> {
        let current = sale.view().seq();
        Some(self.feed(sale)?.watch(known, current))
    }

    fn feed(self: &Arc<Self>, sale: &Arc<SaleHandle>) -> Option<Arc<Feed>> {
        let mut feeds = self.feeds.lock();
        if let Some(feed) = feeds.get(&sale.event()) {
            return Some(Arc::clone(feed));
        }
        let (plan, version, states) = read(sale)?;
        let feed = Feed::new(plan, version, states);
        feeds.insert(sale.event(), Arc::clone(&feed));
        tokio::spawn(Arc::clone(self).run(Arc::clone(&feed), Arc::clone(sale)));
        Some(feed)
    }

    async fn run(self: Arc<Self>, feed: Arc<Feed>, sale: Arc<SaleHandle>) {
        let _open = OpenFeed { feeds: self, event: sale.event(), feed: Arc::clone(&feed) };
        let mut changed = sale.changed();
        let following = async {
            while changed.changed().await.is_ok() && feed.step(&sale) {
                tokio::time::sleep(PACE).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = feed.unwatched(LINGERS) => {}
        }
    }
}

/// A feed that somebody steps. When it ends, also by a panic, nobody waits for it any more: streams that began this moment are
/// ended, and open again.
struct OpenFeed {
    feeds: Arc<Feeds>,
    event: EventId,
    feed: Arc<Feed>,
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.feeds.feeds.lock().remove(&self.event);
        self.feed.moved.send_replace(OVER);
    }
}

impl Watching {
    /// The events that came since; waits for the first. `None` when nothing will come any more. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<Bytes>> {
        loop {
            self.moved.changed().await.ok()?;
            let next = *self.moved.borrow_and_update();
            if next == OVER {
                return None;
            }
            let events = self.feed.since(self.next, next);
            self.next = next;
            if !events.is_empty() {
                return Some(events);
            }
        }
    }
}

impl Feed {
    fn new(plan: Arc<Plan>, version: Seq, states: Vec<u8>) -> Arc<Self> {
        let memory = Memory { states, version, oldest: version, steps: VecDeque::new(), bytes: 0, next: 0 };
        Arc::new(Self { plan, memory: Mutex::new(memory), moved: watch::Sender::new(0) })
    }

    /// Waits until nobody watches, and nobody comes back for as long as that is waited for.
    async fn unwatched(&self, lingers: Duration) {
        loop {
            self.moved.closed().await;
            tokio::time::sleep(lingers).await;
            if self.moved.receiver_count() == 0 {
                return;
            }
        }
    }

    /// See [`Feeds::watch`]; `current` is the newest version that anybody can know.
    fn watch(self: Arc<Self>, known: Option<Seq>, current: Seq) -> (Vec<Bytes>, Watching) {
        let moved = self.moved.subscribe();
        let memory = self.memory.lock();
        let first = match known {
            None => vec![snapshot(&self.plan, &memory, false)],
            Some(known) if known >= memory.oldest && known <= current => {
                let missed = memory.steps.iter().filter(|step| step.to > known);
                missed.map(|step| step.event.clone()).collect()
            }
            Some(_) => vec![snapshot(&self.plan, &memory, true)],
        };
        let next = memory.next;
        drop(memory);
        (first, Watching { feed: self, moved, next })
    }

    /// The events from step `from` up to step `to`, or all seats when they are not kept any more.
    fn since(&self, from: u64, to: u64) -> Vec<Bytes> {
        let memory = self.memory.lock();
        let first_kept = memory.next - memory.steps.len() as u64;
        if from < first_kept {
            return vec![snapshot(&self.plan, &memory, true)];
        }
        let steps = memory.steps.iter().zip(first_kept..);
        steps.filter(|(_, number)| (from..to).contains(number)).map(|(step, _)| step.event.clone()).collect()
    }

    /// Takes the difference to what was seen last; false when the event has moved to another hall.
    fn step(&self, sale: &SaleHandle) -> bool {
        let Some((plan, version, states)) = read(sale) else { return false };
        if plan.hash() != self.plan.hash() {
            return false;
        }
        self.note(version, states);
        true
    }

    /// Remembers the difference to what was seen last, and sends it.
    fn note(&self, version: Seq, states: Vec<u8>) {
        let mut memory = self.memory.lock();
        let pairs = memory.states.iter().zip(&states).enumerate();
        let changes: Vec<(usize, u8)> =
            pairs.filter(|(_, (was, is))| was != is).map(|(at, (_, is))| (at, *is)).collect();
        (memory.states, memory.version) = (states, version);
        if changes.is_empty() {
            return;
        }
        let event = written(&self.plan, version, changes.into_iter());
        memory.bytes += event.len();
        memory.steps.push_back(Step { to: version, event });
        memory.next += 1;
        while memory.steps.len() > STEPS_KEPT || memory.bytes > BYTES_KEPT {
            let Some(step) = memory.steps.pop_front() else { break };
            memory.bytes -= step.event.len();
            memory.oldest = step.to;
        }
        let next = memory.next;
        drop(memory);
        self.moved.send_replace(next);
    }
}

/// Every seat's state; `None` for a sale without rules.
fn read(sale: &SaleHandle) -> Option<(Arc<Plan>, Seq, Vec<u8>)> {
    let (plan, version, held, sold, blocked) = {
        let view = sale.view();
        (Arc::clone(view.plan()?), view.seq(), view.seats_held(), view.seats_sold(), view.seats_blocked())
    };
    let mut states = vec![AVAILABLE; plan.capacity()];
    for (seats, state) in [(held, HELD), (sold, SOLD), (blocked, BLOCKED)] {
        for seat in seats {
            if let Some(slot) = states.get_mut(seat.at()) {
                *slot = state;
            }
        }
    }
    Some((plan, version, states))
}

fn snapshot(plan: &Plan, memory: &Memory, also_free: bool) -> Bytes {
    let seats = memory.states.iter().copied().enumerate();
    written(plan, memory.version, seats.filter(|(_, state)| also_free || *state != AVAILABLE))
}

/// An event of a stream: its id is the version, so that a client says by itself how far it is.
fn written(plan: &Plan, version: Seq, changes: impl Iterator<Item = (usize, u8)>) -> Bytes {
    let mut event = format!("id: {v}\ndata: {{\"version\":{v},\"changes\":[", v = version.0).into_bytes();
    for (number, (at, state)) in changes.enumerate() {
        if number > 0 {
            event.push(b',');
        }
        event.extend_from_slice(b"{\"seatId\":");
        // Writing a string into a `Vec` cannot fail.
        let _ = serde_json::to_writer(&mut event, plan.seat_id(SeatIndex(at as u32)));
        event.extend_from_slice(match state {
            HELD => b",\"status\":\"HELD\"}".as_slice(),
            SOLD => b",\"status\":\"SOLD\"}",
            BLOCKED => b",\"status\":\"BLOCKED\"}",
            _ => b",\"status\":\"AVAILABLE\"}",
        });
    }
    event.extend_from_slice(b"]}\n\n");
    Bytes::from(event)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::PlanHash;
    use onsale_engine::plan::{Category, PlanDraft, RowDraft, SeatDraft, SectionDraft};

    /// A feed of three free seats, `1`, `2` and `3`, at version 10.
    fn feed() -> Arc<Feed> {
        let seat = |id: &str| SeatDraft { id: id.into(), category: "S".into(), ..SeatDraft::default() };
        let row = RowDraft { label: "A".into(), seats: ["1", "2", "3"].map(seat).to_vec(), ..RowDraft::default() };
        let draft = PlanDraft {
            size: (1.0, 1.0),
            categories: vec![Category { name: "S".into(), color: "#fff".into() }],
            sections: vec![SectionDraft { rows: vec![row], ..SectionDraft::default() }],
            ..PlanDraft::default()
        };
        Feed::new(Arc::new(Plan::compile(&draft, PlanHash([0; 32])).unwrap()), Seq(10), vec![AVAILABLE; 3])
    }

    /// What events say, as `version: seat=status …`.
    fn texts_of(events: &[Bytes]) -> Vec<String> {
        let one = |event: &Bytes| {
            let text = std::str::from_utf8(event).unwrap();
            let (id, data) = text.trim_end().split_once("\ndata: ").unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(id, format!("id: {}", data["version"]));
            let changes = data["changes"].as_array().unwrap().iter();
            let changes =
                changes.map(|c| format!(" {}={}", c["seatId"].as_str().unwrap(), c["status"].as_str().unwrap()));
            format!("{}:{}", data["version"], changes.collect::<String>())
        };
        events.iter().map(one).collect()
    }

    fn check(feed: &Arc<Feed>, known: Option<u64>, expected: &[&str]) {
        let (first, _) = Arc::clone(feed).watch(known.map(Seq), Seq(99));
        assert_eq!(texts_of(&first), expected, "known: {known:?}");
    }

    #[tokio::test]
    async fn a_stream_begins_with_what_its_client_does_not_know() {
        let feed = feed();
        check(&feed, None, &["10:"]);
        check(&feed, Some(10), &[]);
        feed.note(Seq(12), vec![HELD, AVAILABLE, AVAILABLE]);
        feed.note(Seq(15), vec![HELD, AVAILABLE, AVAILABLE]);
        feed.note(Seq(20), vec![SOLD, HELD, AVAILABLE]);
        check(&feed, None, &["20: 1=SOLD 2=HELD"]);
        check(&feed, Some(10), &["12: 1=HELD", "20: 1=SOLD 2=HELD"]);
        // A version between two differences is sent the whole of the second.
        check(&feed, Some(13), &["20: 1=SOLD 2=HELD"]);
        check(&feed, Some(20), &[]);
        // Ahead of the feed, yet committed: there is nothing to send.
        check(&feed, Some(99), &[]);
        check(&feed, Some(9), &["20: 1=SOLD 2=HELD 3=AVAILABLE"]);
        check(&feed, Some(100), &["20: 1=SOLD 2=HELD 3=AVAILABLE"]);
    }

    #[tokio::test]
    async fn a_feed_is_over_when_nobody_has_watched_it_for_its_time() {
        let (feed, lingers) = (feed(), Duration::from_millis(40));
        let (_, watching) = Arc::clone(&feed).watch(None, Seq(10));
        let began = tokio::time::Instant::now();
        let leaving = async {
            tokio::time::sleep(lingers * 3).await;
            drop(watching);
        };
        tokio::join!(feed.unwatched(lingers), leaving);
        assert!(began.elapsed() >= lingers * 4, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_stream_is_sent_every_difference_once() {
        let feed = feed();
        let (_, mut watching) = Arc::clone(&feed).watch(None, Seq(10));
        feed.note(Seq(11), vec![HELD, AVAILABLE, AVAILABLE]);
        feed.note(Seq(12), vec![HELD, HELD, AVAILABLE]);
        assert_eq!(texts_of(&watching.next().await.unwrap()), ["11: 1=HELD", "12: 2=HELD"]);
        feed.note(Seq(13), vec![AVAILABLE, HELD, AVAILABLE]);
        assert_eq!(texts_of(&watching.next().await.unwrap()), ["13: 1=AVAILABLE"]);
        feed.moved.send_replace(OVER);
        assert!(watching.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_kept_has_a_bound_and_who_falls_behind_is_sent_every_seat() {
        let feed = feed();
        let (_, mut watching) = Arc::clone(&feed).watch(None, Seq(10));
        for version in 0..=STEPS_KEPT as u64 {
            let state = if version % 2 == 0 { HELD } else { AVAILABLE };
            feed.note(Seq(11 + version), vec![state, AVAILABLE, AVAILABLE]);
        }
        assert_eq!(feed.memory.lock().steps.len(), STEPS_KEPT);
        assert_eq!(texts_of(&watching.next().await.unwrap()), ["251: 1=HELD 2=AVAILABLE 3=AVAILABLE"]);
        check(&feed, Some(10), &["251: 1=HELD 2=AVAILABLE 3=AVAILABLE"]);
    }
}
