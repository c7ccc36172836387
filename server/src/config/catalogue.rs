//! What holds for venues and events that do not say otherwise. Must never change what an event already has.

use super::reader::Reader;
use crate::time::zone;
use std::time::Duration;

/// The zone of a venue that names none, unless it is configured.
const ZONE: &str = "Asia/Seoul";
/// Hours for which tickets can be cancelled after a postponement.
const POSTPONED_HOURS: u64 = 168;
/// A year of them.
const POSTPONED_HOURS_MAX: u64 = 8784;

/// The catalogue's own rules.
#[derive(Clone, Debug)]
pub struct CatalogueConfig {
    /// The IANA time zone of a venue that names none. Default Asia/Seoul. Venues that are there keep theirs.
    pub time_zone: String,
    /// How long tickets of a postponed event can be cancelled after the postponement, whatever the old date allowed, but not
    /// beyond the new start. Hours, default 168. Raising it lets buyers give tickets back for longer, so seats come back later.
    pub postponed_cancellation: Duration,
}

pub(super) fn catalogue(reader: &mut Reader) -> CatalogueConfig {
    let is_zone = |name: &String| match zone(name) {
        Some(_) => Ok(()),
        None => Err("must be an IANA time zone, such as \"Asia/Seoul\"".to_owned()),
    };
    let named = reader.value("catalogue", "time_zone", ZONE.to_owned(), is_zone);
    let hours = reader.number("catalogue", "postponed_cancellation_hours", POSTPONED_HOURS, 0..=POSTPONED_HOURS_MAX);
    CatalogueConfig {
        time_zone: zone(&named).and_then(|zone| zone.iana_name().map(str::to_owned)).unwrap_or(named),
        postponed_cancellation: Duration::from_secs(hours * 3600),
    }
}
