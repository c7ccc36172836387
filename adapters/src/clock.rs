//! The process' clock: the wall clock read once, at start, and monotonic time since. Never falls, whatever is done
//! to the wall clock meanwhile; must never be read inside the domain, which gets `now` as an argument.

use onsale_engine::ports::Clock;
use onsale_engine::time::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The clock of a running process.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    wall: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall clock, for good.
    #[must_use]
    pub fn start() -> Self {
        let started = Instant::now();
        // Before 1970 no certificate, token or sale would be in force either; 1970 will do.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Timestamp::default() + since_epoch, started }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_wall_clock_and_never_falls() {
        let clock = SystemClock::start();
        let wall = Timestamp::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut last = clock.now();
        assert!(wall.since(last).as_secs() < 5 && last.since(wall).as_secs() < 5);
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
