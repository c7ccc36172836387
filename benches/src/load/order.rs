//! Whether the line was kept, judged by what buyers were answered alone: every rank once, no rank that grows, nobody let in
//! before somebody who stood ahead, never more than the rate in any second. Pure: times come in as microseconds.
//!
//! Two things show that one buyer stands ahead of another. Both have a rank of before the first admission: then ranks
//! are places. Or the one was answered its place before the other asked for one. Admissions are known by when they were
//! due, which is when the queue token ends, less its life.

use serde::Serialize;

/// Faults of one kind that are named; more are counted.
const NAMED: usize = 20;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// What is wrong, the first of it by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub named: Vec<String>,
    pub many: u64,
}

impl Faults {
    pub(super) fn add(&mut self, what: impl FnOnce() -> String) {
        self.many += 1;
        if self.named.len() < NAMED {
            self.named.push(what());
        }
    }
}

/// How somebody joined the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined {
    /// When the place was asked for.
    pub asked: u64,
    /// When it was answered.
    pub answered: u64,
    /// The rank, if nobody could be let in yet.
    pub rank: Option<u64>,
}

/// What was known of admissions when a question was asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The last of the ranks that were let in.
    rank: u64,
    /// When the last to join of those who were let in had asked for a place.
    asked: u64,
}

struct Admission {
    ends: i64,
    who: u32,
    joined: Joined,
    /// Whether it was of a buyer's first place: one who came back may have come when the line was empty.
    is_first: bool,
}

/// What buyers were answered, checked against each other.
#[derive(Default)]
pub(super) struct Order {
    /// Whether the order of those who came early is drawn, so that coming early says nothing.
    is_drawn: bool,
    ranks: Vec<u64>,
    known: Known,
    admissions: Vec<Admission>,
    /// Ranks given twice or missing.
    pub uniqueness: Faults,
    /// Ranks that grew, and those who were overtaken.
    pub sequence: Faults,
    /// Seconds with more admissions than the rate allows.
    pub window: Faults,
}

/// How fast people were let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// In all.
    pub admitted: u64,
    /// Those that followed another while people waited.
    pub counted: u64,
    /// A second, while people waited.
    pub rate: f64,
    /// In the busiest second.
    pub most_in_a_second: u64,
    /// In the best minute, if it lasted one.
    pub best_minute: Option<u64>,
}

impl Order {
    /// Nobody is in line yet.
    pub(super) fn of(is_drawn: bool) -> Self {
        Self { is_drawn, ..Self::default() }
    }

    /// A buyer was answered with a new place. Only the first such answer of a place counts.
    pub(super) fn joined(&mut self, who: u32, joined: &Joined) {
        let Some(rank) = joined.rank else { return };
        if rank == 0 {
            self.uniqueness.add(|| format!("buyer {who} waits at rank 0"));
        } else {
            self.ranks.push(rank);
        }
    }

    /// To be asked before a question leaves, and handed back with its answer.
    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// Somebody still waits; what was known is of when the question left.
    pub(super) fn waits(&mut self, who: u32, joined: &Joined, before: Option<u64>, rank: Option<u64>, known: Known) {
        let Some(now) = rank else { return };
        if now == 0 {
            self.sequence.add(|| format!("buyer {who} waits at rank 0"));
        }
        if let Some(before) = before.filter(|before| now > *before) {
            self.sequence.add(|| format!("buyer {who} fell back from rank {before} to {now}"));
        }
        if let Some(place) = joined.rank.filter(|place| *place < known.rank) {
            let other = known.rank;
            self.sequence.add(|| format!("buyer {who} of rank {place} still waits, but rank {other} was let in"));
        }
        if joined.answered < known.asked && !self.is_drawn {
            self.sequence.add(|| format!("buyer {who} still waits, but somebody who came later was let in"));
        }
    }

    /// Somebody was let in, with a token that ends then.
    pub(super) fn admitted(&mut self, who: u32, joined: Joined, ends: i64, is_first: bool) {
        self.known.rank = self.known.rank.max(joined.rank.unwrap_or(0));
        self.known.asked = self.known.asked.max(joined.asked);
        self.admissions.push(Admission { ends, who, joined, is_first });
    }

