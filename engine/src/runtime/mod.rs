//! The runtime around [`crate::sale::Sale`]: one actor for each event, one journal for all of them, the committed
//! read view, routes, time, effects, and what is written behind. Must never decide anything about seats or places.
//!
//! The life of a command: [`SaleHandle::ask`] puts it into a lane and wakes the actor; the actor decides and applies
//! on its own sale, which runs ahead of the journal; the journal's thread commits the open batch, applies it to the
//! read view, answers, and hands effects and facts on, in this order.

mod actor;
mod answer;
mod arbiters;
mod audit;
mod background;
mod batch;
#[cfg(any(test, feature = "fakes"))]
mod by_hand;
mod claims;
mod commit;
mod copier;
mod decisions;
mod deliver;
mod effects;
mod engine;
mod find;
mod handle;
mod health;
mod heartbeats;
mod journal_status;
mod lanes;
mod load;
mod mailbox;
mod origins;
mod place_changes;
mod preparation;
mod probe;
mod projector;
mod publish;
mod read_view;
mod rebuild;
mod rebuild_queue;
mod recovery;
mod routes;
mod sale_info;
mod serve;
mod service;
mod settings;
mod snapshots;
mod start;
mod submit;
mod supervision;
mod sync;
mod timekeeper;
mod turn;
mod unload;
mod unloaded;
mod unmatched;
mod wake;

pub use answer::{Answer, Refusal};
#[cfg(any(test, feature = "fakes"))]
pub use by_hand::{ByHand, NextStep};
pub use claims::Claims;
pub use copier::{CopyHealth, Sharing};
pub use engine::Engine;
pub use find::Found;
pub use handle::SaleHandle;
pub use health::{Health, JournalHealth};
pub use place_changes::{ChangedPlaces, PlaceChanges};
#[cfg(feature = "fakes")]
pub use probe::{Longest, Probe};
pub use sale_info::SaleInfo;
pub use settings::{Ports, Settings, StartError};
pub use supervision::{OnFatal, panic_message, supervised, supervised_task};
