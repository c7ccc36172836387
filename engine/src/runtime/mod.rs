//! The runtime around [`crate::sale::Sale`]: one actor for each event, one journal for all of them, the committed
//! read view, routes, time, effects, and what is written behind. Must never decide anything about seats or places.
//!
//! The life of a command: [`SaleHandle::ask`] puts it into a lane and wakes the actor; the actor decides and applies
//! on its own sale, which runs ahead of the journal; the journal's thread commits the open batch, applies it to the
//! read view, answers, and hands effects and facts on, in this order.

mod actor;
mod answer;
mod arbiters;
#[cfg(any(test, feature = "fakes"))]
mod by_hand;
mod claims;
mod copier;
mod effects;
mod engine;
mod from_journal;
mod handle;
mod health;
mod journal;
mod lanes;
mod origins;
mod place_changes;
mod probe;
mod projector;
mod rebuild;
mod recovery;
mod service;
mod settings;
mod snapshots;
mod standing;
mod start;
mod supervision;
mod sync;
mod telling;
mod timekeeper;
mod unloaded;
mod unloading;
mod unmatched;
mod wake;

pub use answer::{Answer, Refusal};
#[cfg(any(test, feature = "fakes"))]
pub use by_hand::{ByHand, NextStep};
pub use claims::Claims;
pub use copier::{CopyHealth, Sharing};
pub use engine::Engine;
pub use handle::SaleHandle;
pub use health::{Health, JournalHealth};
pub use place_changes::{ChangedPlaces, PlaceChanges};
#[cfg(feature = "fakes")]
pub use probe::{Longest, Probe};
pub use settings::{Ports, Settings, StartError};
pub use standing::Standing;
pub use supervision::{OnFatal, panic_message, supervised, supervised_task};
pub use unloaded::Found;