    /// How many were let in.
    pub(super) fn admissions(&self) -> u64 {
        self.admissions.len() as u64
    }

    /// Checks everything together. `is_whole` says that nobody is missing among those with a rank.
    pub(super) fn close(&mut self, rate: u64, is_whole: bool) {
        self.ranks.sort_unstable();
        for pair in self.ranks.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.uniqueness.add(|| format!("rank {} was given twice", pair[0]));
        }
        let (count, last) = (self.ranks.len() as u64, self.ranks.last().copied().unwrap_or(0));
        if is_whole && last != count && self.uniqueness.many == 0 {
            self.uniqueness.add(|| format!("{count} buyers have ranks up to {last}"));
        }
        self.admissions.sort_by_key(|admission| admission.ends);
        self.check_ranks();
        if !self.is_drawn {
            self.check_times();
        }
        let ends: Vec<i64> = self.admissions.iter().map(|admission| admission.ends).collect();
        check_window(&ends, rate, &mut self.window);
    }

    /// In the order of admissions, ranks must grow.
    fn check_ranks(&mut self) {
        let mut last: Option<(u64, u32)> = None;
        for admission in &self.admissions {
            let Some(rank) = admission.joined.rank else { continue };
            if let Some((other, whose)) = last.filter(|(other, _)| *other > rank) {
                let who = admission.who;
                self.sequence.add(|| format!("buyer {whose} of rank {other} was let in before {who} of rank {rank}"));
            }
            last = Some(last.map_or((rank, admission.who), |last| last.max((rank, admission.who))));
        }
    }

    /// Nobody was let in before somebody who had a place before they asked for one: from the last admission back, the
    /// earliest place answered so far must not be older than a question.
    fn check_times(&mut self) {
        let mut earliest: Option<(u64, u32)> = None;
        for admission in self.admissions.iter().rev() {
            if let Some((_, whose)) = earliest.filter(|(answered, _)| *answered < admission.joined.asked) {
                let who = admission.who;
                self.sequence.add(|| format!("buyer {who} was let in before buyer {whose}, who had come earlier"));
            }
            let this = (admission.joined.answered, admission.who);
            earliest = Some(earliest.map_or(this, |earliest| earliest.min(this)));
        }
    }

    /// How fast they were let in; admissions whose tokens end after `until` are left out, since not everyone of them has
    /// asked yet.
    pub(super) fn pace(&self, until: Option<i64>) -> Pace {
        let counted = self.admissions.iter().filter(|admission| admission.is_first).map(|admission| admission.ends);
        let mut ends: Vec<i64> = counted.filter(|ends| until.is_none_or(|until| *ends <= until)).collect();
        ends.sort_unstable();
        pace_of(&[ends])
    }
}

/// The n-th falls at least one second after the (n − rate)-th; `dues` are in order.
pub(super) fn check_window(dues: &[i64], rate: u64, faults: &mut Faults) {
    let rate = usize::try_from(rate).unwrap_or(usize::MAX);
    for (at, due) in dues.iter().enumerate().skip(rate) {
        let apart = due - dues[at - rate];
        if apart < SECOND {
            faults.add(|| format!("{} admissions within {apart} µs, the rate is {rate} a second", rate + 1));
        }
    }
}

