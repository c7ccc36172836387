//! Making, changing, deleting and cancelling events. The catalogue's row comes first and the sale's rules follow, so
//! that a crash in between leaves an event whose sale is made at the next start, never a sale without an event.

use crate::app::App;
use crate::catalogue::audited::Author;
use crate::catalogue::blocked_seats;
use crate::catalogue::event_form::{self, EventForm};
use crate::catalogue::event_view::{EventJson, Live};
use crate::catalogue::events::find;
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::idempotency::{Created, idempotent};
use crate::sales;
use jiff::tz::TimeZone;
use onsale_engine::id::{BuyerId, EventId, PlanHash};
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{Catalogue, CatalogueError, Event, Hall, Venue};
use onsale_engine::ports::shared::Described;
use onsale_engine::runtime::{Found, Refusal, SaleHandle};
use onsale_engine::sale::{Command, Rejection, SaleConfig, SalePhase};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often an id is drawn again because its tag is taken: once is already rarer than any failure of the disk.
const DRAWS: usize = 5;
/// How long the sale of an event is waited for when the storage makes trouble.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often an event that was made gets its sale, when the storage did not take it at once.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/events", create).admin().keyed(),
        Route::patch("/api/v1/events/{id}", change).admin(),
        Route::delete("/api/v1/events/{id}", delete).admin(),
    ]
}

/// A hall with what an event needs of it.
struct Place {
    hall: Hall,
    venue: Venue,
    plan: Arc<Plan>,
}

impl Place {
    async fn of(app: &App, hall: Hall) -> Result<Self, Problem> {
        let venue = app.catalogue.venue(hall.venue).await?.ok_or_else(Problem::not_found)?;
        let plan = plan(app, hall.plan).await?;
        Ok(Self { hall, venue, plan })
    }

    fn sale(&self, form: &EventForm) -> Result<SaleConfig, Problem> {
        let zone = TimeZone::get(&self.venue.time_zone).unwrap_or(TimeZone::UTC);
        let mut sale = form.sale(&self.hall.categories, &zone).ok_or_else(Problem::internal)?;
        sale.blocked = blocked_seats::seats(&form.blocked_seat_ids, &self.plan).ok_or_else(Problem::internal)?;
        Ok(sale)
    }

    fn event(&self, id: EventId, form: EventForm, sale: SaleConfig, by: BuyerId, created_at: Timestamp) -> Event {
        let price_range = sale.price_range().unwrap_or_default();
        Event {
            id,
            title: form.title,
            artist: form.artist,
            description: form.description,
            hall: self.hall.id,
            venue: self.venue.id,
            venue_name: self.venue.name.clone(),
            starts_at: form.starts_at,
            ends_at: form.ends_at,
            sale,
            plan: self.hall.plan,
            created_by: by,
            created_at,
            cancelled: false,
            price_range,
        }
    }
}

/// A plan by its hash, off the threads that serve: a stadium takes a while.
async fn plan(app: &App, hash: PlanHash) -> Result<Arc<Plan>, Problem> {
    let plans = Arc::clone(&app.plans);
    let read = tokio::task::spawn_blocking(Scope::carry(move || plans.plan(hash))).await;
    match read.map_err(|error| Problem::internal().because(error))? {
        Ok(Some(plan)) => Ok(plan),
        Ok(None) => Err(Problem::internal().because("a hall's plan is not there")),
        Err(error) => Err(Problem::storage_unavailable().because(error)),
    }
}

/// Names the blocked seats that the hall does not have. The hall's plan is read only when there are any.
async fn check_blocked(
    app: &App,
    body: &Object<'_>,
    hall: Option<&Hall>,
    mistakes: &mut Mistakes,
) -> Result<(), Problem> {
    if let Some(hall) = hall.filter(|_| body.value(blocked_seats::MEMBER).is_some()) {
        blocked_seats::check(body, &*plan(app, hall.plan).await?, mistakes);
    }
    Ok(())
}

