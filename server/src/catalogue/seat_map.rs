//! The seat map of an event as clients read it: serialised and compressed once for each plan and price list,
//! then handed out as shared bytes. Owns the bounded cache of them. Must never hold live state: who has which seat
//! is answered elsewhere.

use crate::http::compression;
use bytes::Bytes;
use onsale_engine::id::{CategoryIndex, EventId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::plan::{Plan, Row, SeatKind, Section};
use onsale_engine::trace::Scope;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Bytes of seat maps that are kept, both forms counted: a stadium's is about 6 MB. Beyond them the one that was
/// asked for longest ago goes.
const CACHE_BYTES: usize = 192 << 20;
/// Seat maps that are kept, however small.
const CACHE_MAPS: usize = 1024;

/// A seat map, ready to send.
pub struct SeatMap {
    /// The JSON.
    pub plain: Bytes,
    /// The JSON, compressed.
    pub gzip: Bytes,
}

/// Weak validator of a seat map, the same for all its encodings: known without making the map.
#[must_use]
pub fn etag(event: EventId, plan: &Plan, prices: &[Option<Amount>]) -> String {
    let hash = content_hash(event, plan, prices);
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

/// The form of the document is in it, so that a new release's other form is another validator.
fn content_hash(event: EventId, plan: &Plan, prices: &[Option<Amount>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"onsale seat map 1");
    hash.update(event.0.as_bytes());
    hash.update(plan.hash().0);
    for price in prices {
        // No price is below zero, so this is none.
        hash.update(price.map_or(-1, |price| price.0).to_be_bytes());
    }
    hash.finalize().into()
}

impl SeatMap {
    /// Serialises and compresses; tens of milliseconds for a stadium, so never on a thread that serves.
    ///
    /// # Errors
    /// Only if the plan has no JSON form, which every compiled plan has.
    pub fn make(event: EventId, plan: &Plan, prices: &[Option<Amount>]) -> std::io::Result<Self> {
        let plain = serde_json::to_vec(&Document::new(event, plan, prices))?;
        Ok(Self { gzip: compression::compress(&plain, 6), plain: plain.into() })
    }

    fn bytes(&self) -> usize {
        self.plain.len() + self.gzip.len()
    }
}

/// The seat maps in memory, by event; the one asked for longest ago goes first.
#[derive(Default)]
pub struct SeatMaps {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    clock: u64,
    maps: HashMap<EventId, Slot>,
}

struct Slot {
    content: [u8; 32],
    asked: u64,
    map: Arc<OnceCell<Arc<SeatMap>>>,
}

impl SeatMaps {
    /// The seat map of an event under these prices. Callers that ask while it is being made wait for the same one.
    ///
    /// # Errors
    /// If it could not be made; asking again tries again.
    pub async fn of(
        &self,
        event: EventId,
        plan: &Arc<Plan>,
        prices: &[Option<Amount>],
    ) -> std::io::Result<Arc<SeatMap>> {
        let cell = self.cell(event, content_hash(event, plan, prices));
        let (plan, prices) = (Arc::clone(plan), prices.to_vec());
        let made = cell.get_or_try_init(|| async move {
            let make = move || SeatMap::make(event, &plan, &prices);
            let made = tokio::task::spawn_blocking(Scope::carry(make)).await.map_err(std::io::Error::other)??;
            std::io::Result::Ok(Arc::new(made))
        });
        let map = Arc::clone(made.await?);
        self.make_room(event);
        Ok(map)
    }

    fn cell(&self, event: EventId, content: [u8; 32]) -> Arc<OnceCell<Arc<SeatMap>>> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let slot = kept.maps.entry(event).or_insert_with(|| Slot { content, asked: now, map: Arc::default() });
        if slot.content != content {
            *slot = Slot { content, asked: now, map: Arc::default() };
        }
        slot.asked = now;
        Arc::clone(&slot.map)
    }

    /// Lets the oldest go until the rest is within bounds; `newest` stays at any size.
    fn make_room(&self, newest: EventId) {
        let mut kept = self.kept.lock();
        let size = |slot: &Slot| slot.map.get().map_or(0, |map| map.bytes());
        let mut bytes: usize = kept.maps.values().map(size).sum();
        while bytes > CACHE_BYTES || kept.maps.len() > CACHE_MAPS {
            let others = kept.maps.iter().filter(|(event, _)| **event != newest);
            let Some(oldest) = others.min_by_key(|(_, slot)| slot.asked).map(|(event, _)| *event) else { return };
            bytes -= kept.maps.remove(&oldest).as_ref().map_or(0, size);
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    event_id: String,
    plan: PlanDocument<'a>,
    categories: Vec<CategoryDocument<'a>>,
}

#[derive(Serialize)]
struct PlanDocument<'a> {
    size: SizeDocument,
    sections: Sections<'a>,
}

#[derive(Serialize)]
pub(super) struct SizeDocument {
    pub(super) width: Coordinate,
    pub(super) height: Coordinate,
}

#[derive(Serialize)]
struct CategoryDocument<'a> {
    name: &'a str,
    /// `null`: not for sale.
    price: Option<i64>,
    color: &'a str,
}

#[derive(Serialize)]
struct SectionDocument<'a> {
    id: String,
    name: &'a str,
    rows: Rows<'a>,
}

