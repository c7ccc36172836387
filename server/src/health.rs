//! Liveness, readiness and metrics. What is checked here is read from committed state, off the path of requests: a
//! scrape must never hold a sale up.

use crate::app::App;
use crate::http::{Context, Problem, Request, Response, Route, response};
use crate::logging;
use crate::metrics::{write_head, write_single};
use crate::sales;
use onsale_engine::id::{EventId, Seq};
use onsale_engine::runtime::{JournalHealth, SaleHandle};
use onsale_engine::sale::{SalePhase, SeatCounts};
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a check of the invariants stands before it is made again.
const CHECK_STANDS_FOR: Duration = Duration::from_secs(10);
/// Events that have series of their own; the rest are in the totals only.
const EVENTS_SHOWN: usize = 100;

/// The routes of this family; they have no base path.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/health/live", live).public(),
        Route::get("/health/ready", ready).public(),
        Route::get("/metrics", metrics).public(),
    ]
}

async fn live(_: Context, _: Request) -> Result<Response, Problem> {
    response::ok(&serde_json::json!({ "status": "UP" }))
}

/// 200 while reads can be served, with what cannot; before the start's end the front answers by itself.
async fn ready(ctx: Context, _: Request) -> Result<Response, Problem> {
    if ctx.app.draining.is_cancelled() {
        return Err(Problem::unavailable("DRAINING", "the server is stopping", 5));
    }
    let health = ctx.app.engine.health();
    let mut degraded = Vec::new();
    match health.journal {
        JournalHealth::Good => {}
        JournalHealth::Failing => degraded.push("JOURNAL".to_owned()),
        JournalHealth::Fatal => return Err(Problem::storage_unavailable()),
    }
    if ctx.app.payments.is_unavailable() {
        degraded.push("PAYMENT_PROVIDER".to_owned());
    }
    if ctx.app.sharing.as_ref().is_some_and(|sharing| !sharing.is_up()) {
        degraded.push("redis".to_owned());
    }
    if (ctx.app.lacks_reserve)() {
        degraded.push("STORAGE_RESERVE".to_owned());
    }
    degraded.extend(health.damaged.iter().map(|(event, _)| format!("EVENT_DAMAGED {event}")));
    degraded.extend(health.quarantined.iter().map(|event| format!("EVENT_QUARANTINED {event}")));
    degraded.extend(health.elsewhere.iter().map(|event| format!("EVENT_ELSEWHERE {event}")));
    let status = if degraded.is_empty() { "UP" } else { "DEGRADED" };
    response::ok(&serde_json::json!({ "status": status, "degraded": degraded }))
}

async fn metrics(ctx: Context, request: Request) -> Result<Response, Problem> {
    if let Some(token) = &ctx.app.metrics_token {
        let given = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
        if !bool::from(given.as_bytes().ct_eq(token.expose_secret().as_bytes())) {
            return Err(Problem::unauthenticated("this call needs Authorization: Bearer and metrics.token"));
        }
    }
    let mut out = String::with_capacity(16 * 1024);
    let violations = ctx.app.checks.violations(&ctx.app).await;
    write_single(&mut out, "onsale_invariant_violations", violations);
    write_engine(&mut out, &ctx.app);
    write_sales(&mut out, &sales::all(&ctx.app));
    ctx.app.limits.write(&mut out);
    if let Some(sharing) = &ctx.app.sharing {
        sharing.write(&ctx.app, &mut out);
    }
    ctx.app.readers.streams.write(&mut out);
    ctx.app.http.write(&mut out);
    Ok(response::text("text/plain; version=0.0.4; charset=utf-8", out))
}

