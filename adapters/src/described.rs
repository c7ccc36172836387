//! The form in which events, venues and halls lie in a cache: versioned JSON. What this version cannot read counts as
//! not there, so nodes of two versions can share a cache. Must never hold what is live of an event.

mod event_page;

use crate::hall_form::{StageForm, WarningForm};
use crate::sale_form;
use onsale_engine::id::{BuyerId, EventId, PlanHash};
use onsale_engine::money::Amount;
use onsale_engine::ports::catalogue::{Event, Hall, HallWarning, Venue};
use onsale_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The version that is written, and the only one that is read: a cache is soon filled again.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct EventForm {
    version: u32,
    id: String,
    title: String,
    artist: String,
    description: Option<String>,
    hall: String,
    venue: String,
    venue_name: String,
    starts_at: i64,
    ends_at: i64,
    sale: Box<RawValue>,
    plan: String,
    created_by: String,
    created_at: i64,
    cancelled: bool,
    price_range: (i64, i64),
}

#[derive(Serialize, Deserialize)]
struct VenueForm {
    version: u32,
    id: String,
    name: String,
    address: String,
    city: String,
    time_zone: String,
    created_at: i64,
}

#[derive(Serialize, Deserialize)]
struct HallForm {
    version: u32,
    id: String,
    venue: String,
    name: String,
    plan: String,
    capacity: u32,
    categories: Vec<String>,
    #[serde(default)]
    stage: Option<StageForm>,
    #[serde(default)]
    warnings: Vec<WarningForm>,
    created_at: i64,
}

/// Something that lies in a cache.
pub trait Cached: Sized {
    /// As it is kept; `None` when it has no form, and then it is not kept.
    fn written(&self) -> Option<Vec<u8>>;
    /// As it was kept; `None` for a form of another version.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Cached for Event {
    fn written(&self) -> Option<Vec<u8>> {
        let form = EventForm {
            version: VERSION,
            id: self.id.to_string(),
            title: self.title.clone(),
            artist: self.artist.clone(),
            description: self.description.clone(),
            hall: self.hall.to_string(),
            venue: self.venue.to_string(),
            venue_name: self.venue_name.clone(),
            starts_at: self.starts_at.0,
            ends_at: self.ends_at.0,
            sale: RawValue::from_string(sale_form::write(&self.sale).ok()?).ok()?,
            plan: self.plan.to_string(),
            created_by: self.created_by.to_string(),
            created_at: self.created_at.0,
            cancelled: self.cancelled,
            price_range: (self.price_range.0.0, self.price_range.1.0),
        };
        serde_json::to_vec(&form).ok()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let form: EventForm = serde_json::from_slice(bytes).ok().filter(|form: &EventForm| form.version == VERSION)?;
        Some(Self {
            id: EventId(id(&form.id)?),
            title: form.title,
            artist: form.artist,
            description: form.description,
            hall: id(&form.hall)?,
            venue: id(&form.venue)?,
            venue_name: form.venue_name,
            starts_at: Timestamp(form.starts_at),
            ends_at: Timestamp(form.ends_at),
            sale: sale_form::read(form.sale.get()).ok()?,
            plan: hash(&form.plan)?,
            created_by: BuyerId(id(&form.created_by)?),
            created_at: Timestamp(form.created_at),
            cancelled: form.cancelled,
            price_range: (Amount(form.price_range.0), Amount(form.price_range.1)),
        })
    }
}

impl Cached for Venue {
    fn written(&self) -> Option<Vec<u8>> {
        let form = VenueForm {
            version: VERSION,
            id: self.id.to_string(),
            name: self.name.clone(),
            address: self.address.clone(),
            city: self.city.clone(),
            time_zone: self.time_zone.clone(),
            created_at: self.created_at.0,
        };
        serde_json::to_vec(&form).ok()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let form: VenueForm = serde_json::from_slice(bytes).ok().filter(|form: &VenueForm| form.version == VERSION)?;
        let VenueForm { version: _, id: name_of, name, address, city, time_zone, created_at } = form;
        Some(Self { id: id(&name_of)?, name, address, city, time_zone, created_at: Timestamp(created_at) })
    }
}

