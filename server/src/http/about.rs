//! Whom and what a request turned out to be about, for the log: told by whoever finds out while it is being answered.
//! Ids only; must never be used to decide anything.

use onsale_engine::id::{BuyerId, EventId};
use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static ABOUT: Cell<About>;
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    /// Who calls.
    pub buyer: Option<BuyerId>,
    /// Which event it concerns.
    pub event: Option<EventId>,
}

/// Answers a request, and what was told of it meanwhile.
pub(super) async fn noting<T>(answering: impl Future<Output = T>) -> (T, About) {
    let noted = async {
        let answer = answering.await;
        (answer, ABOUT.with(Cell::get))
    };
    ABOUT.scope(Cell::default(), noted).await
}

pub(super) fn note_buyer(buyer: BuyerId) {
    let _ = ABOUT.try_with(|about| about.set(About { buyer: Some(buyer), ..about.get() }));
}

/// The request that is being answered concerns this event. Outside of one it does nothing.
pub fn note_event(event: EventId) {
    let _ = ABOUT.try_with(|about| about.set(About { event: Some(event), ..about.get() }));
}
