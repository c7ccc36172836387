//! Open streams of waiting rooms. One task for each event serves all of them: it is woken with the buyers whose place has changed
//! and sends to them first; everybody's rank is looked up in rounds of small parts with pauses between them. Fifty thousand streams
//! therefore cost one task, not fifty thousand wake-ups for each fact. Must never hold the read view while it writes to a listener.

mod agenda;
mod latest;
mod listeners;
mod sent;

pub use latest::Subscription;

use crate::app::App;
use crate::auth::Caller;
use crate::http::End;
use crate::http::event_stream::HEARTBEAT;
use crate::queue::notice::Notices;
use crate::queue::place::{PlaceJson, Room};
use agenda::{Agenda, Next};
use bytes::Bytes;
use latest::LatestEvent;
use listeners::{Listener, Listeners};
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::runtime::{ChangedPlaces, SaleHandle};
use onsale_engine::sale::{PlaceStatus, PlaceView};
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use sent::{Due, Ranks, Sent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A listener is reported to the sale as present at least this often, and three times within the silence that is allowed.
const SEEN_EVERY: Duration = Duration::from_secs(10);
/// An end that is farther off is checked again after this time: timers need not reach years ahead.
const ENDS_NOT_YET: Duration = Duration::from_secs(3600);
/// When ranks beyond the allowance are tried again.
const RANKS_AGAIN: Duration = Duration::from_millis(50);

/// All waiting rooms with open streams.
#[derive(Default)]
pub struct Hubs {
    hubs: Mutex<HashMap<EventId, Arc<Hub>>>,
}

/// What streams send to the task of their event.
#[derive(Default)]
struct Hub {
    joining: Mutex<Vec<Listener>>,
    /// Buyers of whom a stream was closed.
    leaving: Mutex<Vec<BuyerId>>,
    attention: Notify,
}

impl Hubs {
    /// Listens to a place of which the buyer has just been sent `place`.
    pub fn listen(
        self: &Arc<Self>,
        app: &Arc<App>,
        sale: &Arc<SaleHandle>,
        caller: Caller,
        (place, room): (PlaceView, &Room),
    ) -> Subscription {
        let now = app.clock.now();
        let latest = Arc::new(LatestEvent::default());
        let listener = Listener {
            latest: Arc::clone(&latest),
            caller,
            sent: Sent {
                place,
                message: room.message.as_deref().map(Arc::from),
                notice: room.notices.to(&place.status),
                left: room.left.clone(),
            },
            sent_at: now,
            commented_at: now,
            checked_at: now,
            seen_at: Timestamp(i64::MIN),
        };
        let mut hubs = self.hubs.lock();
        let hub = hubs.entry(sale.event()).or_insert_with(|| {
            let hub = Arc::new(Hub::default());
            let task = Task::new(Arc::clone(app), Arc::clone(sale), Arc::clone(&hub));
            tokio::spawn(task.run(Arc::clone(self)));
            hub
        });
        hub.joining.lock().push(listener);
        hub.attention.notify_one();
        let hub = Arc::clone(hub);
        let closing = move || {
            hub.leaving.lock().push(caller.buyer);
            hub.attention.notify_one();
        };
        Subscription::new(latest, Box::new(closing))
    }

    /// How many waiting rooms are listened to.
    #[must_use]
    pub fn open(&self) -> usize {
        self.hubs.lock().len()
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

/// A hub that a task serves. When the task ends, also by a panic, the next listener is given a new one, and who joined this one
/// meanwhile must connect again.
struct OpenHub {
    hubs: Arc<Hubs>,
    event: EventId,
    hub: Arc<Hub>,
}

impl Drop for OpenHub {
    fn drop(&mut self) {
        let mut hubs = self.hubs.hubs.lock();
        if hubs.get(&self.event).is_some_and(|hub| Arc::ptr_eq(hub, &self.hub)) {
            hubs.remove(&self.event);
        }
        // Under the lock of the hubs, so that nobody joins after this.
        let left = std::mem::take(&mut *self.hub.joining.lock());
        drop(hubs);
        drop(left);
    }
}

/// The task of one event.
struct Task {
    app: Arc<App>,
    sale: Arc<SaleHandle>,
    hub: Arc<Hub>,
    listeners: Listeners,
    agenda: Agenda,
    ranks: Ranks,
    /// The message that everybody was sent last, what there was to say, and whether the sale was open by then.
    message: Option<Arc<str>>,
    notices: Notices,
    was_open: bool,
}

impl Task {
    fn new(app: Arc<App>, sale: Arc<SaleHandle>, hub: Arc<Hub>) -> Self {
        let now = Instant::now();
        let (agenda, ranks) = (Agenda::new(now), Ranks::new(now));
        let listeners = Listeners::default();
        let notices = Notices::default();
        Self { app, sale, hub, listeners, agenda, ranks, message: None, notices, was_open: false }
    }

    async fn run(mut self, hubs: Arc<Hubs>) {
        let _open = OpenHub { hubs: Arc::clone(&hubs), event: self.sale.event(), hub: Arc::clone(&self.hub) };
        let (changes, mut moved) = (self.sale.place_changes(), self.sale.changed());
        loop {
            self.take_in();
            if self.listeners.len() == 0 && hubs.close(&self.hub, self.sale.event()) {
                return;
            }
            self.agenda.note(changes.take());
            let began = Instant::now();
            match self.agenda.next(began, self.listeners.places()) {
                Next::First(buyers) => {
                    let theirs: Vec<usize> =
                        buyers.iter().flat_map(|buyer| self.listeners.of(*buyer)).copied().collect();
                    self.check(&theirs);
                    tokio::task::yield_now().await;
                }
                Next::Part(part) => {
                    self.ranks.refill(began, self.listeners.len());
                    self.check(&part.collect::<Vec<_>>());
                    let now = Instant::now();
                    self.agenda.part_done(now, now - began, self.listeners.places());
                    tokio::task::yield_now().await;
                }
                Next::Wait(until) => {
                    tokio::select! {
                        biased;
                        () = changes.arrived() => {}
                        () = self.hub.attention.notified() => {}
                        _ = moved.changed(), if self.agenda.waits_for_facts() => self.agenda.note_moved(Instant::now()),
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
        }
    }

    /// Takes in who has joined, and lets go who has closed.
    fn take_in(&mut self) {
        let joining = std::mem::take(&mut *self.hub.joining.lock());
        // Checked at once: what has changed since their first event was looked up has not been followed.
        let buyers = joining.iter().map(Listener::buyer).collect();
        self.agenda.note(ChangedPlaces { buyers, everyone: false });
        joining.into_iter().for_each(|listener| self.listeners.add(listener));
        let leaving = std::mem::take(&mut *self.hub.leaving.lock());
        leaving.into_iter().for_each(|buyer| self.listeners.remove_closed(buyer));
    }

    /// Checks the listeners at these places, and sends them what is due.
    fn check(&mut self, places: &[usize]) {
        let now = self.app.clock.now();
        let (room, views) = {
            let sale = self.sale.view();
            let view = |at: &usize| self.listeners.at(*at).and_then(|listener| sale.place(listener.buyer(), now));
            let views: Vec<_> = places.iter().map(view).collect();
            (Room::of(self.sale.event(), &sale, &self.app.readers.paces, now), views)
        };
        if let Some(room) = &room {
            self.note_room(room, now);
        }
        let message = self.message.clone();
        let mut earliest = None;
        for (at, view) in places.iter().zip(views) {
            let Some(listener) = self.listeners.at_mut(*at) else { continue };
            let end = match (view, &room) {
                (Some(view), Some(room)) => {
                    let checking = Checking { app: &self.app, sale: &self.sale, room, message: &message, now };
                    checking.check(listener, view, &mut self.ranks)
                }
                (_, _) => Err(End::SlotEnded),
            };
            match end {
                Ok(due) => earliest = Some(earliest.map_or(due, |earliest: Timestamp| earliest.min(due))),
                Err(end) => {
                    listener.latest.end(end);
                    self.listeners.remove(*at);
                }
            }
        }
        if let Some(earliest) = earliest {
            self.agenda.note_deadline(Instant::now() + earliest.since(now));
        }
    }

    /// What concerns everybody: another message or notice, the opening, or the end.
    fn note_room(&mut self, room: &Room, now: Timestamp) {
        let is_open = now >= room.opens_at;
        if !is_open {
            self.agenda.note_deadline(Instant::now() + room.opens_at.since(now));
        }
        if now < room.ends_at {
            self.agenda.note_deadline(Instant::now() + room.ends_at.since(now).min(ENDS_NOT_YET));
        }
        let is_same = room.message.as_deref() == self.message.as_deref() && room.notices == self.notices;
        if !is_same || is_open != self.was_open {
            self.message = room.message.as_deref().map(Arc::from);
            (self.notices, self.was_open) = (room.notices, is_open);
            self.agenda.hurry();
        }
    }
}

/// What listeners are checked against.
struct Checking<'a> {
    app: &'a App,
    sale: &'a SaleHandle,
    room: &'a Room,
    message: &'a Option<Arc<str>>,
    now: Timestamp,
}

impl Checking<'_> {
    /// Sends a listener what is due; answers when it must be checked again, or why its stream ends.
    fn check(&self, listener: &mut Listener, place: PlaceView, ranks: &mut Ranks) -> Result<Timestamp, End> {
        let (now, room) = (self.now, self.room);
        if now.since(listener.checked_at) >= HEARTBEAT {
            self.app.tokens.check(&listener.caller, now).map_err(|_| End::TokenEnded)?;
            listener.checked_at = now;
        }
        let seen_every = SEEN_EVERY.min(room.rules.absent / 3);
        if now.since(listener.seen_at) >= seen_every {
            crate::queue::heartbeat(self.sale, &place, now);
            listener.seen_at = now;
        }
        let notice = room.notices.to(&place.status);
        let sent = Sent { place, message: self.message.clone(), notice, left: room.left.clone() };
        ranks.interval = room.poll_after_seconds(place.total_in_queue);
        let due = sent::due(listener, &sent, room, now);
        let mut again = (listener.seen_at + seen_every).min(listener.checked_at + HEARTBEAT);
        let sends = match due {
            Due::Now => true,
            Due::Rank => ranks.take(),
            Due::No | Due::Later(_) => false,
        };
        if sends {
            listener.latest.send(written(&PlaceJson::new(&place, room, &self.app.signer, now)));
            (listener.sent, listener.sent_at) = (sent, now);
        } else if now.since(listener.sent_at.max(listener.commented_at)) >= HEARTBEAT {
            listener.latest.comment();
            listener.commented_at = now;
        }
        again = again.min(listener.sent_at.max(listener.commented_at) + HEARTBEAT);
        match due {
            Due::Rank if !sends => again = again.min(now + RANKS_AGAIN),
            Due::Later(at) => again = again.min(at),
            Due::No | Due::Now | Due::Rank => {}
        }
        if let PlaceStatus::Active { expires_at, .. } = place.status
            && expires_at > now
        {
            again = again.min(expires_at);
        }
        Ok(again)
    }
}

/// An event of a stream.
fn written(json: &PlaceJson<'_>) -> Bytes {
    Bytes::from([b"data: ", &json.to_json()[..], b"\n\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::place::Left;
    use onsale_engine::id::Ordinal;
    use onsale_engine::ports::accounts::Role;
    use uuid::Uuid;

    pub(super) const NOW: Timestamp = Timestamp::from_secs(1_000);

    pub(super) fn room() -> Room {
        Room {
            event: EventId(Uuid::nil()),
            opens_at: NOW,
            ends_at: Timestamp::from_secs(100_000),
            rate_per_second: 10,
            held_up: false,
            message: None,
            notices: Notices::default(),
            rules: crate::queue::place::tests::rules(),
            incarnation: 0,
            active_limit: None,
            pace: None,
            left: Left::default(),
            plan: None,
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_leaves_nobody_listening_to_nothing() {
        let (hubs, event, hub) = (Arc::new(Hubs::default()), EventId(Uuid::from_u128(1)), Arc::new(Hub::default()));
        hubs.hubs.lock().insert(event, Arc::clone(&hub));
        let (served, joining) = (listener(1), listener(2));
        let subscriptions = [&served, &joining].map(|one| Subscription::new(Arc::clone(&one.latest), Box::new(|| ())));
        hub.joining.lock().push(joining);
        let task = tokio::spawn({
            let (hubs, hub) = (Arc::clone(&hubs), Arc::clone(&hub));
            async move {
                let _open = OpenHub { hubs, event, hub };
                let _served = served;
                panic!("as a mistake of ours would");
            }
        });
        assert!(task.await.is_err_and(|error| error.is_panic()));
        assert_eq!(hubs.open(), 0);
        for subscription in subscriptions {
            assert_eq!(subscription.next().await, Err(End::Renew));
        }
    }

    /// Somebody who waits as number nine and was sent that just now.
    pub(super) fn listener(buyer: u128) -> Listener {
        let buyer = BuyerId(Uuid::from_u128(buyer));
        let caller = Caller { buyer, role: Role::User, access_id: Uuid::nil(), expires_at: Timestamp(i64::MAX) };
        let status = PlaceStatus::Waiting { rank: 9 };
        let place = PlaceView { buyer, ordinal: Some(Ordinal(7)), status, total_in_queue: 90 };
        Listener {
            latest: Arc::default(),
            caller,
            sent: Sent { place, message: None, notice: None, left: Left::default() },
            sent_at: NOW,
            commented_at: NOW,
            checked_at: NOW,
            seen_at: NOW,
        }
    }
}
