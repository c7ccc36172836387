//! What a listener was sent last, and what of a change is due: status, message, notice and token at once, a rank when the poll interval is
//! over. Pure; must never look anything up.

use super::listeners::Listener;
use crate::http::event_stream::HEARTBEAT;
use crate::queue::notice::Notice;
use crate::queue::place::{Left, Room};
use onsale_engine::sale::{PlaceStatus, PlaceView};
use onsale_engine::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Ranks that may be sent in a second at the least, however few listen.
const RANKS_PER_SECOND: usize = 256;

/// What a listener was sent last. A change is sent at once, except of the rank and the seats that are left.
#[derive(Clone, PartialEq)]
pub(super) struct Sent {
    pub place: PlaceView,
    pub message: Option<Arc<str>>,
    pub notice: Option<Notice>,
    pub left: Left,
}

/// Whether something of a change must be sent, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    No,
    /// Now, before everything else.
    Now,
    /// Now, if there is room for ranks.
    Rank,
    /// Not before this.
    Later(Timestamp),
}

/// How many ranks may be sent now: evenly over the poll interval, because what was once sent to all at the same time (an opening, a
/// message) would be due for all at the same time for ever, and hold up who is let in meanwhile.
pub(super) struct Ranks {
    left: usize,
    refilled: Instant,
    /// The poll interval, as it was sent last, in seconds.
    pub interval: u64,
}

