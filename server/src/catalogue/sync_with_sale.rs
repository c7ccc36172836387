//! Updates the catalogue's row of an event from its sale: after a fact that changes times, after a crash between the fact and the
//! row, and at a start. Must never change a sale, except to finish what an administrator has ordered.

use crate::app::App;
use crate::catalogue::zones::{self, Venues};
use crate::http::Problem;
use crate::sales;
use onsale_engine::id::EventId;
use onsale_engine::ports::catalogue::Event;
use onsale_engine::ports::shared::Described;
use onsale_engine::runtime::Found;
use onsale_engine::text::composed;
use onsale_engine::trace::Scope;
use std::sync::Arc;
use std::time::Duration;

/// How often a row that the storage did not take is written again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Writes what the sale says of its times into the event's row, if that says otherwise. When the storage does not take it, it is
/// tried until it does: the times hold already. The caller holds [`App::event_changes`].
///
/// # Errors
/// 404; 504 when the row is still to be written.
pub(super) async fn follow_sale(app: &Arc<App>, id: EventId) -> Result<(), Problem> {
    match write_row(app, id).await {
        Err(problem) if problem.status().is_server_error() => {
            let app = Arc::clone(app);
            tokio::spawn(Scope::carry_future(async move {
                while !app.draining.is_cancelled() {
                    tokio::time::sleep(AGAIN_AFTER).await;
                    let _changes = app.event_changes.lock().await;
                    match write_row(&app, id).await {
                        Err(problem) if problem.status().is_server_error() => {
                            tracing::warn!(event_id = %id, code = problem.code(), "the times of an event cannot be written yet; retried");
                        }
                        Ok(()) | Err(_) => return,
                    }
                }
            }));
            Err(Problem::deadline_exceeded())
        }
        done => done,
    }
}

async fn write_row(app: &App, id: EventId) -> Result<(), Problem> {
    let event = app.catalogue.event(id).await?.ok_or_else(Problem::not_found)?;
    let sale = sales::of(app, id).await?;
    let mut after = event.clone();
    {
        let view = sale.view();
        let config = view.config().ok_or_else(Problem::not_found)?;
        after.sale.sale_ends_at = config.sale_ends_at;
        after.sale.cancellation_closes_at = config.cancellation_closes_at;
        if let Some(schedule) = view.schedule() {
            (after.starts_at, after.ends_at) = (schedule.starts_at, schedule.ends_at);
        }
    }
    if after == event {
        return Ok(());
    }
    let updated = app.catalogue.update_event(&after).await;
    app.readers.cache.changed(Described::Event(id)).await;
    if updated? { Ok(()) } else { Err(Problem::not_found()) }
}

/// At a start: finishes what a crash left undone of an event, and composes text that was kept before all text was.
///
/// # Errors
/// When the sale or the storage does not answer.
pub async fn catch_up(app: &Arc<App>, event: &Event, venues: &mut Venues) -> Result<(), Problem> {
    // What another node owns is that one's to finish.
    let is_behind = match sales::authoritative(app, event.id) {
        Some(Found::Loaded(sale)) => {
            let view = sale.view();
            let times = view.schedule().map_or((event.starts_at, event.ends_at), |has| (has.starts_at, has.ends_at));
            let rules = view.config().map(|config| (config.sale_ends_at, config.cancellation_closes_at));
            times != (event.starts_at, event.ends_at) || rules.is_some_and(|rules| rules != of_row(event))
        }
        Some(Found::Unloaded(summary)) => {
            (summary.config.sale_ends_at, summary.config.cancellation_closes_at) != of_row(event)
        }
        None => return Ok(()),
    };
    if is_behind {
        let _changes = app.event_changes.lock().await;
        follow_sale(app, event.id).await?;
    }
    let is_apart = |text: &str| *composed(text) != *text;
    if is_apart(&event.title) || is_apart(&event.artist) || event.description.as_deref().is_some_and(is_apart) {
        compose(app, event.id).await?;
    }
    if !event.cancelled && event.ends_at > app.clock.now() {
        zones::finish(app, event, venues).await?;
    }
    Ok(())
}

fn of_row(event: &Event) -> (onsale_engine::time::Timestamp, onsale_engine::time::Timestamp) {
    (event.sale.sale_ends_at, event.sale.cancellation_closes_at)
}

/// Otherwise a search, whose text is composed, would not find the event.
async fn compose(app: &App, id: EventId) -> Result<(), Problem> {
    let _changes = app.event_changes.lock().await;
    let Some(mut event) = app.catalogue.event(id).await? else { return Ok(()) };
    event.title = composed(&event.title).into_owned();
    event.artist = composed(&event.artist).into_owned();
    event.description = event.description.map(|text| composed(&text).into_owned());
    let updated = app.catalogue.update_event(&event).await;
    app.readers.cache.changed(Described::Event(id)).await;
    updated.map(drop).map_err(Problem::from)
}
