//! Venues over HTTP.

use crate::catalogue::audited::{Author, members_of};
use crate::catalogue::zones::{self, Order};
use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, response};
use crate::idempotency::{Created, idempotent};
use crate::reservations::PageJson;
use crate::time::{rfc3339, zone};
use onsale_engine::limits::MAX_MESSAGE_BYTES;
use onsale_engine::ports::catalogue::{CatalogueError, Venue};
use onsale_engine::ports::shared::Described;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/venues", list).public(),
        Route::post("/api/v1/venues", create).admin().keyed(),
        Route::get("/api/v1/venues/{id}", read).public(),
        Route::patch("/api/v1/venues/{id}", change).admin(),
        Route::delete("/api/v1/venues/{id}", delete).admin(),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VenueJson<'a> {
    id: String,
    name: &'a str,
    address: &'a str,
    city: &'a str,
    time_zone: &'a str,
    created_at: String,
}

impl<'a> From<&'a Venue> for VenueJson<'a> {
    fn from(venue: &'a Venue) -> Self {
        Self {
            id: venue.id.to_string(),
            name: &venue.name,
            address: &venue.address,
            city: &venue.city,
            time_zone: &venue.time_zone,
            created_at: rfc3339(venue.created_at),
        }
    }
}

/// What can be said of a venue; `None` is left as it is.
#[derive(Debug, Default, PartialEq)]
struct VenueForm<'a> {
    name: Option<&'a str>,
    address: Option<&'a str>,
    city: Option<&'a str>,
    time_zone: Option<String>,
    /// Why a change of zone is forced.
    reason: Option<&'a str>,
}

impl<'a> VenueForm<'a> {
    /// For a new venue: all but the time zone is required.
    fn whole(body: &Object<'a>, mistakes: &mut Mistakes) -> Self {
        Self {
            name: body.text(mistakes, "name", 1..=200),
            address: body.text(mistakes, "address", 1..=500),
            city: body.text(mistakes, "city", 1..=100),
            time_zone: Self::zone(body, mistakes),
            reason: None,
        }
    }

    /// For a change: nothing is required, but what is there must be good, so `null` is a mistake.
    fn part(body: &Object<'a>, mistakes: &mut Mistakes) -> Self {
        for member in ["name", "address", "city", "timeZone"] {
            if body.has(member) && body.value(member).is_none() {
                mistakes.add(body.at(member), "a venue always has one");
            }
        }
        Self {
            name: body.optional_text(mistakes, "name", 1..=200),
            address: body.optional_text(mistakes, "address", 1..=500),
            city: body.optional_text(mistakes, "city", 1..=100),
            time_zone: Self::zone(body, mistakes),
            reason: body.optional_text(mistakes, "reason", 1..=MAX_MESSAGE_BYTES),
        }
    }

    /// As the zone's own name is spelt, whatever case it is asked for in.
    fn zone(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<String> {
        let name = body.optional_text(mistakes, "timeZone", 1..=100)?;
        let zone = zone(name);
        if zone.is_none() {
            mistakes.add(body.at("timeZone"), "an IANA time zone, such as Asia/Seoul");
        }
        zone?.iana_name().map(str::to_owned)
    }
}

async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let page = request.query().page(&mut mistakes);
    mistakes.check()?;
    let listed = ctx.app.catalogue.venues(page).await?;
    let items = listed.items.iter().map(VenueJson::from).collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    let venue = ctx.app.readers.cache.venue(request.path_id("id")?).await?.ok_or_else(Problem::not_found)?;
    response::ok(&VenueJson::from(&*venue))
}