#[derive(Serialize)]
struct RowDocument<'a> {
    id: String,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    seats: Seats<'a>,
}

#[derive(Serialize)]
struct SeatDocument<'a> {
    id: &'a str,
    label: &'a str,
    x: Coordinate,
    y: Coordinate,
    category: &'a str,
    /// Left out of standard seats, which nearly all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn new(event: EventId, plan: &'a Plan, prices: &[Option<Amount>]) -> Self {
        let (width, height) = plan.size();
        let priced = plan.categories().iter().zip(prices);
        Self {
            event_id: event.to_string(),
            plan: PlanDocument {
                size: SizeDocument { width: Coordinate(width), height: Coordinate(height) },
                sections: Sections(plan),
            },
            categories: priced
                .map(|(category, price)| CategoryDocument {
                    name: &category.name,
                    price: price.map(|price| price.0),
                    color: &category.color,
                })
                .collect(),
        }
    }
}

// Sections, rows and seats are written while they are traversed: no tree of a stadium's seats is ever in memory.
struct Sections<'a>(&'a Plan);
struct Rows<'a>(&'a Plan, usize, &'a Section);
struct Seats<'a>(&'a Plan, Range<u32>);

impl Serialize for Sections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(plan) = *self;
        serializer.collect_seq(plan.sections().iter().enumerate().map(|(number, section)| SectionDocument {
            id: format!("{}", number + 1),
            name: &section.name,
            rows: Rows(plan, number, section),
        }))
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(plan, section, Section { rows, .. }) = self;
        let rows: &[Row] = plan.rows().get(rows.start as usize..rows.end as usize).unwrap_or(&[]);
        serializer.collect_seq(rows.iter().enumerate().map(|(number, row)| RowDocument {
            id: format!("{}-{}", section + 1, number + 1),
            label: &row.label,
            name: row.name.as_deref(),
            seats: Seats(plan, row.seats.clone()),
        }))
    }
}

impl Serialize for Seats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(plan, seats) = self;
        serializer.collect_seq(seats.clone().map(SeatIndex).map(|seat| {
            let (x, y) = plan.seat_position(seat);
            SeatDocument {
                id: plan.seat_id(seat),
                label: plan.seat_label(seat),
                x: Coordinate(x),
                y: Coordinate(y),
                category: category_name(plan, plan.seat_category(seat)),
                kind: kind_word(plan, seat),
                pair: plan.pair(seat).map(|(_, name)| name),
            }
        }))
    }
}

/// The kind of a seat that is not of the standard one.
fn kind_word(plan: &Plan, seat: SeatIndex) -> Option<&'static str> {
    Some(plan.seat_kind(seat)).filter(|kind| *kind != SeatKind::Standard).map(SeatKind::word)
}

