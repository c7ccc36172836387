//! The crowd itself: every buyer's state, and who is to be woken when. Must never ask or answer anything.

use super::field::{Field, scaled};
use super::order::{Faults, Joined, Order};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Times are microseconds.
pub(super) const SECOND: u64 = 1_000_000;
/// Silence beyond what is allowed, after which a silent buyer's place must be gone.
const SLACK: u64 = 2 * SECOND;

/// What a buyer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Stays,
    Leaves { comes_back: bool },
    FallsSilent,
}

/// Where a buyer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Has no place, and will ask for one.
    Coming,
    InLine,
    /// Has a place, and says nothing.
    Silent,
    LetIn,
    Gone,
}

pub(super) struct Buyer {
    pub way: Way,
    pub step: Step,
    pub joined: Joined,
    pub rank: Option<u64>,
    /// The rank of the first place, if nobody could be let in then.
    pub first_rank: Option<u64>,
    pub leaves_at: u64,
    pub tries: u8,
    /// Counts places, so that an answer about an old one is known as such.
    pub place: u16,
}

pub(super) struct Crowd {
    pub buyers: Vec<Buyer>,
    pub timers: BinaryHeap<Reverse<(u64, u32)>>,
    pub order: Order,
    pub surprises: Faults,
    pub rng: StdRng,
    pub waiting: u64,
    /// Buyers of whom nothing more is to come.
    pub through: u64,
    /// Whether everyone who wanted a place got one.
    pub is_whole: bool,
    /// Silent buyers whose place was found gone.
    pub expired: u64,
    pub left: u64,
    pub longest_poll: u64,
}

impl Crowd {
    pub(super) fn new(field: &Field, opens_at: u64, is_drawn: bool) -> Self {
        let settings = &field.settings;
        let mut rng = StdRng::seed_from_u64(settings.seed);
        // While there is a line, as far as that is known.
        let line = settings.buyers * SECOND / settings.made.rate.max(1);
        let span = line.min(settings.lasts.as_micros() as u64).clamp(SECOND, 30 * SECOND);
        let arrive = settings.arrive.as_micros() as u64;
        let (leave, silent) = (settings.leave.of_one(), settings.silent.of_one());
        let (mut buyers, mut timers) = (Vec::new(), BinaryHeap::new());
        for number in 0..settings.buyers {
            let dice: f64 = rng.random();
            let way = match dice {
                dice if dice < leave => Way::Leaves { comes_back: dice < leave / 2.0 },
                dice if dice < leave + silent => Way::FallsSilent,
                _ => Way::Stays,
            };
            let leaves_at = opens_at.max(arrive) + rng.random_range(0..span);
            let joined = Joined { asked: 0, answered: 0, rank: None };
            let (rank, first_rank, tries, place) = (None, None, 0, 0);
            buyers.push(Buyer { way, step: Step::Coming, joined, rank, first_rank, leaves_at, tries, place });
            timers.push(Reverse((scaled(arrive, number, settings.buyers), number as u32)));
        }
        let order = Order::of(is_drawn);
        let (surprises, waiting, through, is_whole) = (Faults::default(), 0, 0, true);
        let (expired, left, longest_poll) = (0, 0, 0);
        Self { buyers, timers, order, surprises, rng, waiting, through, is_whole, expired, left, longest_poll }
    }

    pub(super) fn buyer(&mut self, who: u32) -> &mut Buyer {
        &mut self.buyers[who as usize]
    }

    pub(super) fn wake(&mut self, who: u32, at: u64) {
        self.timers.push(Reverse((at, who)));
    }

    /// A buyer has no place any more and will ask for another.
    pub(super) fn comes_again(&mut self, who: u32, at: u64) {
        self.buyer(who).step = Step::Coming;
        self.wake(who, at);
    }

    pub(super) fn is_gone(&mut self, who: u32) {
        self.buyer(who).step = Step::Gone;
        self.through += 1;
    }

    pub(super) fn takes_part(&self, who: u32, place: u16) -> bool {
        let buyer = &self.buyers[who as usize];
        buyer.step == Step::InLine && buyer.place == place
    }
}

/// When a buyer who was answered a place and never polls must have lost it: an outage of the server, the last sign of
/// which is `outage` (0 for none), restarts everybody's absence.
pub(super) fn gone_by(answered: u64, outage: u64, absent: u64) -> u64 {
    answered.max(outage) + absent + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_gives_the_silent_another_absence() {
        let check = |outage: u64, expected: u64| {
            let by = gone_by(10 * SECOND, outage * SECOND, 30 * SECOND);
            assert_eq!(by, expected * SECOND + SLACK, "outage at {outage} s");
        };
        check(0, 40);
        // Before the place was answered it excuses nothing.
        check(9, 40);
        check(35, 65);
    }
}
