//! A journal in memory that a test can make fail. What it holds is what a crash leaves: a test that drops an engine
//! and starts another one on a clone has crashed and recovered.

use crate::id::{Epoch, EventId, Seq};
use crate::ports::{Appended, Journal, JournalEntry, JournalError, JournalReader, ReadError};
use crate::sale::{Entry, SaleSnapshot, SaleSummary};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What shall go wrong with the next calls that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NotDone,
    UnknownDone,
    UnknownNotDone,
    Fatal,
    Panic,
}

#[derive(Default)]
struct Stored {
    epoch: Epoch,
    /// Facts before the first entry, of which there is only the snapshot.
    begins_after: u64,
    entries: Vec<Entry>,
    snapshots: Vec<Arc<SaleSnapshot>>,
    summary: Option<(Epoch, SaleSummary)>,
    damaged: Option<(Seq, String)>,
}

#[derive(Default)]
struct Inner {
    events: HashMap<EventId, Stored>,
    faults: VecDeque<Fault>,
    hanging: bool,
    unreadable: bool,
    failing_reads: usize,
    appends: u64,
    waiting: u64,
    reads: u64,
    raised: u64,
    /// What a crash after each write would have left, once somebody wants to know.
    left: Option<Vec<FakeJournal>>,
}

/// A journal in memory; clones share it, as two processes share a database.
#[derive(Clone, Default)]
pub struct FakeJournal {
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

impl FakeJournal {
    /// The next `times` writes are certainly not done.
    pub fn fail_not_done(&self, times: usize) {
        self.lock().faults.extend(std::iter::repeat_n(Fault::NotDone, times));
    }

    /// The answer to the next write is lost: it `happened` or not.
    pub fn lose_answer(&self, happened: bool) {
        self.lock().faults.push_back(if happened { Fault::UnknownDone } else { Fault::UnknownNotDone });
    }

    /// The next write is an I/O error on a sync; it did not happen.
    pub fn fail_fatally(&self) {
        self.lock().faults.push_back(Fault::Fatal);
    }

    /// The next write is done, and then its thread panics.
    pub fn panic_after_write(&self) {
        self.lock().faults.push_back(Fault::Panic);
    }

    /// Writes do not return until [`FakeJournal::release`].
    pub fn hang(&self) {
        self.lock().hanging = true;
    }

    /// Lets hanging writes go on.
    pub fn release(&self) {
        self.lock().hanging = false;
        self.inner.1.notify_all();
    }

    /// Writes that hang at this moment.
    #[must_use]
    pub fn hanging_writes(&self) -> u64 {
        self.lock().waiting
    }

    /// Reads fail (`true`) or work again.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.lock().unreadable = unreadable;
    }

    /// The next `times` reads fail.
    pub fn fail_reads(&self, times: usize) {
        self.lock().failing_reads = times;
    }

    /// Damages a row, as a broken disk would.
    pub fn damage(&self, event: EventId, seq: Seq) {
        if let Some(stored) = self.lock().events.get_mut(&event) {
            stored.damaged = Some((seq, "a test made the fake fail".to_owned()));
        }
    }

    /// An event of which there is nothing but this: a long history, without its facts.
    pub fn begin_with(&self, event: EventId, snapshot: SaleSnapshot) {
        let begins_after = snapshot.seq.0;
        let stored = Stored { begins_after, snapshots: vec![Arc::new(snapshot)], ..Stored::default() };
        self.lock().events.insert(event, stored);
    }

    /// Loses the snapshots of an event.
    pub fn forget_snapshots(&self, event: EventId) {
        if let Some(stored) = self.lock().events.get_mut(&event) {
            stored.snapshots.clear();
        }
    }

    /// Every fact of an event, as it is stored.
    #[must_use]
    pub fn entries(&self, event: EventId) -> Vec<Entry> {
        self.lock().events.get(&event).map(|stored| stored.entries.clone()).unwrap_or_default()
    }

    /// How far the newest snapshot of an event reaches.
    #[must_use]
    pub fn newest_snapshot(&self, event: EventId) -> Option<Seq> {
        self.lock().events.get(&event)?.snapshots.last().map(|snapshot| snapshot.seq)
    }

    /// Those after `seq`.
    #[must_use]
    pub fn entries_after(&self, event: EventId, seq: Seq) -> Vec<Entry> {
        let inner = self.lock();
        let stored = inner.events.get(&event).map(|stored| stored.entries.as_slice()).unwrap_or_default();
        stored.get(seq.0 as usize..).unwrap_or_default().to_vec()
    }

