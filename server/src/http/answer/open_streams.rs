//! The open event streams of each buyer, and why one ends: too many of them, a token or slot that is over, a server that drains.
//! Must never keep a stream that is closed.

use crate::metrics::{write_head, write_single};
use bytes::Bytes;
use onsale_engine::id::BuyerId;
use onsale_engine::shared_map::SharedMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

/// Streams that a buyer may have open, over all kinds and events: a few tabs. One more ends the oldest.
pub const STREAMS_PER_BUYER: usize = 4;

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The access token has expired or was revoked.
    TokenEnded,
    /// The buyer's place or slot has ended.
    SlotEnded,
    /// The buyer has opened too many others since.
    Replaced,
    /// Its subject has changed as a whole: open it again.
    Renew,
    /// The server stops: open it again elsewhere.
    Draining,
}

impl End {
    const ALL: [Self; 5] = [Self::TokenEnded, Self::SlotEnded, Self::Replaced, Self::Renew, Self::Draining];

    /// The code of the contract.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TokenEnded => "TOKEN_ENDED",
            Self::SlotEnded => "SLOT_ENDED",
            Self::Replaced => "REPLACED",
            Self::Renew => "RENEW",
            Self::Draining => "DRAINING",
        }
    }

    /// The last event of a stream.
    pub(in crate::http) fn written(self) -> Bytes {
        Bytes::from(format!("event: end\ndata: {{\"code\":\"{}\"}}\n\n", self.code()))
    }
}

/// The handle by which others end a stream.
#[derive(Default)]
struct Ending(Mutex<(Option<End>, Option<Waker>)>);

impl Ending {
    fn end(&self, end: End) {
        let waker = {
            let mut state = self.0.lock();
            state.0.get_or_insert(end);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct OpenStreams {
    by_buyer: SharedMap<BuyerId, SmallVec<[Arc<Ending>; 1]>>,
    open: AtomicUsize,
    ended: [AtomicU64; End::ALL.len()],
}

/// An open stream, until this is dropped.
pub(in crate::http) struct OpenStream {
    streams: Arc<OpenStreams>,
    buyer: BuyerId,
    ending: Arc<Ending>,
}

impl OpenStreams {
    /// Opens a stream of a buyer. Beyond [`STREAMS_PER_BUYER`] the oldest ends.
    pub(in crate::http) fn open(self: &Arc<Self>, buyer: BuyerId) -> OpenStream {
        let ending = Arc::new(Ending::default());
        let replaced = {
            let mut streams = self.by_buyer.entry(buyer).or_default();
            streams.push(Arc::clone(&ending));
            (streams.len() > STREAMS_PER_BUYER).then(|| streams.remove(0))
        };
        if let Some(oldest) = replaced {
            oldest.end(End::Replaced);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenStream { streams: Arc::clone(self), buyer, ending }
    }

    /// Ends every stream that is open.
    pub fn end_all(&self, end: End) {
        let all: Vec<Arc<Ending>> = self.by_buyer.iter().flat_map(|streams| streams.value().to_vec()).collect();
        all.iter().for_each(|ending| ending.end(end));
    }

    /// Writes how many are open and why others ended, in Prometheus text.
    pub fn write(&self, out: &mut String) {
        write_single(out, "onsale_streams", self.open.load(Ordering::Relaxed));
        write_head(out, "onsale_streams_ended_total");
        for (end, count) in End::ALL.into_iter().zip(&self.ended) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(out, "onsale_streams_ended_total{{code=\"{}\"}} {count}", end.code());
        }
    }
}

impl OpenStream {
    /// Why it was ended from outside, if it was; if not, the task is woken when it is.
    pub(in crate::http) fn poll_end(&self, cx: &Context<'_>) -> Option<End> {
        let mut state = self.ending.0.lock();
        if state.0.is_none() && !state.1.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.1 = Some(cx.waker().clone());
        }
        state.0
    }

    /// Counts why it ends.
    pub(in crate::http) fn note_end(&self, end: End) {
        if let Some(at) = End::ALL.iter().position(|known| *known == end) {
            self.streams.ended[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.by_buyer.remove_if_mut(&self.buyer, |_, streams| {
            streams.retain(|known| !Arc::ptr_eq(known, &self.ending));
            streams.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn end_of(open: &OpenStream) -> Option<End> {
        open.poll_end(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_stream_too_many_ends_the_oldest_of_its_buyer() {
        let streams = Arc::new(OpenStreams::default());
        let (buyer, other) = (BuyerId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let theirs = streams.open(other);
        let mut all: Vec<OpenStream> = (0..STREAMS_PER_BUYER).map(|_| streams.open(buyer)).collect();
        // A stream that was closed does not count any more.
        all.remove(1);
        all.push(streams.open(buyer));
        assert!(all.iter().all(|open| end_of(open).is_none()));
        let last = streams.open(buyer);
        let ends: Vec<_> = all.iter().chain([&last, &theirs]).map(end_of).collect();
        assert_eq!(ends, [Some(End::Replaced), None, None, None, None, None]);
        streams.end_all(End::Draining);
        assert_eq!((end_of(&all[0]), end_of(&last)), (Some(End::Replaced), Some(End::Draining)));
        drop((all, last, theirs));
        assert!(streams.by_buyer.is_empty(), "no buyer is kept without a stream");
        assert_eq!(streams.open.load(Ordering::Relaxed), 0);
    }
}