/// The ids of the seats that an event's rules block.
async fn blocked_ids(app: &App, event: &Event) -> Result<Vec<String>, Problem> {
    if event.sale.blocked.is_empty() {
        return Ok(Vec::new());
    }
    let plan = plan(app, event.plan).await?;
    Ok(blocked_seats::ids(&event.sale.blocked, &plan).into_iter().map(str::to_owned).collect())
}

async fn create(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let form = EventForm::read(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    let hall = match body.optional_id(&mut Mistakes::default(), "hallId") {
        Some(hall) => ctx.app.catalogue.hall(hall).await?,
        None => None,
    };
    EventForm::check_together(&body, None, hall.as_ref().map(|hall| hall.categories.as_slice()), &mut mistakes);
    check_blocked(&ctx.app, &body, hall.as_ref(), &mut mistakes).await?;
    mistakes.check()?;
    let Some(form) = form else { return Err(mistakes.refuse()) };
    let key = ctx.request_key(&request, &json.bytes)?;
    idempotent(ctx, key, move |ctx| async move {
        let _changes = ctx.app.event_changes.lock().await;
        let place = Place::of(&ctx.app, hall.ok_or_else(Problem::not_found)?).await?;
        let (sale, by) = (place.sale(&form)?, ctx.buyer()?);
        for _ in 0..DRAWS {
            let event = place.event(EventId(Uuid::now_v7()), form.clone(), sale.clone(), by, ctx.now());
            let live = Live::of_new(&place.plan, &event.sale, ctx.app.signer.draw_seed(event.id));
            let location = format!("/api/v1/events/{}", event.id);
            let answer = Created::new(Some(location), &EventJson::new(&event, &live, ctx.now()))?;
            let made = ctx.app.catalogue.create_event(&event, answer.stored(key, ctx.now()).as_ref()).await;
            // Also when there was no answer: lists show it if it was made.
            ctx.app.readers.cache.changed(Described::Event(event.id)).await;
            match made {
                Ok(()) => {
                    open_or_keep_trying(&ctx.app, event, &place.plan).await?;
                    return Ok(answer);
                }
                Err(CatalogueError::InUse(_)) => {}
                Err(CatalogueError::Store(error)) => return Err(error.into()),
            }
        }
        Err(Problem::internal().because("no free tag for an event"))
    })
    .await
}

/// Opens the sale of an event that is in the catalogue. When the storage does not take it, the event has been made
/// all the same: the caller receives that it is unknown, and it is retried until it is done.
async fn open_or_keep_trying(app: &Arc<App>, event: Event, plan: &Arc<Plan>) -> Result<(), Problem> {
    if configure(app, &event, plan).await.is_ok() {
        return Ok(());
    }
    let (app, plan) = (Arc::clone(app), Arc::clone(plan));
    tokio::spawn(Scope::carry_future(async move {
        while !app.draining.is_cancelled() {
            tokio::time::sleep(AGAIN_AFTER).await;
            match configure(&app, &event, &plan).await {
                Ok(_) => return,
                Err(refusal) => {
                    tracing::warn!(event_id = %event.id, ?refusal, "the sale of an event cannot be created yet; retried")
                }
            }
        }
    }));
    Err(Problem::deadline_exceeded())
}

/// Makes sure that an event of the catalogue has a sale with rules: what a crash between the two leaves to the next
/// start. Does nothing for one that has them.
///
/// # Errors
/// If the plan or the journal does not answer.
pub async fn open_sale(app: &App, event: &Event) -> Result<(), Problem> {
    let has_rules = match app.engine.find(event.id) {
        Some(Found::Loaded(sale)) => sale.phase() != SalePhase::Unconfigured,
        Some(Found::Unloaded(_)) => true,
        None => false,
    };
    if has_rules {
        return Ok(());
    }
    let plan = plan(app, event.plan).await?;
    configure(app, event, &plan).await.map(drop).map_err(sales::refused)
}

async fn configure(app: &App, event: &Event, plan: &Arc<Plan>) -> Result<Arc<SaleHandle>, Refusal> {
    let sale = app.engine.open(event.id).await?;
    let (config, plan) = (Box::new(event.sale.clone()), Arc::clone(plan));
    let command = Command::Configure { config, plan, by: event.created_by };
    sale.ask(command, app.clock.now() + TIMEOUT).await?;
    Ok(sale)
}

async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let patch = request.json().await?.value;
    check_alone(&patch)?;
    let id = EventId(request.path_id("id")?);
    let changes = Arc::clone(&ctx.app.event_changes).lock_owned().await;
    // What is changed is read from the catalogue itself: what was kept in memory may be a moment old.
    let before = ctx.app.catalogue.event(id).await?.ok_or_else(Problem::not_found)?;
    let live = Live::found(&sales::known(&ctx.app, id).await?).ok_or_else(Problem::storage_unavailable)?;
    let before = as_steered(&before, &live);
    let hall = ctx.app.catalogue.hall(before.hall).await?.ok_or_else(Problem::not_found)?;
    let old = event_form::body_of(&before, &hall.categories, &blocked_ids(&ctx.app, &before).await?);
    let mut body = old.clone();
    event_form::lay_over(&mut body, &patch);

    let mut mistakes = Mistakes::default();
    let root = Object::root(&body, &mut mistakes);
    let form = EventForm::read(&root, &mut mistakes);
    let hall = match root.optional_id(&mut Mistakes::default(), "hallId") {
        Some(same) if same == hall.id => Some(hall),
        Some(other) => ctx.app.catalogue.hall(other).await?,
        None => None,
    };
    EventForm::check_together(&root, Some(&old), hall.as_ref().map(|hall| hall.categories.as_slice()), &mut mistakes);
    check_blocked(&ctx.app, &root, hall.as_ref(), &mut mistakes).await?;
    mistakes.check()?;
    let Some(form) = form else { return Err(mistakes.refuse()) };
    let place = Place::of(&ctx.app, hall.ok_or_else(Problem::not_found)?).await?;
    let mut sale = place.sale(&form)?;
    // It follows from the start and the venue alone: a change of neither leaves what the sale has, which may have been moved.
    if (form.starts_at, place.hall.id) == (before.starts_at, before.hall) {
        sale.cancellation_closes_at = before.sale.cancellation_closes_at;
    }
    let mut after = place.event(id, form, sale, before.created_by, before.created_at);
    after.cancelled = before.cancelled;

    let by = ctx.buyer()?;
    let app = Arc::clone(&ctx.app);
    let members = [&before, &after].map(described);
    let catalogue = Author::of(&ctx)?.audited(&app, Described::Event(id), "EVENT_CHANGED", members.each_ref());
    ctx.to_the_end(async move {
        let _changes = changes;
        put(&app, &*catalogue, [&before, &after], &place.plan, by).await
    })
    .await?;
    let (event, live) = find(&ctx, id).await?;
    response::ok(&EventJson::new(&event, &live, ctx.now()))
}

