//! How fast a line really moves: measured from the committed admissions while somebody waits, pauses and all, so that
//! the estimate matches what buyers will see. Updated by reads of places, at most once a second; nothing here is
//! state of the domain. Must never hold up a read.

use onsale_engine::id::EventId;
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A line is measured this often at the most.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// What is older says little about what comes.
const MEASURED_OVER: Duration = Duration::from_secs(120);
/// Less than this is no measurement.
const MEASURED_AT_LEAST: Duration = Duration::from_secs(10);
/// Notes kept; a bound, since they are made no faster than [`NOTE_EVERY`].
const NOTES: usize = MEASURED_OVER.as_secs() as usize + 1;

/// The paces of all lines that somebody reads.
#[derive(Default)]
pub struct Paces(onsale_engine::shared_map::SharedMap<EventId, Arc<Pace>>);

impl Paces {
    /// The pace of an event's line.
    #[must_use]
    pub fn of(&self, event: EventId) -> Arc<Pace> {
        if let Some(pace) = self.0.get(&event) {
            return Arc::clone(&pace);
        }
        Arc::clone(&self.0.entry(event).or_default())
    }
}

/// The pace of one line.
#[derive(Debug)]
pub struct Pace {
    notes: Mutex<VecDeque<(Timestamp, u64)>>,
    noted_at: AtomicI64,
    /// Admissions in a thousand seconds, for readers; `u64::MAX` when nothing is measured.
    measured: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        let (noted_at, measured) = (AtomicI64::new(i64::MIN), AtomicU64::new(u64::MAX));
        Self { notes: Mutex::default(), noted_at, measured }
    }
}

impl Pace {
    /// Notes how many were admitted by now. A line that nobody waits in has no pace: it is only as fast as people come.
    pub fn note(&self, now: Timestamp, admitted_total: u64, somebody_waits: bool) {
        let noted_at = Timestamp(self.noted_at.load(Ordering::Relaxed));
        if now.since(noted_at) < NOTE_EVERY && noted_at.0 != i64::MIN {
            return;
        }
        let Some(mut notes) = self.notes.try_lock() else { return };
        self.noted_at.store(now.0, Ordering::Relaxed);
        if !somebody_waits {
            notes.clear();
            self.measured.store(u64::MAX, Ordering::Relaxed);
            return;
        }
        notes.push_back((now, admitted_total));
        while notes.len() > NOTES || notes.front().is_some_and(|(at, _)| now.since(*at) > MEASURED_OVER) {
            notes.pop_front();
        }
        let Some((since, before)) = notes.front().copied() else { return };
        let (over, admitted) = (now.since(since), admitted_total.saturating_sub(before));
        let measured = match u64::try_from(over.as_millis()) {
            Ok(millis) if over >= MEASURED_AT_LEAST => admitted.saturating_mul(1_000_000) / millis,
            Ok(_) | Err(_) => u64::MAX,
        };
        self.measured.store(measured, Ordering::Relaxed);
    }

    /// Admissions in a thousand seconds, as measured; none while too little is known.
    #[must_use]
    pub fn per_thousand_seconds(&self) -> Option<u64> {
        Some(self.measured.load(Ordering::Relaxed)).filter(|measured| *measured != u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_780_308_000);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn the_pace_is_what_was_admitted_pauses_and_all() {
        let pace = Pace::default();
        let mut admitted = 0;
        for second in 0..=9 {
            pace.note(after(second), admitted, true);
            assert_eq!(pace.per_thousand_seconds(), None, "too little is known after {second} s");
            admitted += 10;
        }
        pace.note(after(10), admitted, true);
        assert_eq!(pace.per_thousand_seconds(), Some(10_000));
        // A pause of ten seconds: half as fast over twenty.
        (11..=20).for_each(|second| pace.note(after(second), admitted, true));
        assert_eq!(pace.per_thousand_seconds(), Some(5_000));
        // What is long past does not count any more.
        for second in 21..=200 {
            admitted += 4;
            pace.note(after(second), admitted, true);
        }
        assert_eq!(pace.per_thousand_seconds(), Some(4_000));
    }

    #[test]
    fn a_line_that_runs_empty_has_no_pace_and_notes_are_rare() {
        let pace = Pace::default();
        for second in 0..=20 {
            pace.note(after(second), second * 3, true);
        }
        assert_eq!(pace.per_thousand_seconds(), Some(3_000));
        pace.note(after(20) + Duration::from_millis(900), 1_000_000, true);
        assert_eq!(pace.per_thousand_seconds(), Some(3_000), "once a second is enough");
        pace.note(after(22), 70, false);
        assert_eq!(pace.per_thousand_seconds(), None);
    }
}