fn write_engine(out: &mut String, app: &App) {
    let health = app.engine.health();
    let (failing, fatal) = (health.journal == JournalHealth::Failing, health.journal == JournalHealth::Fatal);
    write_single(out, "onsale_journal_up", u8::from(!failing && !fatal));
    write_single(out, "onsale_facts_total", health.facts);
    write_single(out, "onsale_batches_total", health.batches);
    write_single(out, "onsale_projection_lag_facts", health.projection_lag);
    write_single(out, "onsale_actor_rebuilds_total", health.rebuilds);
    write_single(out, "onsale_unmatched_outcomes_total", health.unmatched_outcomes);
    write_single(out, "onsale_events_unserved", health.damaged.len() + health.quarantined.len());
    write_head(out, "onsale_events");
    let _ = writeln!(out, "onsale_events{{state=\"loaded\"}} {}", health.loaded);
    let _ = writeln!(out, "onsale_events{{state=\"unloaded\"}} {}", health.unloaded);
    write_single(out, "onsale_event_loads_total", health.loads);
    write_single(out, "onsale_log_lines_dropped_total", logging::dropped_lines());
    write_single(out, "onsale_log_bytes_total", logging::bytes_written());
    write_single(out, "onsale_revoked_tokens", app.tokens.revoked().len());
    write_single(out, "onsale_database_connections", (app.database_connections)());
    write_single(out, "onsale_storage_reserve", u8::from(!(app.lacks_reserve)()));
    let (hits, misses) = app.readers.cache.reads();
    write_head(out, "onsale_cache_reads_total");
    let _ = writeln!(out, "onsale_cache_reads_total{{outcome=\"hit\"}} {hits}");
    let _ = writeln!(out, "onsale_cache_reads_total{{outcome=\"miss\"}} {misses}");
}

fn write_sales(out: &mut String, sales: &[Arc<SaleHandle>]) {
    let mut seats = String::new();
    let mut rooms = String::new();
    for sale in sales.iter().filter(|sale| sale.view().phase() == SalePhase::Scheduled).take(EVENTS_SHOWN) {
        let event = sale.event();
        let (counts, steering) = {
            let view = sale.view();
            (view.counts(), view.steering())
        };
        let SeatCounts { total: _, available, held, sold, blocked } = counts;
        for (state, count) in [("available", available), ("held", held), ("sold", sold), ("blocked", blocked)] {
            let _ = writeln!(seats, "onsale_seats{{event=\"{event}\",state=\"{state}\"}} {count}");
        }
        let Some(room) = steering else { continue };
        for (state, count) in [("waiting", room.waiting), ("active", room.active), ("admitted", room.admitted_total)] {
            let _ = writeln!(rooms, "onsale_buyers{{event=\"{event}\",state=\"{state}\"}} {count}");
        }
    }
    write_head(out, "onsale_seats");
    out.push_str(&seats);
    write_head(out, "onsale_buyers");
    out.push_str(&rooms);
}

/// The last check of every sale's invariants.
#[derive(Default)]
pub struct Checks {
    last: Mutex<LastCheck>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct LastCheck {
    at: Option<Timestamp>,
    by_event: HashMap<EventId, (Seq, usize)>,
}

impl Checks {
    /// How many invariants do not hold. Checked again every ten seconds, for sales that have changed, on copies of them.
    pub async fn violations(&self, app: &App) -> usize {
        let _turn = self.turn.lock().await;
        let now = app.clock.now();
        let stands = self.last.lock().at.is_some_and(|at| now.since(at) < CHECK_STANDS_FOR);
        if !stands {
            for sale in sales::all(app) {
                self.check(&sale).await;
            }
            self.last.lock().at = Some(now);
        }
        self.last.lock().by_event.values().map(|(_, count)| count).sum()
    }

    async fn check(&self, sale: &SaleHandle) {
        let event = sale.event();
        let checked = self.last.lock().by_event.get(&event).map(|(seq, _)| *seq);
        if checked == Some(sale.view().seq()) {
            return;
        }
        let copy = sale.copy();
        let seq = copy.seq();
        let found = tokio::task::spawn_blocking(move || copy.check_invariants()).await.unwrap_or_default();
        for violation in &found {
            tracing::error!(event_id = %event, seq = seq.0, violation, "an invariant does not hold");
        }
        self.last.lock().by_event.insert(event, (seq, found.len()));
    }
}
