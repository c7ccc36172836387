//! Venues, halls and events over HTTP, and the seat map. The descriptive part is the catalogue's, the live part the
//! sale's. Must never answer something live from memory of its own.

mod audited;
pub(crate) mod blocked_seats;
mod cache;
mod changes;
mod columns;
mod event_form;
mod event_view;
mod events;
mod halls;
mod postponing;
mod preview;
mod seat_map;
mod sync_with_sale;
mod times;
mod venues;
mod zones;

pub use cache::CatalogueCache;
pub use changes::{cancel_event, open_sale};
pub use event_view::{AdmissionJson, EventJson, Live};
pub use seat_map::{SeatMap, SeatMaps, category_name};
pub use sync_with_sale::catch_up;
pub use zones::Venues;

use crate::http::Route;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    [venues::routes(), halls::routes(), events::routes(), changes::routes(), postponing::routes()]
        .into_iter()
        .flatten()
        .collect()
}