/// What of an event is no rule of its sale: a change of these is no fact of the journal, so the catalogue keeps it.
fn described(event: &Event) -> Value {
    let time = crate::time::rfc3339;
    json!({
        "title": event.title, "artist": event.artist, "description": event.description,
        "hallId": event.hall.to_string(), "startsAt": time(event.starts_at), "endsAt": time(event.ends_at),
    })
}

/// The mistakes of a patch by itself, before anything is looked up.
fn check_alone(patch: &Value) -> Result<(), Problem> {
    let mut mistakes = Mistakes::default();
    Object::root(patch, &mut mistakes);
    mistakes.check()?;
    let mut body = event_form::any_body();
    event_form::lay_over(&mut body, patch);
    let root = Object::strict_root(&body, &mut mistakes);
    EventForm::read(&root, &mut mistakes);
    root.refuse_unknown(patch, &mut mistakes);
    mistakes.check()
}

/// The event with what its sale has now: an operator may have steered since it was made.
fn as_steered(event: &Event, live: &Live) -> Event {
    let mut event = event.clone();
    event.sale = live.config.clone();
    let steering = live.steering();
    event.sale.admission.required = steering.required;
    event.sale.admission.rate_per_second = steering.rate_per_second;
    event.sale.admission.active_limit = steering.active_limit;
    event
}