impl Ranks {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: 0, refilled: now, interval: 1 }
    }

    /// A quarter more than all listeners once in an interval, and never more than half a second's share at a time.
    pub(super) fn refill(&mut self, now: Instant, listeners: usize) {
        let per_second = (listeners * 5 / 4).div_ceil(usize::try_from(self.interval).unwrap_or(1).max(1));
        let per_second = per_second.max(RANKS_PER_SECOND);
        let since = now.duration_since(self.refilled);
        let filled = per_second * since.as_micros().min(1_000_000) as usize / 1_000_000;
        self.left = (self.left + filled).min(per_second / 2);
        // Up to the last whole one, so that nothing is lost however often this is asked.
        let used = Duration::from_micros((filled * 1_000_000).div_ceil(per_second) as u64);
        self.refilled += if since > Duration::from_secs(1) { since } else { used };
    }

    /// Whether one more may be sent.
    pub(super) fn take(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// What of `now_is` is due for a listener. A line that only grows behind somebody is no change.
pub(super) fn due(listener: &Listener, now_is: &Sent, room: &Room, now: Timestamp) -> Due {
    let was = &listener.sent;
    if now_is.message != was.message || now_is.notice != was.notice {
        return Due::Now;
    }
    match (was.place.status, now_is.place.status) {
        (PlaceStatus::Waiting { rank: before }, PlaceStatus::Waiting { rank }) if before != rank => {
            rank_due(listener, now_is, room, now)
        }
        (PlaceStatus::PreQueue { rank: before }, PlaceStatus::PreQueue { rank }) if before != rank => {
            rank_due(listener, now_is, room, now)
        }
        (PlaceStatus::Waiting { .. }, PlaceStatus::Waiting { .. }) if now_is.left != was.left => {
            // In place of the next comment, so that it costs nothing more.
            at_or_later(listener.sent_at.max(listener.commented_at) + HEARTBEAT, now)
        }
        (PlaceStatus::Waiting { .. }, PlaceStatus::Waiting { .. }) => Due::No,
        (before, after) if before != after => Due::Now,
        (_, _) => Due::No,
    }
}

fn rank_due(listener: &Listener, now_is: &Sent, room: &Room, now: Timestamp) -> Due {
    let seconds = room.poll_after_seconds(now_is.place.total_in_queue);
    at_or_later(listener.sent_at + Duration::from_secs(seconds), now)
}

fn at_or_later(at: Timestamp, now: Timestamp) -> Due {
    if now >= at { Due::Rank } else { Due::Later(at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::hub::tests::{NOW, listener, room};
    use onsale_engine::id::{BuyerId, Ordinal, Slot};
    use uuid::Uuid;

    fn sent(status: PlaceStatus, total_in_queue: u64, message: Option<&str>) -> Sent {
        let buyer = BuyerId(Uuid::nil());
        let place = PlaceView { buyer, ordinal: Some(Ordinal(7)), status, total_in_queue };
        Sent { place, message: message.map(Arc::from), notice: None, left: Left::default() }
    }

    /// What a listener who was sent `before` so many seconds ago is sent of `after`.
    fn check(seconds: u64, before: &Sent, after: &Sent, expected: Due) {
        let sent_at = NOW - Duration::from_secs(seconds);
        let mut listener = listener(0);
        (listener.sent, listener.sent_at, listener.commented_at) = (before.clone(), sent_at, sent_at);
        assert_eq!(due(&listener, after, &room(), NOW), expected);
    }

    #[test]
    fn a_rank_waits_for_the_poll_interval_and_all_else_is_sent_at_once() {
        let waiting = |rank| sent(PlaceStatus::Waiting { rank }, 90, None);
        let pre_queue = |rank| sent(PlaceStatus::PreQueue { rank }, 90, None);
        let shops = |slot, secs, may_hold| {
            let expires_at = Timestamp::from_secs(secs);
            sent(PlaceStatus::Active { slot: Some(Slot(slot)), expires_at, may_hold }, 90, None)
        };
        let active = |slot, secs| shops(slot, secs, true);
        let in_a_second = Due::Later(NOW + Duration::from_secs(1));
        check(1, &waiting(9), &waiting(8), in_a_second);
        check(2, &waiting(9), &waiting(8), Due::Rank);
        check(1, &pre_queue(Some(9)), &pre_queue(Some(8)), in_a_second);
        check(2, &pre_queue(Some(9)), &pre_queue(Some(8)), Due::Rank);
        check(60, &waiting(9), &waiting(9), Due::No);
        check(60, &waiting(9), &sent(PlaceStatus::Waiting { rank: 9 }, 91, None), Due::No);
        check(0, &waiting(9), &sent(PlaceStatus::Waiting { rank: 9 }, 90, Some("Soon")), Due::Now);
        let paused = Sent { notice: Some(Notice::Paused), ..waiting(9) };
        check(0, &waiting(9), &paused, Due::Now);
        check(0, &paused, &waiting(9), Due::Now);
        check(0, &pre_queue(Some(9)), &waiting(9), Due::Now);
        check(0, &waiting(1), &active(1, 2000), Due::Now);
        check(0, &active(1, 2000), &active(2, 2000), Due::Now);
        check(60, &active(1, 2000), &active(1, 2000), Due::No);
        check(0, &active(1, 2000), &shops(1, 2000, false), Due::Now);
        check(0, &active(1, 2000), &sent(PlaceStatus::Expired, 90, None), Due::Now);
        let fewer = Sent { left: Left::from_iter([7, 3]), ..waiting(9) };
        check(14, &waiting(9), &fewer, in_a_second);
        check(15, &waiting(9), &fewer, Due::Rank);
    }

    #[test]
    fn ranks_are_sent_evenly() {
        let began = Instant::now();
        let mut ranks = Ranks { left: 0, refilled: began, interval: 5 };
        ranks.refill(began + Duration::from_millis(100), 50_000);
        assert_eq!((0..5000).filter(|_| ranks.take()).count(), 1250);
        ranks.refill(began + Duration::from_secs(60), 50_000);
        assert_eq!((0..50_000).filter(|_| ranks.take()).count(), 6250);
        // However often it is asked, the share of a second is the same.
        let later = began + Duration::from_secs(60);
        (1..=1000).for_each(|micros| ranks.refill(later + Duration::from_micros(micros * 100), 50_000));
        assert!((1240..=1250).contains(&(0..5000).filter(|_| ranks.take()).count()));
        ranks.refill(began + Duration::from_secs(62), 3);
        assert!(ranks.take());
    }
}