/// The name of a category of this plan.
#[must_use]
pub fn category_name(plan: &Plan, category: CategoryIndex) -> &str {
    plan.categories().get(category.at()).map_or("", |category| category.name.as_str())
}

/// A coordinate, without `.0` where it is whole: most are, and a stadium has a hundred thousand of them.
pub(super) struct Coordinate(pub(super) f32);

impl Serialize for Coordinate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e9 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f32(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::PlanHash;
    use onsale_engine::plan::{Category, PlanDraft, RowDraft, SeatDraft, SectionDraft};
    use std::io::Read;
    use uuid::Uuid;

    fn plan(hash: u8) -> Arc<Plan> {
        let seat = |id: &str, x: f32| {
            let (id, category) = (id.to_owned(), "VIP".to_owned());
            SeatDraft { label: id.clone(), id, x, y: 2.5, category, ..SeatDraft::default() }
        };
        let row =
            RowDraft { label: "A".into(), seats: vec![seat("A-1", 0.0), seat("A-2", 1.0)], ..RowDraft::default() };
        let draft = PlanDraft {
            size: (10.0, 5.5),
            categories: vec![Category { name: "VIP".into(), color: "#fff".into() }],
            sections: vec![SectionDraft { rows: vec![row], ..SectionDraft::default() }],
            ..PlanDraft::default()
        };
        Arc::new(Plan::compile(&draft, PlanHash([hash; 32])).unwrap())
    }

    #[test]
    fn the_document_has_the_shape_of_the_contract() {
        let map = SeatMap::make(EventId(Uuid::nil()), &plan(1), &[Some(Amount(150_000))]).unwrap();
        let expected = concat!(
            r#"{"eventId":"00000000-0000-0000-0000-000000000000","plan":{"size":{"width":10,"height":5.5},"#,
            r#""sections":[{"id":"1","name":"","rows":[{"id":"1-1","label":"A","seats":["#,
            r#"{"id":"A-1","label":"A-1","x":0,"y":2.5,"category":"VIP"},"#,
            r#"{"id":"A-2","label":"A-2","x":1,"y":2.5,"category":"VIP"}]}]}]},"#,
            r##""categories":[{"name":"VIP","price":150000,"color":"#fff"}]}"##,
        );
        assert_eq!(std::str::from_utf8(&map.plain).unwrap(), expected);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&map.gzip[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, map.plain);
    }

    #[test]
    fn the_validator_names_the_event_the_plan_and_the_prices() {
        let (a, b) = (EventId(Uuid::nil()), EventId(Uuid::max()));
        let first = etag(a, &plan(1), &[Some(Amount(1))]);
        assert!(first.starts_with("W/\"") && first.ends_with('"'));
        assert_eq!(first, etag(a, &plan(1), &[Some(Amount(1))]));
        for other in [
            etag(b, &plan(1), &[Some(Amount(1))]),
            etag(a, &plan(2), &[Some(Amount(1))]),
            etag(a, &plan(1), &[Some(Amount(2))]),
            etag(a, &plan(1), &[None]),
        ] {
            assert_ne!(first, other);
        }
    }

    #[tokio::test]
    async fn a_map_is_made_once_for_its_prices_and_the_cache_stays_within_its_bound() {
        let maps = SeatMaps::default();
        let plan = plan(1);
        let event = |n: u128| EventId(Uuid::from_u128(n));
        let first = maps.of(event(0), &plan, &[Some(Amount(1))]).await.unwrap();
        assert!(Arc::ptr_eq(&first, &maps.of(event(0), &plan, &[Some(Amount(1))]).await.unwrap()));
        let dearer = maps.of(event(0), &plan, &[Some(Amount(2))]).await.unwrap();
        assert_ne!(first.plain, dearer.plain);
        for n in 1..=CACHE_MAPS as u128 {
            maps.of(event(n), &plan, &[Some(Amount(1))]).await.unwrap();
        }
        let kept = maps.kept.lock();
        assert_eq!(kept.maps.len(), CACHE_MAPS);
        assert!(!kept.maps.contains_key(&event(0)), "the one asked for longest ago went");
    }
}
