//! The load generator: an on-sale's crowd on one thread, open loop, whose buyers check what they are answered. It shares the
//! machine with the server that it measures, so everything here is small: a buyer who waits is a few dozen bytes.

mod catalogue;
mod crowd;
mod error;
mod field;
mod findings;
mod flags;
mod html;
mod levels;
mod order;
mod place;
mod queue;
mod report;
mod run;
mod scenario;
mod settings;
mod shop;
mod tally;
mod target;
mod truth;
mod venue;
mod watch;
mod wire;

pub use error::LoadError;
pub use flags::Flags;
pub use html::page;
pub use levels::{Level, Limits};
pub use order::Pace;
pub use report::Report;
pub use run::run;
pub use settings::{Made, Phase, Scenario, Settings, Share, Target, Transport};
pub use tally::{Call, CallRow, Kind, Percentiles, Requests, Second, Times};
pub use watch::Progress;
