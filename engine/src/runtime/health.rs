//! How the engine is, for readiness and metrics.

use crate::id::EventId;

/// Whether the journal takes facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalHealth {
    /// It does.
    Good,
    /// A batch has failed, or has had no answer for `engine.commit_stall_ms`: nothing that writes is decided.
    Failing,
    /// It has lost its authority; the process must end.
    Fatal,
}

/// How the engine is.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the journal takes facts.
    pub journal: JournalHealth,
    /// Events whose journal is damaged, with what was found; they are not served.
    pub damaged: Vec<(EventId, String)>,
    /// Events whose actor failed too often; they are not served.
    pub quarantined: Vec<EventId>,
    /// Events that another node owns; they are not served here.
    pub elsewhere: Vec<EventId>,
    /// Facts committed since the start.
    pub facts: u64,
    /// Batches committed since the start.
    pub batches: u64,
    /// Committed facts that are not in the projections yet.
    pub projection_lag: u64,
    /// Actors rebuilt since the start.
    pub rebuilds: u64,
    /// Outcomes of charges and refunds since the start that no payment accounts for.
    pub unmatched_outcomes: u64,
    /// Events in memory.
    pub loaded: usize,
    /// Events that are over and not in memory.
    pub unloaded: usize,
    /// Events that were read into memory again since the start.
    pub loads: u64,
}
