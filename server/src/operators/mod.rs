//! Operators' routes: the waiting rooms' figures, admission, cancelling a sale, and the reservations and payments
//! of its buyers. Every change is a fact with who did it, in force at once. Must never be reached without the role of an administrator.

mod audit;
mod csv;
mod export;
mod forms;
mod history;
mod payments;
mod reservations;
mod search;
mod seats;

use crate::catalogue::{AdmissionJson, cancel_event};
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::sales;
use onsale_engine::id::EventId;
use onsale_engine::limits::{MAX_CAPACITY, MAX_MESSAGE_BYTES, MAX_RATE_PER_SECOND};
use onsale_engine::runtime::{Refusal, SaleHandle};
use onsale_engine::sale::draw::Draw;
use onsale_engine::sale::{Closed, Command, Rejection, Reply, SalePhase, SteeringChange, SteeringView};
use serde::Serialize;
use std::collections::BTreeMap;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/queue/admin/stats", stats).admin(),
        Route::patch("/api/v1/admin/events/{id}/admission", steer).admin(),
        Route::patch("/api/v1/admin/events/{id}/seats", seats::change).admin(),
        Route::get("/api/v1/admin/audit", audit::list).admin(),
        Route::post("/api/v1/admin/events/{id}/cancel", cancel).admin(),
        Route::get("/api/v1/admin/reservations", reservations::list).admin(),
        Route::get("/api/v1/admin/reservations/{id}", reservations::read).admin(),
        Route::post("/api/v1/admin/reservations/{id}/refund", reservations::refund).admin(),
        Route::post("/api/v1/admin/reservations/{id}/cancel", reservations::cancel).admin(),
        Route::get("/api/v1/admin/events/{id}/reservations.csv", export::reservations).admin(),
        Route::get("/api/v1/admin/payments", payments::list).admin(),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsJson {
    waiting: u64,
    active: u64,
    admitted_total: u64,
    rate_per_second: u32,
    paused: bool,
}

async fn stats(ctx: Context, _: Request) -> Result<Response, Problem> {
    let mut stats: BTreeMap<String, StatsJson> =
        sales::all(&ctx.app).iter().filter_map(|sale| stats_of(sale)).collect();
    let unloaded = sales::all_unloaded(&ctx.app);
    stats.extend(unloaded.iter().filter_map(|(event, summary)| {
        Some((event.to_string(), StatsJson::of(summary.phase, summary.steering_view())?))
    }));
    response::ok(&stats)
}

fn stats_of(sale: &SaleHandle) -> Option<(String, StatsJson)> {
    let view = sale.view();
    Some((sale.event().to_string(), StatsJson::of(view.phase(), view.steering()?)?))
}

