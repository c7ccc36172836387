//! Which request a command, a fact or a line of the log belongs to: the request's id, its W3C trace context, and the event that
//! it concerns. Owns their forms, and the scope that says what the work of this thread belongs to just now. Knows nothing of
//! sales, HTTP or storage; must never decide anything by what it carries.

mod context;
mod request_id;
mod scope;

pub use context::{SpanId, TraceContext, TraceId};
pub use request_id::RequestId;
pub use scope::{Entered, Scope};

/// The request that a command came of: handed along with it, so that what follows from it can be found by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What the caller knows the request by (`X-Request-Id`). Not kept in the journal.
    pub request: Option<RequestId>,
    /// The trace that it is part of; facts keep it.
    pub trace: Option<TraceContext>,
}

impl Origin {
    /// No request: time has passed, or what there was is not known any more.
    pub const NONE: Self = Self { request: None, trace: None };

    /// What the journal keeps of an origin.
    #[must_use]
    pub fn of_trace(trace: Option<TraceContext>) -> Self {
        Self { request: None, trace }
    }

    /// That of the work of this thread.
    #[must_use]
    pub fn current() -> Self {
        Scope::read(|scope| scope.origin.clone()).unwrap_or_default()
    }
}
