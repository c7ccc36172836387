//! How many instructions the hot path takes, counted by valgrind's callgrind: a figure that is the same on a busy machine, so
//! that a change which makes a hold or a status read dearer is seen before it lands. Owns which paths are counted and on how
//! much of them; must never count the set-up.

mod domain;
mod kept;
mod over_http;
mod valgrind;

pub use kept::{Comparison, Kept, KeptError, Row, TOLERANCE_PERCENT, Verdict};
pub use valgrind::{count, version};

use std::hint::black_box;
use std::io;

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// No path has that name.
    #[error("no path is called {0:?}")]
    NoPath(String),
    /// The operating system returned an error.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// A program that is needed did not do its work.
    #[error("{0} failed: {1}")]
    Program(String, String),
    /// The stage of a path could not be set.
    #[error("the stage of {0:?} could not be set: {1}")]
    Stage(&'static str, String),
    /// What was counted is not what the path is about.
    #[error("{right} of {times} of {path:?} came out as they should: {seen}")]
    Wrong {
        /// The path.
        path: &'static str,
        /// Rounds with the expected outcome.
        right: u64,
        /// All rounds.
        times: u64,
        /// The outcome that was not expected.
        seen: String,
    },
}

/// A path whose instructions are counted.
pub struct Path {
    /// Its name, in the table and in the file of what is kept.
    pub name: &'static str,
    /// Rounds that are counted, after which hash seeds and growing tables no longer show in the mean.
    pub times: u64,
    run: fn(&'static str, u64) -> Result<(), CountError>,
}

impl Path {
    /// The path of that name.
    ///
    /// # Errors
    /// [`CountError::NoPath`].
    pub fn named(name: &str) -> Result<&'static Self, CountError> {
        PATHS.iter().find(|path| path.name == name).ok_or_else(|| CountError::NoPath(name.to_owned()))
    }

    /// Sets the stage, walks the path so often, and checks every outcome.
    ///
    /// # Errors
    /// [`CountError::Stage`], [`CountError::Wrong`].
    pub fn run(&self) -> Result<(), CountError> {
        (self.run)(self.name, self.times)
    }
}

/// Everything that is counted.
pub static PATHS: [Path; 6] = [
    Path { name: "hold, in the domain", times: 20_000, run: domain::hold },
    Path { name: "refused hold, in the domain", times: 20_000, run: domain::refused_hold },
    Path { name: "place in a line of 50,000, in the domain", times: 20_000, run: domain::place },
    Path { name: "hold, over HTTP", times: 2_000, run: over_http::hold },
    Path { name: "refused hold, over HTTP", times: 2_000, run: over_http::refused_hold },
    Path { name: "status in a line of 50,000, over HTTP", times: 2_000, run: over_http::status },
];

/// Buyers in a line whose places are read.
const LINE: u64 = 50_000;

/// How many rounds came out as they should, and the first outcome that did not.
#[derive(Default)]
struct Outcomes {
    right: u64,
    wrong: Option<String>,
}

impl Outcomes {
    fn note(&mut self, is_right: bool, seen: impl FnOnce() -> String) {
        if is_right {
            self.right += 1;
        } else if self.wrong.is_none() {
            self.wrong = Some(seen());
        }
    }

    fn all(self, path: &'static str, times: u64) -> Result<(), CountError> {
        if self.right == times && self.wrong.is_none() {
            return Ok(());
        }
        Err(CountError::Wrong { path, right: self.right, times, seen: self.wrong.unwrap_or_default() })
    }
}

/// What callgrind counts, by the name of this function: it and whatever it calls on its thread. Its own frame must stay, so
/// it is neither inlined nor left by a jump.
#[inline(never)]
fn counted(work: &mut dyn FnMut() -> Outcomes) -> Outcomes {
    black_box(work())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    /// Few rounds, without valgrind: the stages are set and the outcomes are as they should be.
    #[test]
    fn every_path_comes_out_as_it_should() {
        for path in &PATHS {
            (path.run)(path.name, 20).unwrap();
        }
    }

    #[test]
    fn an_outcome_that_is_not_the_expected_one_is_no_count() {
        let mut outcomes = Outcomes::default();
        outcomes.note(true, String::new);
        outcomes.note(false, || "503".to_owned());
        let error = outcomes.all("hold", 2).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 of \"hold\" came out as they should: 503");
        assert!(Path::named("hold, over HTTP").is_ok() && Path::named("hold").is_err());
    }
}
