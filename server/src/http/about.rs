//! Whom and what a request turned out to be about, for the log: told by whoever finds out while it is being answered.
//! Ids only; must never be used to decide anything.

use onsale_engine::id::{BuyerId, EventId};
use std::cell::Cell;

thread_local! {
    /// Of the request whose handler is at work on this thread.
    static ABOUT: Cell<Option<About>> = const { Cell::new(None) };
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// Who calls.
    pub buyer: Option<BuyerId>,
    /// Which event it concerns.
    pub event: Option<EventId>,
}

impl About {
    /// Does a piece of a request's work; what it notes is added.
    pub(super) fn noting<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let outer = ABOUT.replace(Some(*self));
        let done = work();
        if let Some(about) = ABOUT.replace(outer) {
            *self = about;
        }
        done
    }
}

/// The request that is being answered concerns this event. Outside of one it does nothing.
pub fn note_event(event: EventId) {
    if let Some(about) = ABOUT.get() {
        ABOUT.set(Some(About { event: Some(event), ..about }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_noted_belongs_to_the_request_at_work() {
        let event = |n| EventId(Uuid::from_u128(n));
        let (mut outer, mut inner) = (About::default(), About::default());
        outer.noting(|| {
            note_event(event(1));
            inner.noting(|| note_event(event(2)));
        });
        note_event(event(3));
        assert_eq!((outer.event, inner.event), (Some(event(1)), Some(event(2))));
        outer.noting(|| {});
        assert_eq!(outer.event, Some(event(1)), "kept from one piece of work to the next");
    }
}
