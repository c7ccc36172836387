//! The one throttle of work that comes behind answers: after each piece of it a pause in proportion to what it took, so that it
//! never costs more than a share of a core or of the disk. Reads no clock but to sleep; must never be used for what somebody waits for.

use std::time::Duration;

/// A pause that is to end early is checked for so often.
const STEP: Duration = Duration::from_millis(10);

/// How long a piece of work is followed by a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    times: u32,
    shortest: Duration,
    longest: Duration,
}

impl Throttle {
    /// A pause of so many times as long as the work took, and no longer than `longest`: with 19, a twentieth of a core.
    #[must_use]
    pub const fn in_proportion(times: u32, longest: Duration) -> Self {
        Self { times, shortest: Duration::ZERO, longest }
    }

    /// A pause of this length whatever the work took, for work in pieces of one size: so many pieces a second at the most.
    #[must_use]
    pub const fn fixed(pause: Duration) -> Self {
        Self { times: 0, shortest: pause, longest: pause }
    }

    /// The pause after work that took so long.
    #[must_use]
    pub const fn pause(self, took: Duration) -> Duration {
        let pause = took.saturating_mul(self.times);
        if pause.as_nanos() > self.longest.as_nanos() {
            self.longest
        } else if pause.as_nanos() < self.shortest.as_nanos() {
            self.shortest
        } else {
            pause
        }
    }

    /// Sleeps for the pause on the caller's thread, or until it may pause no longer; that is checked every ten milliseconds, and before
    /// the pause begins.
    pub fn sleep(self, took: Duration, may_pause: impl Fn() -> bool) {
        let mut left = self.pause(took);
        while !left.is_zero() && may_pause() {
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Instant;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_pause_is_in_proportion_to_the_work_within_its_bounds() {
        let check = |throttle: Throttle, took: Duration, expected: Duration| assert_eq!(throttle.pause(took), expected);
        let twentieth = Throttle::in_proportion(19, millis(1000));
        check(twentieth, Duration::ZERO, Duration::ZERO);
        check(twentieth, millis(2), millis(38));
        check(twentieth, millis(52), millis(988));
        check(twentieth, millis(53), millis(1000));
        check(twentieth, Duration::MAX, millis(1000));
        check(Throttle::in_proportion(9, Duration::MAX), millis(1000), millis(9000));
        check(Throttle::in_proportion(9, Duration::MAX), Duration::MAX, Duration::MAX);
        for took in [Duration::ZERO, millis(40), millis(9000)] {
            check(Throttle::fixed(millis(40)), took, millis(40));
        }
    }

    #[test]
    fn a_pause_ends_when_it_may_not_go_on() {
        let (began, asked) = (Instant::now(), Cell::new(0));
        Throttle::fixed(Duration::from_secs(3600)).sleep(Duration::ZERO, || {
            asked.set(asked.get() + 1);
            asked.get() <= 3
        });
        assert_eq!(asked.get(), 4);
        assert!(began.elapsed() >= STEP * 3);
        Throttle::fixed(Duration::from_secs(3600)).sleep(Duration::ZERO, || false);
        Throttle::fixed(STEP * 2).sleep(Duration::ZERO, || true);
        assert!(began.elapsed() >= STEP * 5);
    }
}
