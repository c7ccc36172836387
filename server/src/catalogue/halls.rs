//! Halls over HTTP: created from a template or from a drawn seating plan, which never changes afterwards.

use crate::catalogue::audited::{Author, members_of};
use crate::catalogue::columns::StageJson;
use crate::catalogue::preview::preview;
use crate::catalogue::venues::in_use;
use crate::http::{Context, HALL_BODY_LIMIT, Json, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::idempotency::{Created, idempotent};
use crate::reservations::PageJson;
use crate::time::rfc3339;
use onsale_adapters::{FieldMistake, Imported, pretix, template};
use onsale_engine::plan::{Stage, StageSource};
use onsale_engine::ports::catalogue::{Hall, HallWarning};
use onsale_engine::ports::shared::Described;
use onsale_engine::trace::Scope;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/venues/{id}/halls", list).public(),
        Route::post("/api/v1/venues/{id}/halls", create).admin().keyed().body_limit(HALL_BODY_LIMIT).long_by_nature(),
        Route::get("/api/v1/venues/{id}/halls/{hallId}", read).public(),
        Route::patch("/api/v1/venues/{id}/halls/{hallId}", rename).admin(),
        Route::delete("/api/v1/venues/{id}/halls/{hallId}", delete).admin(),
        Route::get("/api/v1/halls/{hallId}", read).public(),
        Route::patch("/api/v1/halls/{hallId}", rename).admin(),
        Route::delete("/api/v1/halls/{hallId}", delete).admin(),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HallJson<'a> {
    id: String,
    venue_id: String,
    name: &'a str,
    capacity: u32,
    categories: &'a [String],
    stage: Option<StageJson>,
    warnings: Vec<WarningJson<'a>>,
    created_at: String,
}

/// Something that a hall's author may want to check.
#[derive(Serialize)]
pub(super) struct WarningJson<'a> {
    code: &'a str,
    message: &'a str,
    count: u32,
}

impl<'a> From<&'a HallWarning> for WarningJson<'a> {
    fn from(warning: &'a HallWarning) -> Self {
        Self { code: &warning.code, message: &warning.message, count: warning.count }
    }
}

impl<'a> From<&'a Hall> for HallJson<'a> {
    fn from(hall: &'a Hall) -> Self {
        Self {
            id: hall.id.to_string(),
            venue_id: hall.venue.to_string(),
            name: &hall.name,
            capacity: hall.capacity,
            categories: &hall.categories,
            stage: hall.stage.map(StageJson::from),
            warnings: hall.warnings.iter().map(WarningJson::from).collect(),
            created_at: rfc3339(hall.created_at),
        }
    }
}

/// The two ways to give a hall, as they stand in the body: large ones are read straight from its bytes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seating<'a> {
    #[serde(borrow)]
    seat_template: Option<&'a RawValue>,
    #[serde(borrow)]
    seating_plan: Option<&'a RawValue>,
}

async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let page = request.query().page(&mut mistakes);
    mistakes.check()?;
    let venue = request.path_id("id")?;
    ctx.app.catalogue.venue(venue).await?.ok_or_else(Problem::not_found)?;
    let listed = ctx.app.catalogue.halls(venue, page).await?;
    let items = listed.items.iter().map(HallJson::from).collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    let hall = ctx.app.readers.cache.hall(request.path_id("hallId")?).await?.ok_or_else(Problem::not_found)?;
    check_venue(&request, &hall)?;
    response::ok(&HallJson::from(&*hall))
}

/// The hall that the path names, by itself or in its venue.
async fn hall_of_path(ctx: &Context, request: &Request) -> Result<Hall, Problem> {
    let hall = ctx.app.catalogue.hall(request.path_id("hallId")?).await?.ok_or_else(Problem::not_found)?;
    check_venue(request, &hall)?;
    Ok(hall)
}

