//! Reading events over HTTP: lists, one whole event, and its seat map.

use crate::catalogue::event_view::{EventItemJson, EventJson, Live, STATUS_WORDS};
use crate::catalogue::seat_map;
use crate::http::{Context, Mistakes, Problem, Query, Request, Response, Route, response};
use crate::reservations::PageJson;
use crate::sales;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use onsale_engine::id::EventId;
use onsale_engine::ports::catalogue::{Event, EventOrder, EventQuery, ListedEvent};
use onsale_engine::time::Timestamp;
use std::sync::Arc;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/events", list).public(),
        Route::get("/api/v1/events/{id}", read).public(),
        Route::get("/api/v1/events/{id}/seats", seats).public(),
    ]
}

/// `sort`, as it may be asked for.
const SORTS: [(&str, (EventOrder, bool)); 6] = [
    ("startsAt", (EventOrder::StartsAt, false)),
    ("-startsAt", (EventOrder::StartsAt, true)),
    ("createdAt", (EventOrder::CreatedAt, false)),
    ("-createdAt", (EventOrder::CreatedAt, true)),
    ("title", (EventOrder::Title, false)),
    ("-title", (EventOrder::Title, true)),
];

fn asked_for(query: &Query<'_>, now: Timestamp, mistakes: &mut Mistakes) -> EventQuery {
    let (order, descending) = query.one_of(mistakes, "sort", &SORTS).unwrap_or((EventOrder::CreatedAt, true));
    EventQuery {
        status: query.one_of(mistakes, "status", &STATUS_WORDS),
        text: query.text(mistakes, "q", 1..=200).map(str::to_owned),
        from: query.time(mistakes, "from"),
        to: query.time(mistakes, "to"),
        venue: query.id(mistakes, "venueId"),
        order,
        descending,
        page: query.page(mistakes),
        now,
    }
}

async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (now, mut mistakes) = (ctx.now(), Mistakes::default());
    let query = asked_for(&request.query(), now, &mut mistakes);
    mistakes.check()?;
    let page = query.page;
    let listed = ctx.app.readers.cache.event_page(query).await?;
    let live = |event: &ListedEvent| Live::status_of(&sales::authoritative(&ctx.app, event.id)?, now);
    let items = listed.items.iter().map(|event| EventItemJson::new(event, live(event), now)).collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

/// The descriptive and the live part of an event.
///
/// # Errors
/// 404; 503 when the event is in the catalogue and its sale is not served.
pub(super) async fn find(ctx: &Context, id: EventId) -> Result<(Arc<Event>, Live), Problem> {
    let event = ctx.app.readers.cache.event(id).await?.ok_or_else(Problem::not_found)?;
    let live = Live::found(&sales::known(&ctx.app, id).await?);
    Ok((event, live.ok_or_else(Problem::storage_unavailable)?))
}

async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (event, live) = find(&ctx, EventId(request.path_id("id")?)).await?;
    response::ok(&EventJson::new(&event, &live, ctx.now()))
}

async fn seats(ctx: Context, request: Request) -> Result<Response, Problem> {
    let id = EventId(request.path_id("id")?);
    let terms = sales::terms_of(&ctx.app, id).await?;
    let tag = seat_map::etag(id, &terms.plan, &terms.prices);
    if is_known(request.headers(), &tag) {
        return Ok(tagged(response::empty(StatusCode::NOT_MODIFIED), &tag));
    }
    let map = ctx.app.readers.seat_maps.of(id, &terms.plan, &terms.prices).await;
    let map = map.map_err(|error| Problem::internal().because(error))?;
    Ok(tagged(response::json_in_two_forms(request.headers(), &map.plain, &map.gzip), &tag))
}

/// What both a whole answer and a 304 carry (RFC 9110, 15.4.5).
fn tagged(mut response: Response, tag: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("")));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // Prices may change until the sale opens, so caches ask again, which costs a 304.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    response
}

/// Whether the caller has this very thing, by weak comparison (RFC 9110, 13.1.2).
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let lines = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;

    #[test]
    fn a_known_tag_is_found_among_many() {
        let check = |line: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, line.parse().unwrap());
            assert_eq!(is_known(&headers, "W/\"abc\""), expected, "{line}");
        };
        check("W/\"abc\"", true);
        check("\"abc\"", true);
        check("\"x\", W/\"abc\"", true);
        check("*", true);
        check("W/\"abcd\"", false);
        assert!(!is_known(&HeaderMap::new(), "W/\"abc\""));
    }

    #[test]
    fn a_list_is_newest_first_unless_it_is_sorted() {
        let read = |text: &'static str| {
            let mut mistakes = Mistakes::default();
            let query = asked_for(&Query::parse(text), Timestamp(7), &mut mistakes);
            let fields: Vec<String> = mistakes.refuse().mistakes().iter().map(|m| m.field.clone()).collect();
            (query, fields)
        };
        let (plain, mistakes) = read("");
        assert_eq!((plain.order, plain.descending, plain.status), (EventOrder::CreatedAt, true, None));
        assert!(mistakes.is_empty());
        let (sorted, _) = read("sort=-title&status=SOLD_OUT");
        assert_eq!((sorted.order, sorted.descending), (EventOrder::Title, true));
        assert_eq!(sorted.status, Some(onsale_engine::ports::catalogue::EventStatus::SoldOut));
        let (_, mistakes) = read("sort=price&status=GONE&from=noon&to=x&venueId=1&size=101");
        assert_eq!(mistakes, ["sort", "status", "from", "to", "venueId", "size"]);
    }
}