    /// How many batches were tried.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// How often an event was read back, and how many epochs were raised.
    #[must_use]
    pub fn reads_and_raises(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.reads, inner.raised)
    }

    /// A copy as it is at this moment: what another machine would find after a crash now.
    #[must_use]
    pub fn crashed(&self) -> Self {
        self.lock().copy()
    }

    /// From now on keeps what a crash after each write would leave.
    pub fn watch_writes(&self) {
        self.lock().left = Some(Vec::new());
    }

    /// What a crash after each write since [`FakeJournal::watch_writes`] would have left; none is watched any more.
    #[must_use]
    pub fn left_by_crashes(&self) -> Vec<Self> {
        self.lock().left.take().unwrap_or_default()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Inner> {
        self.inner.0.lock()
    }

    /// Waits while it hangs, then says what shall go wrong.
    fn begin(&self) -> (parking_lot::MutexGuard<'_, Inner>, Option<Fault>) {
        let mut inner = self.lock();
        inner.waiting += 1;
        while inner.hanging {
            self.inner.1.wait(&mut inner);
        }
        inner.waiting -= 1;
        let fault = inner.faults.pop_front();
        (inner, fault)
    }

    fn readable(&self) -> Result<parking_lot::MutexGuard<'_, Inner>, ReadError> {
        let mut inner = self.lock();
        let fails = inner.unreadable || inner.failing_reads > 0;
        inner.failing_reads = inner.failing_reads.saturating_sub(1);
        if fails { Err(ReadError::Unavailable("a test made the fake fail".to_owned())) } else { Ok(inner) }
    }
}

/// Does a write unless `fault` says otherwise, and answers as `fault` says.
fn under<T>(fault: Option<Fault>, write: impl FnOnce() -> T) -> Result<T, JournalError> {
    let reason = || "a test made the fake fail".to_owned();
    match fault {
        None => Ok(write()),
        Some(Fault::UnknownDone) => {
            write();
            Err(JournalError::Unknown(reason()))
        }
        Some(Fault::UnknownNotDone) => Err(JournalError::Unknown(reason())),
        Some(Fault::NotDone) => Err(JournalError::NotDone(reason())),
        Some(Fault::Fatal) => Err(JournalError::Fatal(reason())),
        Some(Fault::Panic) => {
            write();
            panic!("{}", reason())
        }
    }
}

impl Inner {
    fn copy(&self) -> FakeJournal {
        let copied = self.events.iter().map(|(event, stored)| {
            let copy = Stored {
                epoch: stored.epoch,
                begins_after: stored.begins_after,
                entries: stored.entries.clone(),
                snapshots: stored.snapshots.clone(),
                summary: stored.summary.clone(),
                damaged: stored.damaged.clone(),
            };
            (*event, copy)
        });
        let copy = Self { events: copied.collect(), ..Self::default() };
        FakeJournal { inner: Arc::new((Mutex::new(copy), Condvar::new())) }
    }

    fn written(&mut self) {
        if self.left.is_some() {
            let copy = self.copy();
            self.left.get_or_insert_default().push(copy);
        }
    }

    fn append(&mut self, batch: &[JournalEntry]) -> Appended {
        let mut events: Vec<EventId> = Vec::new();
        for JournalEntry { event, .. } in batch {
            if !events.contains(event) {
                events.push(*event);
            }
        }
        let fenced = events.into_iter().filter(|event| {
            let entries = batch.iter().filter(|one| one.event == *event).map(|one| &one.entry);
            !self.events.entry(*event).or_default().append(entries)
        });
        Appended { fenced: fenced.collect() }
    }
}

impl Stored {
    /// Appends all of them or none; false when they do not fit.
    fn append<'a>(&mut self, entries: impl Iterator<Item = &'a Entry> + Clone) -> bool {
        let mut next = self.begins_after + self.entries.len() as u64 + 1;
        for entry in entries.clone() {
            let fits = match self.entries.get((entry.seq.0.wrapping_sub(self.begins_after + 1)) as usize) {
                Some(stored) => stored == entry,
                None => {
                    let follows = entry.seq.0 == next && entry.epoch == self.epoch;
                    next += 1;
                    follows
                }
            };
            if !fits {
                return false;
            }
        }
        let new = entries.skip_while(|entry| entry.seq.0 <= self.begins_after + self.entries.len() as u64).cloned();
        let new: Vec<_> = new.collect();
        self.entries.extend(new);
        true
    }
}

