//! The stored form of facts and snapshots: compact, versioned, written by hand, so that what the domain calls things
//! may change without touching what is on disk. Every form ever written stays readable; samples are kept as fixtures.
//!
//! A body is a version byte and then the members in their order: integers as varints (signed ones zigzagged), ids and
//! instants in full, strings and lists behind their length. A fact's may have a trace before it ([`encode_body_into`]). Must never panic on any bytes, and never guess.

mod blocking;
mod body;
mod fact;
mod hold_limits;
mod parts;
mod seqs;
mod snapshot;
mod summary;
#[cfg(test)]
mod tests;
mod wire;

pub use body::{decode_body, encode_body_into};
pub use fact::{FactKind, decode_fact, describe_entry, describe_fact, encode_fact, encode_fact_into};
pub(crate) use seqs::{decode_seqs, encode_seqs};
pub use snapshot::{decode_snapshot, describe_snapshot, encode_snapshot};
pub use summary::{decode_summary, encode_summary};

use onsale_engine::id::PlanHash;
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Plans, ReadError};
use std::sync::Arc;

/// Why stored bytes were not understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not what was ever written.
    #[error("{0}")]
    Malformed(String),
    /// They name a plan that is not kept.
    #[error("the plan {0} is not kept")]
    PlanMissing(PlanHash),
    /// Whether the plan is kept could not be found out; may be retried.
    #[error(transparent)]
    Plans(#[from] ReadError),
}

impl DecodeError {
    fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

fn find_plan(plans: &dyn Plans, hash: PlanHash) -> Result<Arc<Plan>, DecodeError> {
    plans.plan(hash)?.ok_or(DecodeError::PlanMissing(hash))
}
