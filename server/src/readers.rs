//! What reading handlers share: caches, open streams, and who must see which fact. All of it can be lost at any
//! moment and is made again from the catalogue and the read views; nothing here is state of the domain.

use crate::catalogue::{CatalogueCache, SeatMaps};
use crate::http::OpenStreams;
use crate::queue::{Hubs, Paces};
use crate::reservations::{Feeds, LiveSeats, ReadYourWrites};
use std::sync::Arc;

/// See the file's head.
pub struct Readers {
    /// Seat maps, serialised.
    pub seat_maps: SeatMaps,
    /// The descriptive part of events, venues and halls.
    pub cache: CatalogueCache,
    /// Which seats are held and sold, serialised.
    pub live_seats: LiveSeats,
    /// The open streams of each buyer.
    pub streams: Arc<OpenStreams>,
    /// Streams of seat changes.
    pub feeds: Arc<Feeds>,
    /// Streams of waiting rooms.
    pub hubs: Arc<Hubs>,
    /// How fast lines move.
    pub paces: Paces,
    /// The last facts that buyers have received.
    pub read_your_writes: ReadYourWrites,
}

impl Readers {
    /// With this cache, and otherwise empty.
    #[must_use]
    pub fn new(cache: CatalogueCache) -> Self {
        Self {
            seat_maps: SeatMaps::default(),
            cache,
            live_seats: LiveSeats::default(),
            streams: Arc::default(),
            feeds: Arc::default(),
            hubs: Arc::default(),
            paces: Paces::default(),
            read_your_writes: ReadYourWrites::default(),
        }
    }
}