impl Journal for FakeJournal {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        let (mut inner, fault) = self.begin();
        inner.appends += 1;
        let appended = under(fault, || inner.append(batch));
        inner.written();
        appended
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        let (mut inner, fault) = self.begin();
        inner.raised += 1;
        let raised = under(fault, || {
            let stored = inner.events.entry(event).or_default();
            stored.epoch = Epoch(stored.epoch.0 + 1);
            stored.epoch
        });
        inner.written();
        raised
    }
}

impl JournalReader for FakeJournal {
    fn events(&self) -> Result<Vec<EventId>, ReadError> {
        let events: BTreeSet<EventId> = self.readable()?.events.keys().copied().collect();
        Ok(events.into_iter().collect())
    }

    fn snapshot(&self, event: EventId) -> Result<Option<SaleSnapshot>, ReadError> {
        self.lock().reads += 1;
        let last = self.readable()?.events.get(&event).and_then(|stored| stored.snapshots.last().cloned());
        // Copied when the lock is free again: it may be large, and commits need the lock.
        Ok(last.map(|snapshot| SaleSnapshot::clone(&snapshot)))
    }

    fn replay(&self, event: EventId, after: Seq, each: &mut dyn FnMut(Entry)) -> Result<(), ReadError> {
        let (entries, damaged) = match self.readable()?.events.get(&event) {
            Some(stored) => (stored.entries.clone(), stored.damaged.clone()),
            None => return Ok(()),
        };
        for entry in entries.into_iter().filter(|entry| entry.seq > after) {
            if let Some((seq, reason)) = &damaged
                && entry.seq == *seq
            {
                return Err(ReadError::Damaged { event, seq: *seq, reason: reason.clone() });
            }
            each(entry);
        }
        Ok(())
    }

    fn verify(&self, event: EventId) -> Result<u64, ReadError> {
        let mut rows = 0;
        self.replay(event, Seq(0), &mut |_| rows += 1)?;
        Ok(rows)
    }

    fn by_operators(&self, event: EventId, skip: u64, limit: u64) -> Result<(Vec<Entry>, u64), ReadError> {
        let inner = self.readable()?;
        let entries = inner.events.get(&event).map(|stored| stored.entries.as_slice()).unwrap_or_default();
        let actions: Vec<&Entry> = entries.iter().rev().filter(|entry| entry.fact.by_operator().is_some()).collect();
        let page = actions.iter().skip(skip as usize).take(limit as usize);
        Ok((page.copied().cloned().collect(), actions.len() as u64))
    }

    fn entries(&self, event: EventId, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        let inner = self.readable()?;
        let stored = inner.events.get(&event).map(|stored| stored.entries.as_slice()).unwrap_or_default();
        let missing = |seq| ReadError::Damaged { event, seq, reason: "it is missing".to_owned() };
        let entry = |seq: &Seq| stored.iter().find(|entry| entry.seq == *seq).cloned().ok_or_else(|| missing(*seq));
        seqs.iter().map(entry).collect()
    }

    fn keep_snapshot(&self, event: EventId, snapshot: &SaleSnapshot) -> Result<(), ReadError> {
        let kept = Arc::new(snapshot.clone());
        let mut inner = self.readable()?;
        let snapshots = &mut inner.events.entry(event).or_default().snapshots;
        let (mut others, same): (Vec<_>, Vec<_>) = snapshots.drain(..).partition(|other| other.seq != kept.seq);
        others.push(kept);
        others.sort_by_key(|kept| kept.seq);
        let surplus = others.len().saturating_sub(2);
        let old: Vec<_> = others.drain(..surplus).collect();
        *snapshots = others;
        inner.written();
        drop(inner);
        drop((same, old));
        Ok(())
    }

    fn summaries(&self) -> Result<Vec<(EventId, SaleSummary)>, ReadError> {
        let inner = self.readable()?;
        let good = inner.events.iter().filter_map(|(event, stored)| {
            let (epoch, summary) = stored.summary.as_ref()?;
            let stands = *epoch == stored.epoch && summary.seq.0 == stored.begins_after + stored.entries.len() as u64;
            stands.then(|| (*event, summary.clone()))
        });
        Ok(good.collect())
    }

    fn keep_summary(&self, event: EventId, epoch: Epoch, summary: &SaleSummary) -> Result<(), ReadError> {
        let mut inner = self.readable()?;
        if summary.seq.0
            > inner.events.get(&event).map_or(0, |stored| stored.begins_after + stored.entries.len() as u64)
        {
            return Err(ReadError::Unavailable("the journal does not reach the summary".to_owned()));
        }
        inner.events.entry(event).or_default().summary = Some((epoch, summary.clone()));
        inner.written();
        Ok(())
    }
}
