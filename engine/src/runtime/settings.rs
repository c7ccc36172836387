//! What the engine stands on and how it runs. Must never start anything.

use crate::id::EventId;
use crate::limits::{COMMIT_STALL, FACTS_PER_SNAPSHOT, PROJECTION_LAG_MAX, UNLOADED_AFTER};
use crate::ports::{Clock, Journal, JournalReader, PaymentProvider, Projection};
use crate::runtime::supervision::OnFatal;
use crate::sale::draw::DrawSeed;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What the engine stands on.
pub struct Ports {
    /// The journal's writing side.
    pub journal: Box<dyn Journal>,
    /// The journal's reading side.
    pub reader: Arc<dyn JournalReader>,
    /// What is written behind.
    pub projection: Box<dyn Projection>,
    /// Who charges.
    pub payments: Arc<dyn PaymentProvider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How the engine runs.
#[derive(Clone)]
pub struct Settings {
    /// Event loops for actors, each on its own thread.
    pub arbiters: usize,
    /// How long a provider is waited for, at most [`crate::limits::CHARGE_TIMEOUT_MAX`].
    pub charge_timeout: Duration,
    /// Facts of one event after which a snapshot is taken.
    pub snapshot_every: u64,
    /// Facts that may be committed and not yet written behind, see [`crate::limits::PROJECTION_LAG_MAX`].
    pub projection_lag_max: u64,
    /// After how long an event leaves memory that is over and quiet, see [`crate::limits::UNLOADED_AFTER`].
    pub unloaded_after: Duration,
    /// How long a commit may go without an answer, see [`crate::limits::COMMIT_STALL`].
    pub commit_stall: Duration,
    /// Called when the process must end without answering: the journal's storage has failed, or a thread that everything
    /// rests on has panicked.
    pub on_fatal: OnFatal,
    /// The seed of an event's draw, asked for once: nobody may guess it.
    pub draw_seed: Arc<dyn Fn(EventId) -> DrawSeed + Send + Sync>,
    /// Called first on each thread that works behind the answers (tables, snapshots, checks of old rows), so that the
    /// process may let it step back while there is more urgent work.
    pub behind: Arc<dyn Fn() + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            arbiters: 1,
            charge_timeout: crate::limits::CHARGE_TIMEOUT_MAX,
            snapshot_every: FACTS_PER_SNAPSHOT,
            projection_lag_max: PROJECTION_LAG_MAX,
            commit_stall: COMMIT_STALL,
            unloaded_after: UNLOADED_AFTER,
            on_fatal: Arc::new(|_| std::process::abort()),
            draw_seed: Arc::new(|_| random_seed()),
            behind: Arc::new(|| {}),
        }
    }
}

/// Two random UUIDs: 244 bits of the operating system's generator.
fn random_seed() -> DrawSeed {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    seed[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    DrawSeed(seed)
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The journal or the projections could not be read.
    #[error("{0}")]
    Storage(String),
}
