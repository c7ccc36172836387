//! The runtime around [`crate::sale::Sale`]: one actor for each event, one journal for all of them, the committed read view. Must
//! never decide anything about seats or places.
//!
//! A command's way is a pipeline. Lanes and open batch are queues, which both of their ends know; else each file uses only what
//! stands after it, or below:
//!
//! ```text
//!  caller            actor's thread         journal's thread                                  tasks
//!  submit ─► lanes ─► turn ─► batch ─► commit ─► publish ─► deliver ─► effects
//!              ▲                                               │          │
//!              │                                               ▼          │
//!              │                          projector, snapshots, copier    │
//!              └────────── outcomes of charges and refunds ───────────────┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `submit` | refuses at once what nothing would come of; else claims the buyer, enqueues the command, waits |
//! | `lanes` | commands that wait for a turn: outcomes, operators, buyers |
//! | `turn`, `actor`, `arbiters`, `preparation` | the actor decides and applies on its own sale, ahead of the journal; where it lives |
//! | `batch`, `decisions` | what turns have decided, gathered while the batch before is committed |
//! | `commit` | the journal's thread: makes a batch durable, however often it takes |
//! | `publish` | committed facts come into the read views; what they order is noted |
//! | `deliver`, `answer` | answers, then effects, then facts to what is written behind |
//! | `effects` | charges, refunds, and questions about them |
//! | `projector`, `snapshots`, `copier` | tables, snapshots, and copies for other nodes, written behind the answers |
//!
//! What the stages share, handed in, and knowing none of them: `wake` (who is woken when) with `sync`, `handle` (one sale's route,
//! and `Shared`), `read_view`, `sale_info`, `place_changes`, `service`, `claims`, `heartbeats`, `origins`, `journal_status`,
//! `routes`, `unloaded`, `find`, `mailbox`, `background`, `timekeeper`, `rebuild_queue`, `unmatched`, `probe`.
//!
//! What brings events into service and out of it stands above the pipeline: `start`, `recovery`, `serve`, `load`, `unload`,
//! `rebuild`; `parts` makes everything, `engine` is its face, `audit` and `by_hand` (tests) are others. No circles: a tidy test.

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
mod parts;
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
