//! Open streams of waiting rooms. One task for each event looks after all of them: it wakes when facts commit, looks
//! every listener's place up in the read view, and tells only those who have something to hear. Fifty thousand
//! streams therefore cost one walk, not fifty thousand wake-ups for each fact. Must never hold the read view while
//! it writes to a listener.

use crate::app::App;
use crate::queue::place::{Left, PlaceJson, Room};
use bytes::Bytes;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::runtime::SaleHandle;
use onsale_engine::sale::{PlaceStatus, PlaceView};
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Walks begin at least this far apart.
const WALK_GAP: Duration = Duration::from_millis(50);
/// And rest so many times as long as the last one took, so that they never cost more than a tenth of a core.
const REST_FACTOR: u32 = 9;
/// Without news a walk happens this often: for beats, for what time alone changes, and for those who left.
const IDLE_WALK: Duration = Duration::from_millis(500);
/// Silence after which a comment keeps a connection open.
const BEAT: Duration = Duration::from_secs(15);
/// Listeners looked up under one short lock of the read view.
const CHUNK: usize = 512;
/// Listeners are heard at least this often, and three times within the silence that is allowed.
const HEARD_EVERY: Duration = Duration::from_secs(10);

/// Ranks that may be told in a second at the least, however few listen.
const RANKS_PER_SECOND: usize = 256;

/// All waiting rooms that somebody listens to.
#[derive(Default)]
pub struct Hubs {
    hubs: Mutex<HashMap<EventId, Arc<Hub>>>,
}

/// The listeners of one event.
#[derive(Default)]
struct Hub {
    joining: Mutex<Vec<Listener>>,
    joined: Notify,
}

/// One listener, as the hub sees it.
struct Listener {
    line: Arc<Line>,
    buyer: BuyerId,
    told: Told,
    told_at: Timestamp,
    beaten_at: Timestamp,
    heard_at: Timestamp,
}

/// What a listener heard last. Whatever of it changes is told at once, but for the rank and the seats that are left.
#[derive(Clone, PartialEq)]
struct Told {
    place: PlaceView,
    message: Option<Arc<str>>,
    left: Left,
}

/// From the hub to one stream: the newest event only, so that a slow client hears of the present.
#[derive(Default)]
struct Line {
    event: Mutex<Option<Bytes>>,
    news: Notify,
    over: AtomicBool,
    hung_up: AtomicBool,
}

/// The stream's end of its line; hanging up is dropping it.
pub struct Listening {
    line: Arc<Line>,
}

impl Listening {
    /// The next event, already written; `None` when the place is gone. Cancel safe.
    pub async fn next(&self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.line.event.lock().take() {
                return Some(event);
            }
            if self.line.over.load(Ordering::Acquire) {
                return None;
            }
            self.line.news.notified().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.line.hung_up.store(true, Ordering::Release);
    }
}

impl Line {
    fn tell(&self, event: Bytes) {
        *self.event.lock() = Some(event);
        self.news.notify_one();
    }

