//! Decides what a hub does next: first the listeners whose place has changed, then the next part of the round over everybody, with
//! a pause between parts. Knows times and numbers only; must never put a round before a buyer who was admitted.

use onsale_engine::id::BuyerId;
use onsale_engine::runtime::ChangedPlaces;
use onsale_engine::throttle::Throttle;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// Listeners that are checked under one short lock of the read view, and before anything else has its turn.
pub(super) const PART: usize = 256;
/// Rounds never cost more than a tenth of a core.
const THROTTLE: Throttle = Throttle::in_proportion(9, Duration::MAX);
/// Rounds begin at least this far apart.
const ROUND_GAP: Duration = Duration::from_millis(50);

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To check these buyers.
    First(Vec<BuyerId>),
    /// To check the listeners at these places.
    Part(Range<usize>),
    /// Nothing before this.
    Wait(Instant),
}

/// See the module.
pub(super) struct Agenda {
    changed: Vec<BuyerId>,
    /// Where the round is.
    at: usize,
    /// When its next part, or the next round, is due.
    due: Instant,
    /// Whether a round is under way.
    is_running: bool,
    /// Whether it does not rest: something has changed for everybody.
    is_urgent: bool,
    wants_urgent: bool,
    /// When a round that does not rest may begin: those must not follow each other.
    urgent_from: Instant,
    began: Instant,
    spent: Duration,
    /// Whether facts were committed since the round began.
    has_moved: bool,
    /// When somebody must be checked, facts or not.
    earliest: Option<Instant>,
}

