//! Which sale an event's commands go to, and which event a tag names. Knows nothing of a sale but that it is shared. Must never
//! hold two sales of one event.

use crate::id::{EventId, EventTag};
use crate::shared_map::SharedMap;
use std::sync::Arc;

/// The sales `S` in memory, by their events.
pub(crate) struct Routes<S> {
    by_event: SharedMap<EventId, Arc<S>>,
    /// Also of events that are not in memory.
    tags: SharedMap<EventTag, EventId>,
}

impl<S> Default for Routes<S> {
    fn default() -> Self {
        Self { by_event: SharedMap::default(), tags: SharedMap::default() }
    }
}

impl<S> Routes<S> {
    pub(crate) fn get(&self, event: EventId) -> Option<Arc<S>> {
        self.by_event.get(&event).map(|sale| Arc::clone(&sale))
    }

    pub(crate) fn all(&self) -> Vec<Arc<S>> {
        self.by_event.iter().map(|sale| Arc::clone(&sale)).collect()
    }

    /// Visits every sale without taking hold of it; must not change the routes.
    pub(crate) fn each(&self, mut visit: impl FnMut(&S)) {
        self.by_event.iter().for_each(|sale| visit(&sale));
    }

    /// Whether some sale is so; must not change the routes.
    pub(crate) fn any(&self, is_so: impl Fn(&S) -> bool) -> bool {
        self.by_event.iter().any(|sale| is_so(&sale))
    }

    pub(crate) fn count(&self) -> usize {
        self.by_event.len()
    }

    pub(crate) fn put(&self, event: EventId, sale: Arc<S>) {
        self.by_event.insert(event, sale);
        self.know(event);
    }

    /// The tag of an event leads to it, whether it is in memory or not.
    pub(crate) fn know(&self, event: EventId) {
        self.tags.insert(event.tag(), event);
    }

    pub(crate) fn event_of(&self, tag: EventTag) -> Option<EventId> {
        self.tags.get(&tag).map(|event| *event)
    }

    pub(crate) fn remove(&self, event: EventId) {
        self.by_event.remove(&event);
    }

    /// Forgets every sale: each holds what all share, and so the routes.
    pub(crate) fn clear(&self) {
        self.by_event.clear();
    }
}