/// How fast; each of `runs` is a while in which people waited all the time, its admissions in order.
pub(super) fn pace_of(runs: &[Vec<i64>]) -> Pace {
    let dues: Vec<i64> = runs.iter().flatten().copied().collect();
    let most_within = |span: i64| {
        let mut first = 0;
        let within = dues.iter().enumerate().map(|(at, due)| {
            while dues[first] + span <= *due {
                first += 1;
            }
            at - first + 1
        });
        within.max().unwrap_or(0) as u64
    };
    let steps: usize = runs.iter().map(|run| run.len().saturating_sub(1)).sum();
    let spans = runs.iter().filter_map(|run| Some(run.last()? - run.first()?));
    let (span, longest) = spans.fold((0, 0), |(sum, longest), span| (sum + span, span.max(longest)));
    let rate = if span > 0 { steps as f64 * SECOND as f64 / span as f64 } else { 0.0 };
    Pace {
        admitted: dues.len() as u64,
        counted: steps as u64,
        rate,
        most_in_a_second: most_within(SECOND),
        best_minute: (longest >= MINUTE * 99 / 100).then(|| most_within(MINUTE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(asked: u64, rank: Option<u64>) -> Joined {
        Joined { asked, answered: asked + 5, rank }
    }

    /// A line of three that joined one after the other; who was let in when, in tenths of a second.
    fn line(ranks: Option<[u64; 3]>, let_in: [i64; 3]) -> Order {
        let mut order = Order::default();
        for who in 0..3u32 {
            let joined = joined(u64::from(who) * 10, ranks.map(|ranks| ranks[who as usize]));
            order.joined(who, &joined);
            order.admitted(who, joined, let_in[who as usize] * SECOND / 10, true);
        }
        order.close(2, true);
        order
    }

    #[test]
    fn a_line_that_is_kept_has_no_fault() {
        for ranks in [Some([1, 2, 3]), None] {
            let order = line(ranks, [0, 5, 10]);
            assert_eq!((order.uniqueness.many, order.sequence.many, order.window.many), (0, 0, 0));
        }
    }

    #[test]
    fn a_buyer_who_is_overtaken_is_named() {
        let by_rank = line(Some([1, 2, 3]), [0, 10, 5]);
        assert!(
            by_rank.sequence.named[0].contains("of rank 3 was let in before 1 of rank 2"),
            "{:?}",
            by_rank.sequence
        );
        let by_time = line(None, [5, 0, 10]);
        assert!(by_time.sequence.named[0].contains("buyer 1 was let in before buyer 0"), "{:?}", by_time.sequence);
        // Two who asked at the same time may stand either way.
        let mut order = Order::default();
        order.admitted(0, Joined { asked: 0, answered: 9, rank: None }, 2 * SECOND, true);
        order.admitted(1, Joined { asked: 8, answered: 9, rank: None }, SECOND, true);
        order.close(2, false);
        assert_eq!(order.sequence.many, 0);
    }

    #[test]
    fn ranks_are_unique_and_without_gaps() {
        assert_eq!(line(Some([1, 2, 2]), [0, 5, 10]).uniqueness.named, ["rank 2 was given twice"]);
        assert_eq!(line(Some([1, 2, 4]), [0, 5, 10]).uniqueness.named, ["3 buyers have ranks up to 4"]);
    }

    #[test]
    fn a_second_with_too_many_is_found_wherever_it_begins() {
        assert_eq!(line(Some([1, 2, 3]), [0, 5, 9]).window.many, 1);
        assert_eq!(pace_of(&[vec![0, SECOND / 2, SECOND]]).most_in_a_second, 2);
        let dues: Vec<i64> = (0..=600).map(|n| n * SECOND / 10).collect();
        let pace = pace_of(std::slice::from_ref(&dues));
        assert_eq!((pace.admitted, pace.best_minute), (601, Some(600)));
        assert!((pace.rate - 10.0).abs() < 1e-9);
        // Nobody waited for an hour: that is no slowness.
        let pace = pace_of(&[dues, vec![3660 * SECOND, 3660 * SECOND + SECOND / 10]]);
        assert!((pace.rate - 10.0).abs() < 1e-9 && pace.admitted == 603, "{pace:?}");
    }

    #[test]
    fn who_waits_must_not_fall_back_nor_see_others_pass() {
        let mut order = Order::default();
        let (first, second) = (joined(0, Some(1)), joined(10, Some(2)));
        order.waits(0, &first, Some(3), Some(3), order.known());
        assert_eq!(order.sequence.many, 0);
        order.waits(0, &first, Some(3), Some(4), order.known());
        assert!(order.sequence.named[0].contains("fell back"));
        let before = order.known();
        order.admitted(1, second, SECOND, true);
        order.waits(0, &first, Some(3), Some(3), before);
        assert_eq!(order.sequence.many, 1, "asked before the other was answered");
        order.waits(0, &first, Some(3), Some(3), order.known());
        assert!(order.sequence.named.iter().any(|fault| fault.contains("rank 2 was let in")), "{:?}", order.sequence);
    }
}
