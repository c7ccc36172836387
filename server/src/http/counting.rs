//! How a request with an idempotency key is counted: at once, as any other, and given back when the key turns out to have a stored
//! answer. A request beyond the limit is refused only after that answer was looked for. Must never let one through that has none.

use crate::http::problem::Problem;
use crate::limits::{Due, Limits};
use parking_lot::Mutex;

/// What is known of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing: the request is a new one.
    Nothing,
    /// The answer to this very request.
    Answer,
    /// An answer to another request.
    Other,
}

/// See the module.
pub(super) struct Counting {
    due: Due,
    verdict: Mutex<Verdict>,
}

enum Verdict {
    Counted,
    Refused(Problem),
    Settled,
}

impl Counting {
    /// Counts a request on this node; answers also whether all nodes have to be asked.
    pub(super) fn begin(limits: &Limits, due: Due) -> (Self, bool) {
        let (verdict, everywhere) = match limits.spend_here(due) {
            Ok(everywhere) => (Verdict::Counted, everywhere),
            Err(refusal) => (Verdict::Refused(refusal), false),
        };
        (Self { due, verdict: Mutex::new(verdict) }, everywhere)
    }

    /// Counts it on all nodes together.
    pub(super) async fn count_everywhere(&self, limits: &Limits) {
        if let Err(refusal) = limits.spend_everywhere(self.due).await {
            *self.verdict.lock() = Verdict::Refused(refusal);
        }
    }

    /// The key was looked up.
    pub(super) async fn settle(&self, limits: &Limits, stored: Stored) -> Result<(), Problem> {
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

    /// The refusal of a request whose key was never looked up: it went wrong before, so it has no stored answer.
    pub(super) fn refusal(&self) -> Option<Problem> {
        match std::mem::replace(&mut *self.verdict.lock(), Verdict::Settled) {
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::Counted | Verdict::Settled => None,
        }
    }
}
