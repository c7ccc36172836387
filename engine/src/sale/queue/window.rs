//! The admission window: how many were admitted within any second, counted from when each was due, so that a late timer neither
//! breaks the window nor loses rate. Must never read a clock.

use crate::limits::MAX_ADMISSION_LAG;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// When the admissions of the last second were due.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    dues: VecDeque<Timestamp>,
}

impl Window {
    /// When the next admission is due, if it has been possible since `possible_since`. The n-th falls at least one
    /// second after the (n − rate)-th, and they are spread evenly over the second.
    pub(crate) fn next_due(&self, rate: u32, possible_since: Timestamp) -> Timestamp {
        let rate = rate.max(1);
        let mut due = possible_since;
        if let Some(last) = self.dues.back() {
            #[expect(clippy::arithmetic_side_effects, reason = "a rate is at least 1")]
            let apart = Duration::from_micros(u64::from(1_000_000 / rate));
            due = due.max(*last + apart);
        }
        if let Some(bound) = self.dues.len().checked_sub(rate as usize).and_then(|at| self.dues.get(at)) {
            due = due.max(*bound + SECOND);
        }
        due
    }

    /// `due` as it counts at `now`: an admission later than [`MAX_ADMISSION_LAG`] loses the rate of that time.
    pub(crate) fn counted(due: Timestamp, now: Timestamp) -> Timestamp {
        due.max(now - MAX_ADMISSION_LAG)
    }

    pub(crate) fn push(&mut self, due: Timestamp) {
        self.dues.push_back(due);
        while self.dues.front().is_some_and(|first| *first + SECOND <= due) {
            self.dues.pop_front();
        }
    }

    pub(crate) fn rows(&self) -> Vec<Timestamp> {
        self.dues.iter().copied().collect()
    }

    pub(crate) fn from_rows(rows: Vec<Timestamp>) -> Self {
        Self { dues: rows.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_rate_and_late_timers_lose_none(
            rate in 1u32..200, lateness in prop::collection::vec(0u64..400_000, 50..300),
        ) {
            let start = Timestamp::from_secs(1_780_000_000);
            let (mut window, mut now, mut dues) = (Window::default(), start, Vec::new());
            for late in lateness {
                let due = window.next_due(rate, start);
                now = now.max(due + Duration::from_micros(late));
                loop {
                    let due = window.next_due(rate, start);
                    if due > now { break; }
                    let counted = Window::counted(due, now);
                    window.push(counted);
                    dues.push(counted);
                }
            }
            for pair in dues.windows(rate as usize + 1) {
                prop_assert!(pair[rate as usize].since(pair[0]) >= SECOND);
            }
            let ideal = now.since(start).as_micros() as u64 * u64::from(rate) / 1_000_000;
            prop_assert!(dues.len() as u64 + 1 >= ideal, "{} of {ideal}", dues.len());
        }
    }
}