fn check_venue(request: &Request, hall: &Hall) -> Result<(), Problem> {
    let elsewhere = !request.param("id").is_empty() && request.path_id("id")? != hall.venue;
    if elsewhere { Err(Problem::not_found()) } else { Ok(()) }
}

async fn create(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let Json { value, bytes } = request.json().await?;
    let mut mistakes = Mistakes::default();
    let dry_run = request.query().boolean(&mut mistakes, "dryRun").unwrap_or(false);
    let body = Object::strict_root(&value, &mut mistakes);
    let name = body.text(&mut mistakes, "name", 1..=200).map(str::to_owned);
    let stage = stage(&body, &mut mistakes);
    // Its members are read from the bytes, below; a drawn plan has members of its own that are nobody's mistake.
    if let Some(template) = body.optional_object(&mut Mistakes::default(), "seatTemplate") {
        for member in ["rows", "seatsPerRow", "gradeMapping"] {
            let _ = template.has(member);
        }
    }
    let ways = [body.value("seatTemplate").is_some(), body.value("seatingPlan").is_some()];
    body.refuse_unknown(&value, &mut mistakes);
    let imported = match ways {
        [true, true] => {
            mistakes.add("seatingPlan", "either seatTemplate or seatingPlan");
            None
        }
        [false, false] => {
            mistakes.add("seatTemplate", "required, unless seatingPlan is given");
            None
        }
        [true, false] | [false, true] => {
            drop(body);
            let body = bytes.clone();
            let read = tokio::task::spawn_blocking(Scope::carry(move || plan_of(&body, stage))).await;
            read.map_err(|error| Problem::internal().because(error))?.map_err(|found| report(found, &mut mistakes)).ok()
        }
    };
    mistakes.check()?;
    let (Some(name), Some(imported)) = (name, imported) else { return Err(mistakes.refuse()) };

    let venue = request.path_id("id")?;
    if dry_run {
        ctx.app.catalogue.venue(venue).await?.ok_or_else(Problem::not_found)?;
        let made = tokio::task::spawn_blocking(Scope::carry(move || preview(&imported))).await;
        return made.map_err(|error| Problem::internal().because(error))?;
    }
    let Imported { plan, warnings, .. } = imported;
    let key = ctx.request_key(&request, &bytes)?;
    idempotent(ctx, key, move |ctx| async move {
        ctx.app.catalogue.venue(venue).await?.ok_or_else(Problem::not_found)?;
        let hall = Hall {
            id: Uuid::now_v7(),
            venue,
            name,
            plan: plan.hash(),
            capacity: u32::try_from(plan.capacity()).unwrap_or(u32::MAX),
            categories: plan.categories().iter().map(|category| category.name.clone()).collect(),
            stage: plan.stage(),
            warnings,
            created_at: ctx.now(),
        };
        let answer = Created::new(Some(format!("/api/v1/halls/{}", hall.id)), &HallJson::from(&hall))?;
        let made = members_of(&HallJson::from(&hall));
        let thing = Described::Hall(hall.id);
        let catalogue = Author::of(&ctx)?.audited(&ctx.app, thing, "HALL_MADE", [&Value::Null, &made]);
        catalogue.create_hall(&hall, &plan, answer.stored(key, ctx.now()).as_ref()).await?;
        Ok(answer)
    })
    .await
}

fn report(found: Vec<FieldMistake>, mistakes: &mut Mistakes) {
    for FieldMistake { field, message } in found {
        mistakes.add(field, message);
    }
}