async fn create(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let form = VenueForm::whole(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    mistakes.check()?;
    let VenueForm { name: Some(name), address: Some(address), city: Some(city), time_zone, .. } = form else {
        return Err(mistakes.refuse());
    };
    let venue = Venue {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        address: address.to_owned(),
        city: city.to_owned(),
        time_zone: time_zone.unwrap_or_else(|| ctx.app.catalogue_rules.time_zone.clone()),
        created_at: ctx.now(),
    };
    let key = ctx.request_key(&request, &json.bytes)?;
    idempotent(ctx, key, move |ctx| async move {
        let answer = Created::new(Some(format!("/api/v1/venues/{}", venue.id)), &VenueJson::from(&venue))?;
        let made = members_of(&VenueJson::from(&venue));
        let thing = Described::Venue(venue.id);
        let catalogue = Author::of(&ctx)?.audited(&ctx.app, thing, "VENUE_MADE", [&Value::Null, &made]);
        catalogue.create_venue(&venue, answer.stored(key, ctx.now()).as_ref()).await?;
        Ok(answer)
    })
    .await
}

async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::strict_root(&json.value, &mut mistakes);
    let form = VenueForm::part(&body, &mut mistakes);
    body.refuse_unknown(&json.value, &mut mistakes);
    let query = request.query();
    let force = query.boolean(&mut mistakes, "force").unwrap_or(false);
    query.refuse_unknown(&mut mistakes, &["force", "reason"]);
    // In the body, or beside `force`.
    let beside = query.text(&mut mistakes, "reason", 1..=MAX_MESSAGE_BYTES);
    let reason = form.reason.or(beside);
    if reason.is_some_and(|reason| reason.len() > MAX_MESSAGE_BYTES) {
        mistakes.add("reason", format!("at most {MAX_MESSAGE_BYTES} bytes"));
    } else if force && reason.is_none() && mistakes.is_empty() {
        mistakes.add("reason", "required with force");
    }
    mistakes.check()?;
    let before = ctx.app.catalogue.venue(request.path_id("id")?).await?.ok_or_else(Problem::not_found)?;
    let put = |new: Option<&str>, old: &str| new.unwrap_or(old).to_owned();
    let venue = Venue {
        id: before.id,
        name: put(form.name, &before.name),
        address: put(form.address, &before.address),
        city: put(form.city, &before.city),
        time_zone: put(form.time_zone.as_deref(), &before.time_zone),
        created_at: before.created_at,
    };
    // Also where the zone is the venue's own already: what an earlier call has left undone is done by the same one.
    let concerns_events = form.time_zone.is_some();
    if concerns_events && !force {
        zones::check(&ctx.app, &venue).await?;
    }
    let mut members = [&before, &venue].map(|venue| members_of(&VenueJson::from(venue)));
    let order = Order { by: ctx.buyer()?, force: force && concerns_events, reason: reason.map(str::to_owned) };
    if order.force {
        members[1][zones::FORCE] = true.into();
        members[1][zones::REASON] = order.reason.as_deref().into();
    }
    let (app, thing) = (Arc::clone(&ctx.app), Described::Venue(venue.id));
    let catalogue = Author::of(&ctx)?.audited(&app, thing, "VENUE_CHANGED", members.each_ref());
    let venue = ctx
        .to_the_end(async move {
            let changes = app.event_changes.lock().await;
            let updated = catalogue.update_venue(&venue).await;
            app.readers.cache.changed(Described::Venue(venue.id)).await;
            if !updated? {
                return Err(Problem::not_found());
            }
            // An event that is made from here on reads the new zone.
            drop(changes);
            if concerns_events {
                zones::follow(&app, &venue, &order).await?;
            }
            Ok(venue)
        })
        .await?;
    response::ok(&VenueJson::from(&venue))
}

async fn delete(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (id, app) = (request.path_id("id")?, Arc::clone(&ctx.app));
    let venue = app.catalogue.venue(id).await?.ok_or_else(Problem::not_found)?;
    let gone = members_of(&VenueJson::from(&venue));
    let catalogue = Author::of(&ctx)?.audited(&app, Described::Venue(id), "VENUE_DELETED", [&gone, &Value::Null]);
    let deleted = ctx.to_the_end(async move {
        let deleted = catalogue.delete_venue(id).await;
        app.readers.cache.changed(Described::Venue(id)).await;
        Ok(deleted)
    });
    match deleted.await? {
        Ok(true) => Ok(response::no_content()),
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(in_use(error, "VENUE_HAS_HALLS", "the venue has halls; delete them first")),
    }
}

/// Why something of the catalogue was not deleted.
pub(super) fn in_use(error: CatalogueError, code: &'static str, detail: &'static str) -> Problem {
    match error {
        CatalogueError::InUse(_) => Problem::conflict(code, detail),
        CatalogueError::Store(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mistakes_of(body: &Value, whole: bool) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let root = Object::root(body, &mut mistakes);
        let read = if whole { VenueForm::whole } else { VenueForm::part };
        read(&root, &mut mistakes);
        mistakes.refuse().mistakes().iter().map(|mistake| mistake.field.clone()).collect()
    }

    #[test]
    fn a_venue_needs_its_members_and_a_zone_that_exists() {
        let good = json!({ "name": "Hall", "address": "1 Road", "city": "Seoul" });
        assert_eq!(mistakes_of(&good, true), [""; 0]);
        assert_eq!(mistakes_of(&json!({ "timeZone": "Mars/Olympus" }), true), ["name", "address", "city", "timeZone"]);
        assert_eq!(mistakes_of(&json!({ "timeZone": "Europe/Vienna" }), false), [""; 0]);
        assert_eq!(mistakes_of(&json!({ "city": null, "name": "" }), false), ["city", "name"]);
    }
}
