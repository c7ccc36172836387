//! `POST /admin/events/{id}/postpone`: gives an event other times. Holds, slots and payments continue; ticket holders are notified
//! by messages of the outbox, and may cancel for a while. Must never be done twice for one order.

use crate::catalogue::event_view::EventJson;
use crate::catalogue::events::find;
use crate::catalogue::sync_with_sale::follow_sale;
use crate::catalogue::times::Times;
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::sales;
use crate::time::midnight_before;
use jiff::tz::TimeZone;
use onsale_engine::id::EventId;
use onsale_engine::limits::MAX_MESSAGE_BYTES;
use onsale_engine::ports::catalogue::Event;
use onsale_engine::sale::{Command, Postpone, SaleConfig};
use onsale_engine::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How long the sale of an event is waited for when the storage makes trouble.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![Route::post("/api/v1/admin/events/{id}/postpone", postpone).admin()]
}

/// What an administrator says.
struct Form {
    starts_at: Timestamp,
    ends_at: Timestamp,
    sale_ends_at: Option<Timestamp>,
    reason: String,
}

impl Form {
    fn read(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let (starts_at, ends_at) = (body.time(mistakes, "startsAt"), body.time(mistakes, "endsAt"));
        let sale_ends_at = body.optional_time(mistakes, "saleEndsAt");
        let reason = body.text(mistakes, "reason", 1..=MAX_MESSAGE_BYTES);
        if reason.is_some_and(|text| text.len() > MAX_MESSAGE_BYTES) {
            mistakes.add("reason", format!("at most {MAX_MESSAGE_BYTES} bytes"));
        }
        // What can be said without the event; all of it is checked beside the times that the event keeps.
        Times { starts_at, ends_at, sale_ends_at, ..Times::default() }.check(None, mistakes);
        let (starts_at, ends_at, reason) = (starts_at?, ends_at?, reason?.to_owned());
        Some(Self { starts_at, ends_at, sale_ends_at, reason })
    }

    /// The mistakes beside what the event has.
    fn check(&self, event: &Event, config: &SaleConfig, now: Timestamp) -> Result<(), Problem> {
        let mut mistakes = Mistakes::default();
        let before = Times {
            starts_at: Some(event.starts_at),
            ends_at: Some(event.ends_at),
            sale_starts_at: Some(config.sale_starts_at),
            sale_ends_at: Some(config.sale_ends_at),
            room_opens_at: config.admission.room_opens_at,
        };
        let after = Times {
            starts_at: Some(self.starts_at),
            ends_at: Some(self.ends_at),
            sale_ends_at: self.sale_ends_at.or(before.sale_ends_at),
            ..before
        };
        after.check(Some(&before), &mut mistakes);
        if self.starts_at != event.starts_at && self.starts_at <= now {
            mistakes.add("startsAt", "later than now: an event is not postponed to what is past");
        }
        mistakes.check()
    }
}

async fn postpone(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let form = Form::read(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    request.query().refuse_unknown(&mut mistakes, &[]);
    mistakes.check()?;
    let Some(form) = form else { return Err(mistakes.refuse()) };

    let (id, by, now, app) = (EventId(request.path_id("id")?), ctx.buyer()?, ctx.now(), Arc::clone(&ctx.app));
    ctx.to_the_end(async move {
        let _changes = app.event_changes.lock().await;
        let event = app.catalogue.event(id).await?.ok_or_else(Problem::not_found)?;
        let sale = sales::of(&app, id).await?;
        let config = sale.view().config().cloned().ok_or_else(Problem::not_found)?;
        form.check(&event, &config, now)?;
        let sale_ends_at = form.sale_ends_at.unwrap_or(config.sale_ends_at);
        let has = (event.starts_at, event.ends_at, config.sale_ends_at);
        if has == (form.starts_at, form.ends_at, sale_ends_at) && !event.cancelled {
            return Ok(());
        }
        let venue = app.catalogue.venue(event.venue).await?.ok_or_else(Problem::not_found)?;
        let zone = TimeZone::get(&venue.time_zone).unwrap_or(TimeZone::UTC);
        let postpone = Postpone {
            starts_at: form.starts_at,
            ends_at: form.ends_at,
            sale_ends_at,
            midnight: midnight_before(form.starts_at, &zone),
            cancellable_for: app.catalogue_rules.postponed_cancellation,
            by,
            reason: form.reason.into(),
        };
        let command = Command::Postpone(Box::new(postpone));
        sale.ask(command, app.clock.now() + TIMEOUT).await.map_err(sales::refused)?;
        follow_sale(&app, id).await
    })
    .await?;
    let (event, live) = find(&ctx, id).await?;
    response::ok(&EventJson::new(&event, &live, ctx.now()))
}
