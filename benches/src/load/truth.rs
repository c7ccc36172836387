//! What the journal says, where the load tool owns the data directory: the same questions as to the buyers, answered by
//! committed facts, and everything that `onsale verify` checks.

use super::findings::Findings;
use super::levels::Level;
use super::order::{Faults, check_window, pace_of};
use super::queue::pace_level;
use onsale_engine::id::{BuyerId, Ordinal};
use onsale_engine::sale::{Entry, Fact};
use onsale_server::verify::{Place, VerifyError, verify};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// A line as the journal has it.
#[derive(Default)]
struct Line {
    last: Option<Ordinal>,
    waiting: BTreeMap<Ordinal, BuyerId>,
    places: HashMap<BuyerId, Ordinal>,
    first: HashMap<BuyerId, Ordinal>,
    /// When admissions were due, a run for each while in which people waited all the time.
    runs: Vec<Vec<i64>>,
    has_been_empty: bool,
    tickets: HashSet<u64>,
    ordinals: Faults,
    sequence: Faults,
    doubles: Faults,
}

impl Line {
    fn takes(&mut self, entry: &Entry) {
        let at = entry.seq.0;
        if let Fact::Entered { buyer, ordinal } = &entry.fact {
            if self.last.is_some_and(|last| *ordinal <= last) {
                self.ordinals.add(|| format!("row {at} gives ordinal {} a second time", ordinal.0));
            }
            self.last = self.last.max(Some(*ordinal));
            self.waiting.insert(*ordinal, *buyer);
            self.places.insert(*buyer, *ordinal);
            self.first.entry(*buyer).or_insert(*ordinal);
        } else if let Fact::Left { buyer } | Fact::PlaceExpired { buyer } = &entry.fact {
            if let Some(ordinal) = self.places.remove(buyer) {
                self.waiting.remove(&ordinal);
                self.has_been_empty |= self.waiting.is_empty();
            }
        } else if let Fact::Admitted { buyer, due, .. } = &entry.fact {
            match self.runs.last_mut() {
                Some(run) if !self.has_been_empty => run.push(due.0),
                Some(_) | None => self.runs.push(vec![due.0]),
            }
            let head = self.waiting.pop_first();
            self.has_been_empty = self.waiting.is_empty();
            if head.is_none_or(|(_, first)| first != *buyer) {
                self.sequence.add(|| format!("row {at} lets {buyer} in, who is not the first in the line"));
            }
            self.places.remove(buyer);
        } else if let Fact::ReservationConfirmed { ticket, .. } = &entry.fact
            && !self.tickets.insert(ticket.0)
        {
            self.doubles.add(|| format!("row {at} gives ticket {} a second time", ticket.0));
        }
    }

    /// Ranks that were answered must be the order of the ordinals.
    fn check_ranks(&mut self, ranks: &[(BuyerId, u64)]) {
        let mut ranked: Vec<(Ordinal, u64)> = Vec::with_capacity(ranks.len());
        for (buyer, rank) in ranks {
            match self.first.get(buyer) {
                Some(ordinal) => ranked.push((*ordinal, *rank)),
                None => self.ordinals.add(|| format!("{buyer} was answered rank {rank}, and the journal has no place")),
            }
        }
        ranked.sort_unstable();
        for pair in ranked.windows(2).filter(|pair| pair[1].1 <= pair[0].1) {
            self.ordinals.add(|| format!("rank {} was given before rank {} was", pair[0].1, pair[1].1));
        }
    }
}

/// Levels by the journal of `event` in the data directory that no server works on any more.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn check(
    data: &Path,
    event: &str,
    findings: &Findings,
    held_percent: f64,
) -> Result<Vec<Level>, VerifyError> {
    let mut line = Line::default();
    let report = verify(&Place::Directory(data.to_owned()), &mut |of, entry| {
        if of.to_string() == event {
            line.takes(entry);
        }
    })?;
    line.check_ranks(&findings.ranks);
    let faults: Vec<String> = report.events.iter().flat_map(|event| &event.faults).map(ToString::to_string).collect();
    let rows: u64 = report.events.iter().map(|event| event.rows).sum();
    let mut verified = Level::new(
        "journal verified",
        "0 faults",
        format!("{} faults in {rows} rows", faults.len()),
        faults.is_empty(),
    );
    verified.faults = faults;
    let mut levels = vec![verified, Level::none("no ticket twice, by the journal", &line.doubles)];
    if let Some(rate) = findings.rate {
        let mut window = Faults::default();
        let mut dues: Vec<i64> = line.runs.iter().flatten().copied().collect();
        dues.sort_unstable();
        check_window(&dues, rate, &mut window);
        levels.push(Level::none("every place once, by the journal", &line.ordinals));
        levels.push(Level::none("the first in line is let in, by the journal", &line.sequence));
        let mut in_window = Level::none("the rate is never exceeded, by the journal", &window);
        let pace = pace_of(&line.runs);
        in_window.measured = format!("{}; at most {} in a second", in_window.measured, pace.most_in_a_second);
        levels.push(in_window);
        levels.push(pace_level("admission rate by the journal", pace, rate, held_percent));
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onsale_engine::id::{Epoch, Seq, Slot};
    use onsale_engine::time::Timestamp;
    use uuid::Uuid;

    fn buyer(n: u128) -> BuyerId {
        BuyerId(Uuid::from_u128(n))
    }

    fn line(facts: Vec<Fact>) -> Line {
        let mut line = Line::default();
        for (seq, fact) in (1..).zip(facts) {
            line.takes(&Entry { seq: Seq(seq), epoch: Epoch(1), at: Timestamp(0), trace: None, fact });
        }
        line
    }

    fn entered(n: u128, ordinal: u64) -> Fact {
        Fact::Entered { buyer: buyer(n), ordinal: Ordinal(ordinal) }
    }

    fn admitted(n: u128) -> Fact {
        Fact::Admitted { buyer: buyer(n), slot: Slot(1), due: Timestamp(5), expires_at: Timestamp(9) }
    }

    #[test]
    fn the_journal_shows_who_was_overtaken() {
        let kept = line(vec![entered(1, 1), entered(2, 2), Fact::Left { buyer: buyer(1) }, admitted(2)]);
        assert_eq!((kept.sequence.many, kept.ordinals.many), (0, 0));
        let broken = line(vec![entered(1, 1), entered(2, 2), admitted(2)]);
        assert_eq!(broken.sequence.many, 1);
        assert_eq!(line(vec![entered(1, 2), entered(2, 2)]).ordinals.many, 1);
    }

    #[test]
    fn ranks_that_were_answered_are_checked_against_the_journal() {
        let check = |ranks: &[(BuyerId, u64)], faults: u64| {
            let mut line = line(vec![entered(1, 1), entered(2, 2)]);
            line.check_ranks(ranks);
            assert_eq!(line.ordinals.many, faults, "{ranks:?}");
        };
        check(&[(buyer(2), 2), (buyer(1), 1)], 0);
        check(&[(buyer(2), 1), (buyer(1), 2)], 1);
        check(&[(buyer(3), 3)], 1);
    }
}