    /// A comment, unless something better is still on its way.
    fn beat(&self) {
        self.event.lock().get_or_insert(Bytes::from_static(b":\n\n"));
        self.news.notify_one();
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

/// What a hub works on.
#[derive(Clone)]
struct Around {
    app: Arc<App>,
    sale: Arc<SaleHandle>,
}

/// How many ranks may be told now: evenly over the poll interval, because what was once told to all at the same time
/// (an opening, a message) would be due for all at the same time for ever, and hold up who is let in meanwhile.
struct Ranks {
    left: usize,
    refilled: Instant,
    /// The poll interval, as told last, in seconds.
    interval: u64,
}

impl Ranks {
    fn new(now: Instant) -> Self {
        Self { left: 0, refilled: now, interval: 1 }
    }

    /// A quarter more than all listeners once in an interval, and never more than half a second's share at a time.
    fn refill(&mut self, now: Instant, listeners: usize) {
        let per_second = (listeners * 5 / 4).div_ceil(usize::try_from(self.interval).unwrap_or(1).max(1));
        let per_second = per_second.max(RANKS_PER_SECOND);
        let since = now.duration_since(self.refilled).as_micros().min(1_000_000) as usize;
        self.left = (self.left + (per_second * since).div_ceil(1_000_000)).min(per_second / 2);
        self.refilled = now;
    }

    /// Whether one more may be told.
    fn take(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Hubs {
    /// Listens to a place of which the buyer has just been told `place`.
    pub fn listen(
        self: &Arc<Self>,
        app: &Arc<App>,
        sale: &Arc<SaleHandle>,
        place: PlaceView,
        room: &Room,
    ) -> Listening {
        let now = app.clock.now();
        let line = Arc::new(Line::default());
        let listener = Listener {
            line: Arc::clone(&line),
            buyer: place.buyer,
            told: Told { place, message: room.message.as_deref().map(Arc::from), left: room.left.clone() },
            told_at: now,
            beaten_at: now,
            heard_at: Timestamp(i64::MIN),
        };
        let mut hubs = self.hubs.lock();
        let hub = hubs.entry(sale.event()).or_insert_with(|| {
            let hub = Arc::new(Hub::default());
            let around = Around { app: Arc::clone(app), sale: Arc::clone(sale) };
            tokio::spawn(Arc::clone(self).run(Arc::clone(&hub), around));
            hub
        });
        hub.joining.lock().push(listener);
        hub.joined.notify_one();
        Listening { line }
    }

    /// How many waiting rooms are listened to.
    #[must_use]
    pub fn open(&self) -> usize {
        self.hubs.lock().len()
    }

    async fn run(self: Arc<Self>, hub: Arc<Hub>, around: Around) {
        let mut changed = around.sale.changed();
        let mut listeners: Vec<Listener> = Vec::new();
        let mut ranks = Ranks::new(Instant::now());
        loop {
            let began = Instant::now();
            listeners.append(&mut hub.joining.lock());
            ranks.refill(began, listeners.len());
            walk(&mut listeners, &around, &mut ranks).await;
            if listeners.is_empty() && self.close(&hub, around.sale.event()) {
                return;
            }
            tokio::time::sleep(WALK_GAP.max(began.elapsed() * REST_FACTOR)).await;
            tokio::select! {
                news = changed.changed() => if news.is_err() {
                    // The engine has stopped: nothing will change any more.
                    listeners.append(&mut hub.joining.lock());
                    listeners.iter().for_each(|listener| listener.line.end());
                    tokio::time::sleep(IDLE_WALK).await;
                },
                () = hub.joined.notified() => {}
                () = tokio::time::sleep(IDLE_WALK) => {}
            }
        }
    }

    /// Takes an empty hub away, unless somebody is joining it this moment.
    fn close(&self, hub: &Hub, event: EventId) -> bool {
        let mut hubs = self.hubs.lock();
        if !hub.joining.lock().is_empty() {
            return false;
        }
        hubs.remove(&event);
        true
    }
}

/// Looks at every listener once.
async fn walk(listeners: &mut Vec<Listener>, around: &Around, ranks: &mut Ranks) {
    listeners.retain(|listener| !listener.line.hung_up.load(Ordering::Acquire));
    let mut gone = false;
    for chunk in listeners.chunks_mut(CHUNK) {
        gone |= look(chunk, around, ranks);
        tokio::task::yield_now().await;
    }
    if gone {
        listeners.retain(|listener| !listener.line.over.load(Ordering::Acquire));
    }
}

/// Looks at some listeners; whether any of them has no place any more.
fn look(listeners: &mut [Listener], around: &Around, ranks: &mut Ranks) -> bool {
    let now = around.app.clock.now();
    let (room, places) = {
        let sale = around.sale.view();
        let places: Vec<_> = listeners.iter().map(|listener| sale.place(listener.buyer, now)).collect();
        (Room::of(around.sale.event(), &sale, &around.app.readers.paces, now), places)
    };
    let message: Option<Arc<str>> = room.as_ref().and_then(|room| room.message.as_deref()).map(Arc::from);
    let mut gone = false;
    for (listener, place) in listeners.iter_mut().zip(places) {
        let (Some(place), Some(room)) = (place, &room) else {
            listener.line.end();
            gone = true;
            continue;
        };
        if now.since(listener.heard_at) >= HEARD_EVERY.min(room.rules.absent / 3) {
            crate::queue::hear(&around.sale, &place);
            listener.heard_at = now;
        }
        let told = Told { place, message: message.clone(), left: room.left.clone() };
        ranks.interval = room.poll_after_seconds(place.total_in_queue);
        if is_due(listener, &told, room, now) && (!is_rank_only(&listener.told, &told) || ranks.take()) {
            let json = PlaceJson::new(&place, room, &around.app.seals, now);
            if let Ok(event) = written(&json) {
                listener.line.tell(event);
                (listener.told, listener.told_at) = (told, now);
            }
        } else if now.since(listener.told_at.max(listener.beaten_at)) >= BEAT {
            listener.line.beat();
            listener.beaten_at = now;
        }
    }
    gone
}

/// Whether a listener has to hear of this now: a rank may wait for the poll interval, all else may not. A line that
/// only grows behind somebody is no news.
fn is_due(listener: &Listener, now_is: &Told, room: &Room, now: Timestamp) -> bool {
    let was = &listener.told;
    if now_is.message != was.message {
        return true;
    }
    match (was.place.status, now_is.place.status) {
        (PlaceStatus::Waiting { rank: before }, PlaceStatus::Waiting { rank }) if before != rank => {
            interval_is_over(listener, now_is, room, now)
        }
        (PlaceStatus::PreQueue { rank: before }, PlaceStatus::PreQueue { rank }) if before != rank => {
            interval_is_over(listener, now_is, room, now)
        }
        (PlaceStatus::Waiting { .. }, PlaceStatus::Waiting { .. }) => {
            // In place of the next beat, so that it costs nothing more.
            now_is.left != was.left && now.since(listener.told_at.max(listener.beaten_at)) >= BEAT
        }
        (before, after) => before != after,
    }
}

/// Whether nothing but the rank, or the seats that are left, differs.
fn is_rank_only(was: &Told, now_is: &Told) -> bool {
    let both = (was.place.status, now_is.place.status);
    let same = matches!(
        both,
        (PlaceStatus::Waiting { .. }, PlaceStatus::Waiting { .. })
            | (PlaceStatus::PreQueue { .. }, PlaceStatus::PreQueue { .. })
    );
    same && was.message == now_is.message
}

fn interval_is_over(listener: &Listener, now_is: &Told, room: &Room, now: Timestamp) -> bool {
    let seconds = room.poll_after_seconds(now_is.place.total_in_queue);
    now.since(listener.told_at) >= Duration::from_secs(seconds)
}

/// An event of a stream.
fn written(json: &PlaceJson<'_>) -> serde_json::Result<Bytes> {
    let mut event = b"data: ".to_vec();
    serde_json::to_writer(&mut event, json)?;
    event.extend_from_slice(b"\n\n");
    Ok(Bytes::from(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use onsale_engine::id::{Ordinal, Slot};
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn told(status: PlaceStatus, total_in_queue: u64, message: Option<&str>) -> Told {
        let buyer = BuyerId(Uuid::nil());
        let place = PlaceView { buyer, ordinal: Some(Ordinal(7)), status, total_in_queue };
        Told { place, message: message.map(Arc::from), left: Left::default() }
    }

    /// Whether a listener who was told `before` so many seconds ago hears of `after`.
    fn check(seconds: u64, before: &Told, after: &Told, expected: bool) {
        let room = Room {
            event: EventId(Uuid::nil()),
            opens_at: NOW,
            rate_per_second: 10,
            held_up: false,
            message: None,
            rules: crate::queue::place::tests::rules(),
            incarnation: 0,
            active_limit: None,
            pace: None,
            left: Left::default(),
            plan: None,
        };
        let told_at = NOW - Duration::from_secs(seconds);
        let line = Arc::new(Line::default());
        let buyer = before.place.buyer;
        let listener = Listener { line, buyer, told: before.clone(), told_at, beaten_at: told_at, heard_at: told_at };
        assert_eq!(is_due(&listener, after, &room, NOW), expected);
    }

    #[test]
    fn a_rank_waits_for_the_poll_interval_and_all_else_is_told_at_once() {
        let waiting = |rank| told(PlaceStatus::Waiting { rank }, 90, None);
        let pre_queue = |rank| told(PlaceStatus::PreQueue { rank }, 90, None);
        let shops = |slot, secs, may_hold| {
            let expires_at = Timestamp::from_secs(secs);
            told(PlaceStatus::Active { slot: Some(Slot(slot)), expires_at, may_hold }, 90, None)
        };
        let active = |slot, secs| shops(slot, secs, true);
        check(1, &waiting(9), &waiting(8), false);
        check(2, &waiting(9), &waiting(8), true);
        check(1, &pre_queue(Some(9)), &pre_queue(Some(8)), false);
        check(2, &pre_queue(Some(9)), &pre_queue(Some(8)), true);
        check(60, &waiting(9), &waiting(9), false);
        check(60, &waiting(9), &told(PlaceStatus::Waiting { rank: 9 }, 91, None), false);
        check(0, &waiting(9), &told(PlaceStatus::Waiting { rank: 9 }, 90, Some("Soon")), true);
        check(0, &pre_queue(Some(9)), &waiting(9), true);
        check(0, &waiting(1), &active(1, 2000), true);
        check(0, &active(1, 2000), &active(2, 2000), true);
        check(60, &active(1, 2000), &active(1, 2000), false);
        check(0, &active(1, 2000), &shops(1, 2000, false), true);
        check(0, &active(1, 2000), &told(PlaceStatus::Expired, 90, None), true);
        let fewer = Told { left: Left::from_iter([7, 3]), ..waiting(9) };
        check(14, &waiting(9), &fewer, false);
        check(15, &waiting(9), &fewer, true);
    }

    #[test]
    fn ranks_are_told_evenly_and_all_else_is_no_rank() {
        let began = Instant::now();
        let mut ranks = Ranks { left: 0, refilled: began, interval: 5 };
        ranks.refill(began + Duration::from_millis(100), 50_000);
        assert_eq!((0..5000).filter(|_| ranks.take()).count(), 1250);
        ranks.refill(began + Duration::from_secs(60), 50_000);
        assert_eq!((0..50_000).filter(|_| ranks.take()).count(), 6250);
        ranks.refill(began + Duration::from_secs(61), 3);
        assert!(ranks.take());
        let waiting = |rank| told(PlaceStatus::Waiting { rank }, 90, None);
        assert!(is_rank_only(&waiting(9), &waiting(8)));
        assert!(!is_rank_only(&waiting(9), &told(PlaceStatus::Waiting { rank: 8 }, 90, Some("Soon"))));
        assert!(!is_rank_only(&told(PlaceStatus::PreQueue { rank: Some(9) }, 90, None), &waiting(9)));
    }

    #[tokio::test]
    async fn a_slow_stream_hears_of_the_present_and_a_beat_never_hides_news() {
        let line = Arc::new(Line::default());
        let listening = Listening { line: Arc::clone(&line) };
        line.tell(Bytes::from_static(b"old"));
        line.tell(Bytes::from_static(b"new"));
        line.beat();
        assert_eq!(listening.next().await.as_deref(), Some(b"new".as_slice()));
        line.beat();
        assert_eq!(listening.next().await.as_deref(), Some(b":\n\n".as_slice()));
        line.tell(Bytes::from_static(b"last"));
        line.end();
        assert_eq!(listening.next().await.as_deref(), Some(b"last".as_slice()));
        assert_eq!(listening.next().await, None);
        drop(listening);
        assert!(line.hung_up.load(Ordering::Acquire));
    }
}
