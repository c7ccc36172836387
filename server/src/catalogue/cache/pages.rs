//! Pages of the list of events in memory: what each is kept under, and the most recently used of them, at most
//! [`EVENT_PAGES`]. Must never answer a page to a request whose status filter it is too old for.
//!
//! What a list filters by status depends on the time and on the seats that are sold, which no change of the catalogue
//! announces. So such a page is of its moment: it answers only requests that came before it was read, and all of those
//! with one query. Every other page, one of cancelled events too, changes with the catalogue alone, and is kept until
//! that changes or its time is over.

use onsale_engine::ports::catalogue::{EventOrder, EventQuery, EventStatus, Listed, ListedEvent};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Pages kept by this process. One has at most a hundred events of at most 2 KB, and usually twenty of 300 bytes.
pub(super) const EVENT_PAGES: usize = 250;

/// A page of events.
pub type EventPage = Listed<ListedEvent>;

/// A page that is asked for.
#[derive(Debug)]
pub(super) struct PageRequest {
    /// What is asked for; its `now` is set again when it is read.
    pub(super) query: EventQuery,
    /// What it is kept under.
    pub(super) key: u128,
    /// When it was asked for, if it must not have been read before.
    pub(super) not_before: Option<Instant>,
}

impl PageRequest {
    pub(super) fn new(query: EventQuery) -> Self {
        let is_of_its_moment = match query.status {
            None | Some(EventStatus::Cancelled) => false,
            Some(EventStatus::Upcoming | EventStatus::OnSale | EventStatus::SoldOut | EventStatus::Ended) => true,
        };
        Self { key: key(&query), not_before: is_of_its_moment.then(Instant::now), query }
    }
}