/// Puts a changed event in place: its rules, if they change, then what the catalogue says.
async fn put(
    app: &App,
    catalogue: &dyn Catalogue,
    [before, after]: [&Event; 2],
    plan: &Arc<Plan>,
    by: BuyerId,
) -> Result<(), Problem> {
    let rules_change = before.sale != after.sale || before.plan != after.plan;
    let times_change = (before.hall, before.starts_at, before.ends_at) != (after.hall, after.starts_at, after.ends_at);
    if (rules_change || times_change) && app.clock.now() >= before.sale.sale_starts_at {
        return Err(sales::refused(Refusal::Rejected(Rejection::SaleStarted)));
    }
    // Also when only times change that are no rules: a postponement of before says otherwise.
    let rules_change = rules_change || times_change;
    if rules_change {
        let sale = sales::of(app, after.id).await?;
        let (config, seen) = (Box::new(after.sale.clone()), Arc::clone(&before.sale.blocked));
        let command = Command::Reconfigure { config, plan: Arc::clone(plan), seen, by };
        sale.ask(command, app.clock.now() + TIMEOUT).await.map_err(sales::refused)?;
    }
    let updated = catalogue.update_event(after).await;
    app.readers.cache.changed(Described::Event(after.id)).await;
    match updated {
        Ok(true) => Ok(()),
        Ok(false) => Err(Problem::not_found()),
        // The rules have changed already, so "not done" would be wrong.
        Err(error) if rules_change => Err(Problem::deadline_exceeded().because(error)),
        Err(error) => Err(error.into()),
    }
}

async fn delete(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (id, by, app) = (EventId(request.path_id("id")?), ctx.buyer()?, Arc::clone(&ctx.app));
    ctx.to_the_end(async move {
        let _changes = app.event_changes.lock().await;
        app.catalogue.event(id).await?.ok_or_else(Problem::not_found)?;
        // An event without a sale, or with one that was retired when the catalogue did not answer, has none to retire.
        if let Ok(sale) = sales::of(&app, id).await {
            sale.ask(Command::Retire { by }, app.clock.now() + TIMEOUT).await.map_err(sales::refused)?;
        }
        let deleted = app.catalogue.delete_event(id).await;
        app.readers.cache.changed(Described::Event(id)).await;
        if deleted? { Ok(()) } else { Err(Problem::not_found()) }
    })
    .await?;
    Ok(response::no_content())
}

/// Cancels the sale of an event, for good, and notes it in the catalogue. Again is no mistake.
///
/// # Errors
/// 404; the sale's and the catalogue's own refusals.
pub async fn cancel_event(ctx: &Context, id: EventId) -> Result<Response, Problem> {
    let (by, app) = (ctx.buyer()?, Arc::clone(&ctx.app));
    ctx.to_the_end(async move {
        let _changes = app.event_changes.lock().await;
        let mut event = app.catalogue.event(id).await?.ok_or_else(Problem::not_found)?;
        let sale = sales::of(&app, id).await?;
        sale.ask(Command::CancelSale { by }, app.clock.now() + TIMEOUT).await.map_err(sales::refused)?;
        event.cancelled = true;
        let updated = app.catalogue.update_event(&event).await;
        app.readers.cache.changed(Described::Event(id)).await;
        // The sale is cancelled already; asking again notes it.
        updated.map(drop).map_err(|error| Problem::deadline_exceeded().because(error))
    })
    .await?;
    let (event, live) = find(ctx, id).await?;
    response::ok(&EventJson::new(&event, &live, ctx.now()))
}
