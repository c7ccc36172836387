//! What the work of this thread belongs to: set while a request is polled, a command is decided, an effect is done. Code that writes
//! a line of the log finds the ids here, so that no line has to be handed them; setting it moves a few words and allocates nothing.
//! Must not be relied on for anything but lines of the log: what is kept is handed along.

use super::Origin;
use crate::id::EventId;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem::swap;
use std::pin::pin;

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope::NONE) };
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The request.
    pub origin: Origin,
    /// The event that it is found to concern.
    pub event: Option<EventId>,
}

impl Scope {
    /// Nothing is known of the work.
    pub const NONE: Self = Self { origin: Origin::NONE, event: None };

    /// Work for an event.
    #[must_use]
    pub fn new(origin: Origin, event: EventId) -> Self {
        Self { origin, event: Some(event) }
    }

    /// That of the work of this thread.
    #[must_use]
    pub fn current() -> Self {
        Self::read(Self::clone).unwrap_or_default()
    }

    /// Looks at that of the work of this thread; none while the thread ends.
    pub fn read<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(|current| current.try_borrow().ok().map(|scope| look(&scope))).ok().flatten()
    }

    /// The work of this thread concerns that event.
    pub fn note_event(event: EventId) {
        let _ = CURRENT.try_with(|current| {
            if let Ok(mut scope) = current.try_borrow_mut() {
                scope.event = Some(event);
            }
        });
    }

    /// What this thread does until the answer is dropped belongs to this.
    #[must_use]
    pub fn enter(mut self) -> Entered {
        self.exchange();
        Entered { before: self }
    }

    /// Does a piece of work that belongs to this; what it notes is kept for the next piece.
    pub fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let running = Running(self);
        running.0.exchange();
        let done = work();
        drop(running);
        done
    }

    /// Work that is done elsewhere, as a piece of what this thread does now.
    pub fn carry<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
        let mut scope = Self::current();
        move || scope.run(work)
    }

    /// The same for a future, wherever it is polled.
    pub fn carry_future<F: Future>(future: F) -> impl Future<Output = F::Output> {
        Self::current().around(future)
    }

    /// A future all of whose work belongs to this, wherever it is polled.
    pub async fn around<F: Future>(mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.run(|| future.as_mut().poll(cx))).await
    }

    fn exchange(&mut self) {
        let _ = CURRENT.try_with(|current| {
            if let Ok(mut current) = current.try_borrow_mut() {
                swap(&mut *current, self);
            }
        });
    }
}

/// The scope that is being worked in, and after a panic not any more.
struct Running<'a>(&'a mut Scope);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.exchange();
    }
}

/// See [`Scope::enter`].
pub struct Entered {
    before: Scope,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.before.exchange();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::RequestId;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use uuid::Uuid;

    fn event(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    fn scope(name: &str) -> Scope {
        Scope { origin: Origin { request: Some(RequestId::parse(name)), trace: None }, event: None }
    }

    #[test]
    fn what_is_noted_belongs_to_the_request_at_work() {
        let (mut outer, mut inner) = (scope("outer"), scope("inner"));
        outer.run(|| {
            Scope::note_event(event(1));
            inner.run(|| {
                Scope::note_event(event(2));
                assert_eq!(Origin::current().request, Some(RequestId::parse("inner")));
            });
            assert_eq!(Origin::current().request, Some(RequestId::parse("outer")));
        });
        assert_eq!(Scope::current(), Scope::NONE);
        assert_eq!((outer.event, inner.event), (Some(event(1)), Some(event(2))));
        outer.run(|| {});
        assert_eq!(outer.event, Some(event(1)), "kept from one piece of work to the next");
    }

    #[test]
    fn a_panic_and_an_early_return_leave_what_was_before() {
        let entered = scope("outer").enter();
        let mut inner = scope("inner");
        let panicked = catch_unwind(AssertUnwindSafe(|| inner.run(|| panic!("a test asked for it"))));
        assert!(panicked.is_err());
        assert_eq!((Scope::current(), inner), (scope("outer"), scope("inner")));
        drop(entered);
        assert_eq!(Scope::current(), Scope::NONE);
    }

    #[tokio::test]
    async fn a_future_takes_its_scope_along() {
        let asked = scope("mine").around(async {
            tokio::task::yield_now().await;
            Origin::current()
        });
        let asked = tokio::spawn(asked);
        assert_eq!(Scope::current(), Scope::NONE);
        assert_eq!(asked.await.ok(), Some(scope("mine").origin));
        let (work, future) =
            scope("mine").run(|| (Scope::carry(Origin::current), Scope::carry_future(async { Origin::current() })));
        assert_eq!(std::thread::spawn(work).join().ok(), Some(scope("mine").origin));
        assert_eq!(tokio::spawn(future).await.ok(), Some(scope("mine").origin));
    }
}