impl StatsJson {
    fn of(phase: SalePhase, room: SteeringView) -> Option<Self> {
        match phase {
            SalePhase::Scheduled | SalePhase::Cancelled => {}
            SalePhase::Unconfigured | SalePhase::Retired => return None,
        }
        let SteeringView { steering, waiting, active, admitted_total } = room;
        let (rate_per_second, paused) = (steering.rate_per_second, steering.paused);
        Some(Self { waiting, active, admitted_total, rate_per_second, paused })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SteeredJson<'a> {
    event_id: String,
    #[serde(flatten)]
    admission: AdmissionJson<'a>,
}

async fn steer(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let query = request.query();
    let dry_run = query.boolean(&mut mistakes, "dryRun").unwrap_or(false);
    query.refuse_unknown(&mut mistakes, &["dryRun"]);
    let body = Object::strict_root(&json.value, &mut mistakes);
    let change = steering_change(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;

    let event = EventId(request.path_id("id")?);
    let sale = sales::of(&ctx.app, event).await?;
    let after = if dry_run { would_be(&sale, &change)? } else { steered(&ctx, &sale, change).await? };
    let (config, draw) = {
        let view = sale.view();
        (view.config().cloned().ok_or_else(Problem::not_found)?, view.draw().map(Draw::view))
    };
    response::ok(&SteeredJson { event_id: event.to_string(), admission: AdmissionJson::new(&config, &after, draw) })
}

async fn steered(
    ctx: &Context,
    sale: &std::sync::Arc<SaleHandle>,
    change: SteeringChange,
) -> Result<SteeringView, Problem> {
    let command = Command::Steer { change, by: ctx.buyer()? };
    match sale.submit(command, ctx.deadline).await.map_err(sales::refused)?.reply {
        Reply::Steering(view) => Ok(*view),
        Reply::Done | Reply::Reservation(_) | Reply::Payment(_) | Reply::Place(_) => {
            Err(Problem::internal().because("a sale answered something else than its steering"))
        }
    }
}

/// What a change would lead to, refused like the change itself.
fn would_be(sale: &SaleHandle, change: &SteeringChange) -> Result<SteeringView, Problem> {
    let view = sale.view();
    if view.phase() == SalePhase::Cancelled {
        return Err(sales::refused(Refusal::Rejected(Rejection::SaleClosed(Closed::Cancelled))));
    }
    let now = view.steering().ok_or_else(Problem::not_found)?;
    Ok(SteeringView { steering: now.steering.after(change), ..now })
}

fn steering_change(body: &Object<'_>, mistakes: &mut Mistakes) -> SteeringChange {
    let rate = body.optional_integer(mistakes, "ratePerSecond", 1..=i64::from(MAX_RATE_PER_SECOND));
    let limit = body.optional_integer(mistakes, "activeLimit", 1..=MAX_CAPACITY as i64);
    let message = body.optional_text(mistakes, "message", 0..=MAX_MESSAGE_BYTES);
    if message.is_some_and(|text| text.len() > MAX_MESSAGE_BYTES) {
        mistakes.add("message", format!("at most {MAX_MESSAGE_BYTES} bytes"));
    }
    let reason = body.optional_text(mistakes, "reason", 1..=MAX_MESSAGE_BYTES);
    if reason.is_some_and(|text| text.len() > MAX_MESSAGE_BYTES) {
        mistakes.add("reason", format!("at most {MAX_MESSAGE_BYTES} bytes"));
    }
    SteeringChange {
        rate_per_second: rate.and_then(|rate| u32::try_from(rate).ok()),
        // Absent is "as it is", null is "none".
        active_limit: body.has("activeLimit").then(|| limit.and_then(|limit| u64::try_from(limit).ok())),
        required: body.optional_boolean(mistakes, "required"),
        paused: body.optional_boolean(mistakes, "paused"),
        closed: body.optional_boolean(mistakes, "closed"),
        reason: reason.map(Box::from),
        message: body.has("message").then(|| message.filter(|text| !text.is_empty()).map(Box::from)),
    }
}

async fn cancel(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    if let Some(json) = request.json_if_any().await? {
        // There is nothing to say, so whatever is said is not understood.
        Object::strict_root(&json.value, &mut mistakes).refuse_unknown(&json.value, &mut mistakes);
    }
    request.query().refuse_unknown(&mut mistakes, &[]);
    mistakes.check()?;
    cancel_event(&ctx, EventId(request.path_id("id")?)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &Value) -> (SteeringChange, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let change = steering_change(&Object::root(body, &mut mistakes), &mut mistakes);
        (change, mistakes.refuse().mistakes().iter().map(|mistake| mistake.field.clone()).collect())
    }

    #[test]
    fn absent_leaves_and_null_takes_away() {
        assert_eq!(read(&json!({})), (SteeringChange::default(), Vec::new()));
        let (change, mistakes) = read(&json!({ "activeLimit": null, "message": null, "paused": true }));
        assert_eq!((change.active_limit, change.message), (Some(None), Some(None)));
        assert_eq!((change.paused, change.required, change.rate_per_second), (Some(true), None, None));
        assert!(mistakes.is_empty());
        let (change, _) = read(&json!({ "activeLimit": 7, "message": "soon" }));
        assert_eq!((change.active_limit, change.message), (Some(Some(7)), Some(Some("soon".into()))));
    }

    #[test]
    fn every_bound_is_checked() {
        let body = json!({
            "ratePerSecond": 100_001, "activeLimit": 0, "required": 1, "paused": "x", "closed": [],
            "message": "x".repeat(501),
        });
        assert_eq!(read(&body).1, ["ratePerSecond", "activeLimit", "message", "required", "paused", "closed"]);
    }
}