/// A digest of everything but `now`. Text is compared without case, as the storage does.
fn key(query: &EventQuery) -> u128 {
    let EventQuery { status, text, from, to, venue, order, descending, page, now: _ } = query;
    let mut digest = Sha256::new();
    // Of what may be left out, first whether it is there.
    let mut optional = |bytes: Option<&[u8]>| {
        digest.update([u8::from(bytes.is_some())]);
        digest.update(bytes.unwrap_or_default());
    };
    optional(status.map(|status| status_byte(status).to_le_bytes()).as_ref().map(<[u8; 1]>::as_slice));
    optional(from.map(|from| from.0.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    optional(to.map(|to| to.0.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    optional(venue.as_ref().map(|venue| venue.as_bytes().as_slice()));
    let order = match order {
        EventOrder::StartsAt => 0,
        EventOrder::CreatedAt => 1,
        EventOrder::Title => 2,
    };
    digest.update([order, u8::from(*descending)]);
    digest.update(page.number.to_le_bytes());
    digest.update(page.size.to_le_bytes());
    // Last, because it is the only one of any length.
    digest.update([u8::from(text.is_some())]);
    digest.update(text.as_deref().unwrap_or_default().to_lowercase());
    let digest: [u8; 32] = digest.finalize().into();
    let (half, _) = digest.split_at(16);
    half.iter().fold(0, |key, byte| key << 8 | u128::from(*byte))
}

fn status_byte(status: EventStatus) -> u8 {
    match status {
        EventStatus::Upcoming => 0,
        EventStatus::OnSale => 1,
        EventStatus::SoldOut => 2,
        EventStatus::Ended => 3,
        EventStatus::Cancelled => 4,
    }
}

/// The pages that are kept.
#[derive(Default)]
pub(super) struct Pages {
    kept: HashMap<u128, KeptPage>,
    /// Counts finds and insertions, so that the page that was not used for longest is known.
    uses: u64,
}

struct KeptPage {
    page: Arc<EventPage>,
    read_at: Instant,
    until: Instant,
    used: u64,
}

impl Pages {
    /// The page, if it is kept, its time is not over, and it is not too old for this request.
    pub(super) fn find(&mut self, request: &PageRequest, now: Instant) -> Option<Arc<EventPage>> {
        self.uses += 1;
        let kept = self.kept.get_mut(&request.key)?;
        if kept.until <= now || request.not_before.is_some_and(|moment| kept.read_at < moment) {
            return None;
        }
        kept.used = self.uses;
        Some(Arc::clone(&kept.page))
    }

    /// Keeps a page whose reading began at `read_at`, and lets another one go if there are too many.
    pub(super) fn keep(&mut self, key: u128, page: Arc<EventPage>, read_at: Instant, until: Instant) {
        self.uses += 1;
        if self.kept.len() >= EVENT_PAGES && !self.kept.contains_key(&key) {
            // The order of the map does not matter: no two have the same number.
            let least = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            least.and_then(|key| self.kept.remove(&key));
        }
        self.kept.insert(key, KeptPage { page, read_at, until, used: self.uses });
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onsale_engine::fakes::every_event;
    use onsale_engine::ports::catalogue::Page;
    use onsale_engine::time::Timestamp;
    use std::collections::HashSet;
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn what_is_asked_differently_is_another_page() {
        let page = |number, size| Page { number, size };
        let text = |text: &str| Some(text.to_owned());
        let others = [
            EventQuery { status: Some(EventStatus::Upcoming), ..every_event(Timestamp(7)) },
            EventQuery { status: Some(EventStatus::Cancelled), ..every_event(Timestamp(7)) },
            EventQuery { text: text(""), ..every_event(Timestamp(7)) },
            EventQuery { text: text("a"), ..every_event(Timestamp(7)) },
            EventQuery { from: Some(Timestamp(1)), ..every_event(Timestamp(7)) },
            EventQuery { to: Some(Timestamp(1)), ..every_event(Timestamp(7)) },
            EventQuery { venue: Some(Uuid::nil()), ..every_event(Timestamp(7)) },
            EventQuery { order: EventOrder::Title, ..every_event(Timestamp(7)) },
            EventQuery { descending: false, ..every_event(Timestamp(7)) },
            EventQuery { page: page(1, 20), ..every_event(Timestamp(7)) },
            EventQuery { page: page(0, 21), ..every_event(Timestamp(7)) },
        ];
        let keys: HashSet<u128> = others.iter().chain([&every_event(Timestamp(7))]).map(key).collect();
        assert_eq!(keys.len(), others.len() + 1);
        assert_eq!(
            key(&EventQuery { now: Timestamp(8), ..every_event(Timestamp(7)) }),
            key(&every_event(Timestamp(7))),
            "the time is not asked for"
        );
        assert_eq!(key(&EventQuery { text: text("A"), ..every_event(Timestamp(7)) }), key(&others[3]), "nor is case");
    }

    #[test]
    fn the_page_that_was_not_used_for_longest_goes_first() {
        let (mut pages, now) = (Pages::default(), Instant::now());
        let request = |key| PageRequest { query: every_event(Timestamp(7)), key, not_before: None };
        let empty = || Arc::new(EventPage { items: Vec::new(), total: 0 });
        let until = now + Duration::from_secs(1);
        for key in 0..EVENT_PAGES as u128 {
            pages.keep(key, empty(), now, until);
        }
        assert!(pages.find(&request(0), now).is_some());
        pages.keep(1000, empty(), now, until);
        assert_eq!(pages.kept.len(), EVENT_PAGES);
        assert!(pages.find(&request(0), now).is_some() && pages.find(&request(1000), now).is_some());
        assert!(pages.find(&request(1), now).is_none(), "the second was not asked for since");
        assert!(pages.find(&request(0), until).is_none(), "its time is over");
    }

    #[test]
    fn what_is_filtered_by_status_answers_only_who_asked_before_it_was_read() {
        let status = |status| EventQuery { status, ..every_event(Timestamp(7)) };
        for kept in [None, Some(EventStatus::Cancelled)] {
            assert_eq!(PageRequest::new(status(kept)).not_before, None);
        }
        let mut pages = Pages::default();
        let moment = Duration::from_millis(1);
        for of_its_moment in [EventStatus::Upcoming, EventStatus::OnSale, EventStatus::SoldOut, EventStatus::Ended] {
            let request = PageRequest::new(status(Some(of_its_moment)));
            let (asked, page) =
                (request.not_before.unwrap_or_else(Instant::now), EventPage { items: vec![], total: 0 });
            pages.keep(request.key, Arc::new(page), asked, asked + 9 * moment);
            assert!(pages.find(&request, asked).is_some());
            let later = PageRequest { not_before: Some(asked + moment), ..PageRequest::new(request.query) };
            assert!(pages.find(&later, asked).is_none(), "{of_its_moment:?}");
        }
    }
}
