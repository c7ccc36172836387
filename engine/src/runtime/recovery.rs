//! Bringing sales back from their journals: snapshot, then the facts after it. Runs `apply` alone.

use crate::id::{EventId, Seq};
use crate::limits::RECOVERIES_AT_ONCE;
use crate::ports::{JournalReader, ReadError};
use crate::runtime::origins::MoneyTraces;
use crate::runtime::supervision::panic_message;
use crate::sale::Sale;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an event's journal describes.
pub(crate) struct Recovery {
    pub(crate) sale: Sale,
    /// The position of the snapshot that it began from.
    pub(crate) snapshot: Option<Seq>,
    /// Of what has happened since the snapshot.
    pub(crate) traces: MoneyTraces,
}

/// The sale that the journal describes.
pub(crate) fn recover(reader: &dyn JournalReader, event: EventId) -> Result<Recovery, ReadError> {
    let snapshot = reader.snapshot(event)?;
    let from = snapshot.as_ref().map(|snapshot| snapshot.seq);
    let mut sale = snapshot.map_or_else(Sale::new, Sale::from_snapshot);
    let (mut gap, mut traces) = (None, MoneyTraces::default());
    reader.replay(event, sale.seq(), &mut |entry| {
        if entry.seq == sale.seq().next() {
            sale.apply(&entry);
            traces.follow(&entry);
        } else {
            gap.get_or_insert(entry.seq);
        }
    })?;
    drop(sale.take_replaced_line());
    match gap {
        Some(seq) => Err(ReadError::Damaged { event, seq, reason: "a fact before it is missing".into() }),
        None => Ok(Recovery { sale, snapshot: from, traces }),
    }
}

/// What [`recover`] says of each event, in their order, a few at a time. Blocks until all are done.
pub(crate) fn recover_all(reader: &dyn JournalReader, events: &[EventId]) -> Vec<Result<Recovery, ReadError>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(events.len())));
    let recover_some = || {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(event) = events.get(at)
        {
            // A history on which replay panics is one event's damage, and not everybody's.
            let recovered = catch_unwind(AssertUnwindSafe(|| recover(reader, *event))).unwrap_or_else(|panic| {
                let reason = format!("replay panicked: {}", panic_message(&*panic));
                Err(ReadError::Damaged { event: *event, seq: Seq(0), reason })
            });
            done.lock().push((at, recovered));
        }
    };
    std::thread::scope(|threads| {
        // One that cannot be started leaves its share to the others.
        for number in 1..RECOVERIES_AT_ONCE.min(events.len()) {
            let thread = std::thread::Builder::new().name(format!("onsale-recover-{number}"));
            let _ = thread.spawn_scoped(threads, recover_some);
        }
        recover_some();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, recovered)| recovered).collect()
}
