//! What administrators did to an event: who, when, what, why, read from the journal itself, so that it cannot say
//! anything else than what has happened.

use crate::http::{Context, Mistakes, Problem, Request, Response, response};
use crate::reservations::PageJson;
use crate::time::rfc3339;
use onsale_engine::id::EventId;
use onsale_engine::sale::{Entry, Fact};
use serde::Serialize;
use serde_json::{Value, json};

/// A deed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeedJson {
    event_id: String,
    seq: u64,
    at: String,
    by: String,
    action: &'static str,
    reason: Option<String>,
    /// What held from then on.
    after: Value,
}

impl DeedJson {
    fn new(event: EventId, entry: &Entry) -> Option<Self> {
        let (action, reason, after) = told(&entry.fact)?;
        Some(Self {
            event_id: event.to_string(),
            seq: entry.seq.0,
            at: rfc3339(entry.at),
            by: entry.fact.by_operator()?.to_string(),
            action,
            reason: reason.map(str::to_owned),
            after,
        })
    }
}

/// The deed's name, its reason, and what held from then on.
fn told(fact: &Fact) -> Option<(&'static str, Option<&str>, Value)> {
    if let Fact::Configured { config, .. } = fact {
        let rules = &config.admission;
        let after = json!({
            "saleStartsAt": rfc3339(config.sale_starts_at), "saleEndsAt": rfc3339(config.sale_ends_at),
            "maxSeatsPerBuyer": config.max_seats_per_buyer, "holdSeconds": config.hold.as_secs(),
            "noOrphans": config.no_orphans, "required": rules.required, "ratePerSecond": rules.rate_per_second,
            "capacity": rules.capacity, "activeLimit": rules.active_limit, "draw": rules.draw,
        });
        return Some(("RULES_SET", None, after));
    }
    if let Fact::Steered { steering, reason, .. } = fact {
        let after = json!({
            "ratePerSecond": steering.rate_per_second, "activeLimit": steering.active_limit,
            "required": steering.required, "paused": steering.paused, "closed": steering.closed,
            "message": steering.message,
        });
        return Some(("ADMISSION_STEERED", reason.as_deref(), after));
    }
    let ends = [
        (matches!(fact, Fact::SaleCancelled { .. }), "SALE_CANCELLED"),
        (matches!(fact, Fact::SaleRetired { .. }), "EVENT_DELETED"),
    ];
    ends.into_iter().find(|(is, _)| *is).map(|(_, action)| (action, None, Value::Null))
}

/// `GET /admin/audit`.
pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (query, mut mistakes) = (request.query(), Mistakes::default());
    let (event, page) = (query.required_id(&mut mistakes, "eventId"), query.page(&mut mistakes));
    mistakes.check()?;
    let event = event.map(EventId).ok_or_else(Problem::not_found)?;
    // Also of an event that was deleted: that is a deed, too.
    ctx.app.engine.sale(event).ok_or_else(Problem::not_found)?;
    let (engine, skip) = (ctx.app.engine.clone(), u64::from(page.number) * u64::from(page.size));
    let read = tokio::task::spawn_blocking(move || engine.audit(event, skip, u64::from(page.size))).await;
    let read = read.map_err(|error| Problem::internal().because(error))?;
    let (entries, total) = read.map_err(|error| Problem::storage_unavailable().because(error))?;
    let items: Vec<DeedJson> = entries.iter().filter_map(|entry| DeedJson::new(event, entry)).collect();
    response::ok(&PageJson::of(items, page, total))
}
