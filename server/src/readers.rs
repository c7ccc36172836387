//! What reading handlers share: caches, open streams, and who must see which fact. All of it can be lost at any
//! moment and is made again from the catalogue and the read views; nothing here is state of the domain.

use crate::catalogue::{SeatMaps, Shelf};
use crate::http::OpenStreams;
use crate::queue::{Hubs, Paces};
use crate::reservations::{Feeds, LiveSeats, ReadYourWrites};
use std::sync::Arc;

/// See the file's head.
pub struct Readers {
    /// Seat maps, serialised.
    pub seat_maps: SeatMaps,
    /// The descriptive part of events, venues and halls.
    pub shelf: Shelf,
    /// Which seats are held and sold, serialised.
    pub live_seats: LiveSeats,
    /// The open streams of each buyer.
    pub streams: Arc<OpenStreams>,
    /// OpenStreams of seat changes.
    pub feeds: Arc<Feeds>,
    /// OpenStreams of waiting rooms.
    pub hubs: Arc<Hubs>,
    /// How fast lines move.
    pub paces: Paces,
    /// The last facts that buyers have received.
    pub read_your_writes: ReadYourWrites,
}

impl Readers {
    /// With this shelf, and nothing else yet.
    #[must_use]
    pub fn new(shelf: Shelf) -> Self {
        Self {
            seat_maps: SeatMaps::default(),
            shelf,
            live_seats: LiveSeats::default(),
            streams: Arc::default(),
            feeds: Arc::default(),
            hubs: Arc::default(),
            paces: Paces::default(),
            read_your_writes: ReadYourWrites::default(),
        }
    }
}
