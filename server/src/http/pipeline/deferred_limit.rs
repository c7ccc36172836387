//! The rate limit of a request with an idempotency key. It is counted at once, like any other, and uncounted when the key turns
//! out to have a stored answer. Beyond the limit it is refused only after the key was looked up. Must never let a request beyond
//! the limit through that has no stored answer.

use crate::http::problem::Problem;
use crate::limits::{Due, Limits};
use parking_lot::Mutex;

/// What is stored for an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing: the request is new.
    Nothing,
    /// The answer to the same request.
    Answer,
    /// An answer to another request.
    Other,
}

/// See the module.
pub(in crate::http) struct DeferredLimit {
    due: Due,
    verdict: Mutex<Verdict>,
}

enum Verdict {
    Counted,
    Refused(Problem),
    Settled,
}

impl DeferredLimit {
    /// Counts a request on this node; also returns whether all nodes have to be asked.
    pub(in crate::http) fn begin(limits: &Limits, due: Due) -> (Self, bool) {
        let (verdict, everywhere) = match limits.spend_here(due) {
            Ok(everywhere) => (Verdict::Counted, everywhere),
            Err(refusal) => (Verdict::Refused(refusal), false),
        };
        (Self { due, verdict: Mutex::new(verdict) }, everywhere)
    }

    /// Counts it on all nodes together.
    pub(in crate::http) async fn count_everywhere(&self, limits: &Limits) {
        if let Err(refusal) = limits.spend_everywhere(self.due).await {
            *self.verdict.lock() = Verdict::Refused(refusal);
        }
    }

    /// Decides, once the key was looked up.
    pub(in crate::http) async fn settle(&self, limits: &Limits, stored: Stored) -> Result<(), Problem> {
        let verdict = std::mem::replace(&mut *self.verdict.lock(), Verdict::Settled);
        match (verdict, stored) {
            (Verdict::Counted, Stored::Answer) => limits.give_back(self.due).await,
            (Verdict::Refused(refusal), Stored::Nothing) => return Err(refusal),
            (Verdict::Refused(_), Stored::Answer | Stored::Other) => limits.was_answered(self.due.family),
            (Verdict::Counted, Stored::Nothing | Stored::Other) | (Verdict::Settled, _) => {}
        }
        match stored {
            Stored::Other => Err(Problem::key_reused()),
            Stored::Nothing | Stored::Answer => Ok(()),
        }
    }

    /// The refusal of a request that failed before its key was looked up: it has no stored answer.
    pub(in crate::http) fn refusal(&self) -> Option<Problem> {
        match std::mem::replace(&mut *self.verdict.lock(), Verdict::Settled) {
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::Counted | Verdict::Settled => None,
        }
    }
}
