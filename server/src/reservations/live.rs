//! Which seats are held, sold and not for sale right now: serialised once for each version of a sale, then shared. Must never
//! answer from an older version than the one that is committed.

use crate::http::compression;
use crate::http::response::{json_bytes, json_in_two_forms};
use crate::http::{Problem, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use onsale_engine::id::{EventId, SeatIndex, Seq};
use onsale_engine::plan::Plan;
use onsale_engine::runtime::SaleHandle;
use onsale_engine::sale::SeatCounts;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Events whose seats are kept serialised; beyond them all are let go, since making them again is cheap.
const EVENTS: usize = 256;

/// The newest document of each event.
#[derive(Default)]
pub struct LiveSeats {
    kept: Mutex<HashMap<EventId, Arc<Newest>>>,
}

/// The newest document of one event. Held while the next is made, so that it is made once.
type Newest = Mutex<Option<Arc<LiveDocument>>>;

/// The seats of one version.
pub struct LiveDocument {
    version: Seq,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl LiveDocument {
    /// The answer, in the form that the caller takes.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Response {
        let mut response = if self.plain.len() < compression::COMPRESS_FROM_BYTES {
            json_bytes(StatusCode::OK, self.plain.clone())
        } else {
            let gzipped = || self.gzip.get_or_init(|| compression::compress(&self.plain, 1));
            let form = if compression::accepted(request) { gzipped() } else { &self.plain };
            json_in_two_forms(request, &self.plain, form)
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl LiveSeats {
    /// The seats as they are committed now. Callers of the same version share one document.
    ///
    /// # Errors
    /// 404 when the event has no sale yet.
    pub fn of(&self, sale: &SaleHandle) -> Result<Arc<LiveDocument>, Problem> {
        let slot = {
            let mut kept = self.kept.lock();
            if kept.len() >= EVENTS && !kept.contains_key(&sale.event()) {
                kept.clear();
            }
            Arc::clone(kept.entry(sale.event()).or_default())
        };
        let mut newest = slot.lock();
        let state = {
            let view = sale.view();
            if let Some(document) = newest.as_ref().filter(|document| document.version == view.seq()) {
                return Ok(Arc::clone(document));
            }
            let plan = view.plan().ok_or_else(Problem::not_found)?;
            State {
                event: sale.event(),
                version: view.seq(),
                plan: Arc::clone(plan),
                counts: view.counts(),
                categories: view.category_counts(),
                held: view.seats_held(),
                sold: view.seats_sold(),
                blocked: view.seats_blocked(),
            }
        };
        let document = Arc::new(state.document()?);
        *newest = Some(Arc::clone(&document));
        Ok(document)
    }
}

struct State {
    event: EventId,
    version: Seq,
    plan: Arc<Plan>,
    counts: SeatCounts,
    categories: Vec<SeatCounts>,
    held: Vec<SeatIndex>,
    sold: Vec<SeatIndex>,
    blocked: Vec<SeatIndex>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    event_id: String,
    seats: CountsJson,
    categories: Vec<CategoryJson<'a>>,
    held: SeatIds<'a>,
    sold: SeatIds<'a>,
    blocked: SeatIds<'a>,
    version: u64,
}

/// Seats counted by their state, in every answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CountsJson {
    total: u32,
    available: u32,
    held: u32,
    sold: u32,
    blocked: u32,
}

impl From<SeatCounts> for CountsJson {
    fn from(counts: SeatCounts) -> Self {
        let SeatCounts { total, available, held, sold, blocked } = counts;
        Self { total, available, held, sold, blocked }
    }
}

/// A category's seats.
#[derive(Serialize)]
pub struct CategoryJson<'a> {
    name: &'a str,
    total: u32,
    available: u32,
    blocked: u32,
}

/// Each category's seats, under its name.
#[must_use]
pub fn categories_json<'a>(plan: &'a Plan, counts: &[SeatCounts]) -> Vec<CategoryJson<'a>> {
    let counted = plan.categories().iter().zip(counts);
    let json = counted.map(|(category, counts)| CategoryJson {
        name: &category.name,
        total: counts.total,
        available: counts.available,
        blocked: counts.blocked,
    });
    json.collect()
}

struct SeatIds<'a>(&'a Plan, &'a [SeatIndex]);

impl Serialize for SeatIds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|seat| self.0.seat_id(*seat)))
    }
}

impl State {
    fn document(&self) -> Result<LiveDocument, Problem> {
        let document = Document {
            event_id: self.event.to_string(),
            seats: self.counts.into(),
            categories: categories_json(&self.plan, &self.categories),
            held: SeatIds(&self.plan, &self.held),
            sold: SeatIds(&self.plan, &self.sold),
            blocked: SeatIds(&self.plan, &self.blocked),
            version: self.version.0,
        };
        let json = serde_json::to_vec(&document).map_err(|error| {
            tracing::error!(%error, "live seats have no JSON form");
            Problem::internal()
        })?;
        Ok(LiveDocument { version: self.version, plain: json.into(), gzip: OnceLock::new() })
    }
}