impl Cached for Hall {
    fn written(&self) -> Option<Vec<u8>> {
        let form = HallForm {
            version: VERSION,
            id: self.id.to_string(),
            venue: self.venue.to_string(),
            name: self.name.clone(),
            plan: self.plan.to_string(),
            capacity: self.capacity,
            categories: self.categories.clone(),
            stage: self.stage.map(StageForm::from),
            warnings: self.warnings.iter().map(WarningForm::from).collect(),
            created_at: self.created_at.0,
        };
        serde_json::to_vec(&form).ok()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let form: HallForm = serde_json::from_slice(bytes).ok().filter(|form: &HallForm| form.version == VERSION)?;
        Some(Self {
            id: id(&form.id)?,
            venue: id(&form.venue)?,
            name: form.name,
            plan: hash(&form.plan)?,
            capacity: form.capacity,
            categories: form.categories,
            stage: form.stage.and_then(StageForm::stage),
            warnings: form.warnings.into_iter().map(HallWarning::from).collect(),
            created_at: Timestamp(form.created_at),
        })
    }
}

fn id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

fn hash(text: &str) -> Option<PlanHash> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(PlanHash(hash))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use onsale_engine::fakes::small_config;
    use onsale_engine::plan::{Stage, StageSource};

    #[test]
    fn what_was_kept_is_read_as_it_was() {
        let at = Timestamp::from_secs(1_780_000_000);
        let event = Event {
            id: EventId(Uuid::from_u128(1)),
            title: "An \"evening\" – 밤".into(),
            artist: "x".into(),
            description: None,
            hall: Uuid::from_u128(2),
            venue: Uuid::from_u128(3),
            venue_name: "House".into(),
            starts_at: at,
            ends_at: Timestamp(at.0 + 1),
            sale: small_config(at),
            plan: PlanHash([0xab; 32]),
            created_by: BuyerId(Uuid::from_u128(4)),
            created_at: Timestamp(-7),
            cancelled: true,
            price_range: (Amount(1), Amount(2)),
        };
        let bytes = event.written().unwrap();
        assert_eq!(Event::read(&bytes).unwrap(), event);
        let venue = Venue {
            id: Uuid::from_u128(3),
            name: "House".into(),
            address: "1 Road".into(),
            city: "Seoul".into(),
            time_zone: "Asia/Seoul".into(),
            created_at: at,
        };
        assert_eq!(Venue::read(&venue.written().unwrap()).unwrap(), venue);
        let hall = Hall {
            id: Uuid::from_u128(2),
            venue: Uuid::from_u128(3),
            name: "Main".into(),
            plan: PlanHash([7; 32]),
            capacity: 20,
            categories: vec!["VIP".into()],
            stage: Some(Stage { x: 1.5, y: -2.0, source: StageSource::Area }),
            warnings: vec![HallWarning { code: "DUPLICATE_LABEL".into(), message: "\"A-1\"".into(), count: 2 }],
            created_at: at,
        };
        assert_eq!(Hall::read(&hall.written().unwrap()).unwrap(), hall);
        let older = br#"{"version":1,"id":"00000000-0000-0000-0000-000000000002","venue":"00000000-0000-0000-0000-000000000003",
            "name":"Main","plan":"0707070707070707070707070707070707070707070707070707070707070707","capacity":20,
            "categories":["VIP"],"created_at":1780000000000000}"#;
        assert_eq!(Hall::read(older).unwrap(), Hall { stage: None, warnings: vec![], ..hall });
        // Another version, another thing, or anything else is not there.
        let later = String::from_utf8(bytes).unwrap().replace("\"version\":1,\"id\"", "\"version\":2,\"id\"");
        assert!(Event::read(later.as_bytes()).is_none());
        assert!(Event::read(b"").is_none() && Event::read(b"{}").is_none() && Hall::read(b"null").is_none());
    }
}