impl Agenda {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            changed: Vec::new(),
            at: 0,
            due: now,
            is_running: false,
            is_urgent: false,
            wants_urgent: false,
            urgent_from: now,
            began: now,
            spent: Duration::ZERO,
            has_moved: false,
            earliest: None,
        }
    }

    /// These places have changed.
    pub(super) fn note(&mut self, changed: ChangedPlaces) {
        self.changed.extend(changed.buyers);
        self.wants_urgent |= changed.everyone;
    }

    /// Something has changed for everybody.
    pub(super) fn hurry(&mut self) {
        self.wants_urgent = true;
    }

    /// Facts were committed: ranks may have changed.
    pub(super) fn note_moved(&mut self, now: Instant) {
        self.has_moved = true;
        if !self.is_running {
            self.due = self.due.min(now.max(self.began + ROUND_GAP));
        }
    }

    /// Whether it waits for facts, or only for time.
    pub(super) fn waits_for_facts(&self) -> bool {
        !self.has_moved
    }

    /// Somebody must be checked at this time, facts or not.
    pub(super) fn note_deadline(&mut self, at: Instant) {
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        if !self.is_running {
            self.due = self.due.min(at);
        }
    }

    /// What is next, with so many places of listeners.
    pub(super) fn next(&mut self, now: Instant, places: usize) -> Next {
        if !self.changed.is_empty() {
            let rest = self.changed.split_off(self.changed.len().min(PART));
            return Next::First(std::mem::replace(&mut self.changed, rest));
        }
        if self.wants_urgent && !self.is_urgent && now >= self.urgent_from {
            (self.wants_urgent, self.is_urgent) = (false, true);
            self.begin(now);
        } else if self.wants_urgent && !self.is_running {
            self.due = self.due.min(self.urgent_from);
        }
        if now < self.due {
            return Next::Wait(self.due);
        }
        if !self.is_running {
            self.begin(now);
        }
        Next::Part(self.at..(self.at + PART).min(places))
    }

    fn begin(&mut self, now: Instant) {
        (self.is_running, self.has_moved, self.earliest) = (true, false, None);
        (self.at, self.due, self.began, self.spent) = (0, now, now, Duration::ZERO);
    }

    /// A part is done and took so long; with so many places the round may be over.
    pub(super) fn part_done(&mut self, now: Instant, took: Duration, places: usize) {
        self.at += PART;
        self.spent += took;
        if self.at < places {
            self.due = if self.is_urgent { now } else { now + THROTTLE.pause(took) };
            return;
        }
        if std::mem::replace(&mut self.is_urgent, false) {
            self.urgent_from = now + THROTTLE.pause(self.spent);
        }
        self.is_running = false;
        let rested = now.max(self.began + ROUND_GAP) + THROTTLE.pause(took);
        self.due = match (self.has_moved, self.earliest) {
            (true, _) => rested,
            (false, Some(earliest)) => earliest.max(rested),
            // Nobody listens: a listener that joins is noted with a deadline.
            (false, None) => now + Duration::from_secs(3600),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const EVERYBODY: usize = 50_000;
    const TOOK: Duration = Duration::from_millis(1);

    fn buyers(from: u128, to: u128) -> Vec<BuyerId> {
        (from..to).map(|buyer| BuyerId(Uuid::from_u128(buyer))).collect()
    }

    fn changed(buyers: Vec<BuyerId>) -> ChangedPlaces {
        ChangedPlaces { buyers, everyone: false }
    }

    /// Begins a round at `now`.
    fn begun(now: Instant) -> Agenda {
        let mut agenda = Agenda::new(now);
        assert_eq!(agenda.next(now, EVERYBODY), Next::Part(0..PART));
        agenda
    }

    #[test]
    fn who_was_admitted_comes_before_the_next_part_of_a_round_however_long_it_is() {
        for everyone in [false, true] {
            let now = Instant::now();
            let mut agenda = begun(now);
            agenda.note(ChangedPlaces { buyers: Vec::new(), everyone });
            agenda.part_done(now + TOOK, TOOK, EVERYBODY);
            agenda.note(changed(buyers(0, 300)));
            assert_eq!(agenda.next(now + TOOK, EVERYBODY), Next::First(buyers(0, 256)));
            assert_eq!(agenda.next(now + TOOK, EVERYBODY), Next::First(buyers(256, 300)));
            // And while the round rests, at once.
            let next = agenda.next(now + TOOK, EVERYBODY);
            assert_eq!(next == Next::Wait(now + TOOK * 10), !everyone, "{next:?}");
            agenda.note(changed(buyers(7, 8)));
            assert_eq!(agenda.next(now + TOOK, EVERYBODY), Next::First(buyers(7, 8)));
        }
    }

    #[test]
    fn a_round_rests_between_its_parts_and_one_for_everybody_does_not() {
        let now = Instant::now();
        let mut agenda = begun(now);
        agenda.part_done(now + TOOK, TOOK, EVERYBODY);
        assert_eq!(agenda.next(now + TOOK * 9, EVERYBODY), Next::Wait(now + TOOK * 10));
        assert_eq!(agenda.next(now + TOOK * 10, EVERYBODY), Next::Part(PART..2 * PART));
        agenda.hurry();
        let mut at = now + TOOK * 20;
        for part in 0..EVERYBODY.div_ceil(PART) {
            let expected = part * PART..((part + 1) * PART).min(EVERYBODY);
            assert_eq!(agenda.next(at, EVERYBODY), Next::Part(expected));
            at += TOOK;
            agenda.part_done(at, TOOK, EVERYBODY);
        }
        // The next one for everybody waits nine times as long as this one took.
        agenda.hurry();
        let Next::Wait(until) = agenda.next(at, EVERYBODY) else { panic!("no rest") };
        assert!(until > at + TOOK * 1000, "{:?}", until - at);
    }

    #[test]
    fn without_facts_nothing_is_done_before_somebody_is_due() {
        let now = Instant::now();
        let mut agenda = begun(now);
        agenda.note_deadline(now + Duration::from_secs(9));
        agenda.part_done(now, Duration::ZERO, 3);
        assert_eq!(agenda.next(now + Duration::from_secs(8), 3), Next::Wait(now + Duration::from_secs(9)));
        agenda.note_moved(now + Duration::from_secs(8));
        assert_eq!(agenda.next(now + Duration::from_secs(8), 3), Next::Part(0..3));
    }
}