/// Where the stage is, if the caller says so.
fn stage(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Stage> {
    let given = body.optional_object(mistakes, "stage")?;
    let mut place = |member: &str| {
        let number = given.value(member).and_then(Value::as_f64).map(|number| number as f32);
        let place = number.filter(|place| place.is_finite());
        if place.is_none() {
            mistakes.add(given.at(member), "a number");
        }
        place
    };
    let (x, y) = (place("x"), place("y"));
    Some(Stage { x: x?, y: y?, source: StageSource::Given })
}

/// Reads and compiles the hall of a body that has exactly one of the two.
fn plan_of(body: &[u8], stage: Option<Stage>) -> Result<Imported, Vec<FieldMistake>> {
    let seating: Seating<'_> = serde_json::from_slice(body)
        .map_err(|error| vec![FieldMistake { field: String::new(), message: error.to_string() }])?;
    if let Some(plan) = seating.seating_plan {
        return pretix::import_plan(plan.get().as_bytes(), stage);
    }
    let template = seating.seat_template.map_or("null", RawValue::get);
    template::import_plan(template.as_bytes(), stage)
}

async fn rename(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    if body.has("name") && body.value("name").is_none() {
        mistakes.add("name", "a hall always has one");
    }
    let name = body.optional_text(&mut mistakes, "name", 1..=200).map(str::to_owned);
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;
    let mut hall = hall_of_path(&ctx, &request).await?;
    if let Some(name) = name {
        let (id, to, app) = (hall.id, name.clone(), Arc::clone(&ctx.app));
        let members = [&hall.name, &name].map(|name| json!({ "name": name }));
        let catalogue = Author::of(&ctx)?.audited(&app, Described::Hall(id), "HALL_CHANGED", members.each_ref());
        let renamed = ctx.to_the_end(async move {
            let renamed = catalogue.rename_hall(id, &to).await;
            app.readers.cache.changed(Described::Hall(id)).await;
            Ok(renamed?)
        });
        if !renamed.await? {
            return Err(Problem::not_found());
        }
        hall.name = name;
    }
    response::ok(&HallJson::from(&hall))
}

async fn delete(ctx: Context, request: Request) -> Result<Response, Problem> {
    let hall = hall_of_path(&ctx, &request).await?;
    let app = Arc::clone(&ctx.app);
    let gone = members_of(&HallJson::from(&hall));
    let catalogue = Author::of(&ctx)?.audited(&app, Described::Hall(hall.id), "HALL_DELETED", [&gone, &Value::Null]);
    let deleted = ctx.to_the_end(async move {
        let deleted = catalogue.delete_hall(hall.id).await;
        app.readers.cache.changed(Described::Hall(hall.id)).await;
        Ok(deleted)
    });
    match deleted.await? {
        Ok(true) => Ok(response::no_content()),
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(in_use(error, "HALL_HAS_EVENTS", "the hall has events; delete them first")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;

    #[test]
    fn both_ways_to_give_a_hall_are_read() {
        let template =
            r#"{"name":"x","seatTemplate":{"rows":["A","B"],"seatsPerRow":3,"gradeMapping":{"A":"VIP","B":"S"}}}"#;
        let plan = plan_of(template.as_bytes(), None).unwrap().plan;
        assert_eq!((plan.capacity(), plan.seat("B-3").is_some()), (6, true));
        let drawn = r#"{"name":"x","seatingPlan":{"categories":[{"name":"VIP"}],"zones":[{"rows":[{"row_number":"A",
            "seats":[{"seat_guid":"g1","seat_number":"1","position":{"x":0,"y":0},"category":"VIP"}]}]}]}}"#;
        assert!(plan_of(drawn.as_bytes(), None).unwrap().plan.seat("g1").is_some());
    }

    #[test]
    fn every_mistake_of_a_drawn_plan_has_its_path() {
        let drawn = r#"{"seatingPlan":{"categories":[{"name":"VIP"}],"zones":[{"rows":[{"row_number":"A",
            "seats":[{"seat_guid":"g1","seat_number":"1","position":{"x":0,"y":0},"category":"GONE"}]}]}]}}"#;
        let fields: Vec<String> =
            plan_of(drawn.as_bytes(), None).unwrap_err().into_iter().map(|mistake| mistake.field).collect();
        assert_eq!(fields, ["zones[0].rows[0].seats[0].category"]);
    }
}
