//! Takes snapshots of committed state on a thread of its own, so that a start need not replay everything. Losing one
//! costs time at the next start, nothing else. Must never walk a sale under the lock of its view.

use crate::ports::JournalReader;
use crate::runtime::handle::SaleHandle;
use crate::sale::Entry;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sales waiting for their snapshot; beyond them a snapshot is taken at a later batch.
const WAITING: usize = 64;
/// While the journal is busy a snapshot waits for so many times as many facts: taking one reads the whole sale.
const TIMES_WHEN_BUSY: u64 = 5;

/// Who decides when a snapshot is due.
pub(crate) struct Snapshots {
    every: u64,
    queue: parking_lot::Mutex<Option<Sender<Arc<SaleHandle>>>>,
}

impl Snapshots {
    pub(crate) fn new(every: u64) -> (Self, Receiver<Arc<SaleHandle>>) {
        let (queue, receiver) = bounded(WAITING);
        (Self { every: every.max(1), queue: parking_lot::Mutex::new(Some(queue)) }, receiver)
    }

    /// Orders a snapshot if enough facts have been committed since the last one. One that is ordered and not begun will have
    /// these facts, too: a large sale that moves fast would else be taken once for each place in the queue.
    pub(crate) fn consider(&self, sale: &Arc<SaleHandle>, entries: &[Entry], journal_is_busy: bool) {
        let Some(seq) = entries.last().map(|entry| entry.seq.0) else { return };
        let last = sale.snapshot_at.load(Ordering::Relaxed);
        let times = if journal_is_busy { TIMES_WHEN_BUSY } else { 1 };
        if seq < last + self.every * times {
            return;
        }
        if sale.snapshot_waits.swap(true, Ordering::AcqRel) {
            return;
        }
        let queue = self.queue.lock();
        match queue.as_ref().map(|queue| queue.try_send(Arc::clone(sale))) {
            Some(Ok(())) => sale.snapshot_at.store(seq, Ordering::Relaxed),
            Some(Err(_)) | None => sale.snapshot_waits.store(false, Ordering::Release),
        }
    }

    /// No more are ordered: the thread takes those that are and ends.
    pub(crate) fn close(&self) {
        self.queue.lock().take();
    }
}

/// The thread: takes snapshots until nobody can order one any more.
pub(crate) fn run(orders: &Receiver<Arc<SaleHandle>>, reader: &dyn JournalReader) {
    orders.iter().for_each(|sale| take(&sale, reader));
}

/// Takes a snapshot of what is committed by now.
pub(crate) fn take(sale: &SaleHandle, reader: &dyn JournalReader) {
    sale.snapshot_waits.store(false, Ordering::Release);
    let snapshot = sale.copy().snapshot();
    if let Err(error) = reader.keep_snapshot(sale.event(), &snapshot) {
        tracing::warn!(event_id = %sale.event(), %error, "no snapshot was kept; the next start will take longer");
    }
}
