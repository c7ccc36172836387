//! The HTTP front end on hyper 1: listener, router, the pipeline around handlers, problems, and the readers of
//! requests. Knows the application only as what handlers work on; must never hold state of the domain.
//!
//! # How to write a route
//! A family of routes is one file with a `routes()` and its handlers:
//!
//! ```text
//! pub fn routes() -> Vec<Route> {
//!     vec![
//!         Route::get("/api/v1/venues/{id}", venue).public(),
//!         Route::post("/api/v1/venues", create).admin().keyed(),
//!     ]
//! }
//!
//! async fn create(ctx: Context, mut request: Request) -> Result<Response, Problem> {
//!     let json = request.json().await?;                       // 415, 413, MALFORMED_JSON
//!     let mut mistakes = Mistakes::default();
//!     let body = Object::root(&json.value, &mut mistakes);
//!     let name = body.text(&mut mistakes, "name", 1..=200);
//!     let zone = body.optional_text(&mut mistakes, "timeZone", 1..=100).unwrap_or("Asia/Seoul");
//!     mistakes.check()?;                                      // VALIDATION_FAILED, all of them
//!     let Some(name) = name else { return Err(mistakes.refuse()) };
//!     let id = request.path_id("id")?;                        // malformed: 404, after the body's mistakes
//!     response::created("/api/v1/venues/…".into(), &venue)
//! }
//! ```
//!
//! Bearer and role are checked before the handler runs; `ctx.buyer()?` is who calls. The rest of the order (body,
//! existence, queue token, state) is the handler's. A handler may be dropped at any `.await` (the caller went away, or
//! the deadline passed and 504 was sent), so more than one write goes through `ctx.to_the_end(…)`. What a
//! sale refuses becomes a problem in `sales`. Answers are made with [`response`], streams with [`stream::events`]. A
//! `POST` that creates something in the catalogue or the accounts goes through [`crate::idempotency`]; keys of calls
//! that a sale answers go along with the command as `ctx.request_key(…)`.

mod access_log;
mod activity;
mod addresses;
mod alarm;
mod asked;
mod context;
mod counting;
mod fields;
mod frames;
mod front;
mod guarded;
pub mod gzip;
mod handling;
mod in_turn;
mod json_text;
mod listener;
mod mended;
mod pieces;
mod problem;
mod query;
mod request;
mod request_id;
pub mod response;
mod router;
mod seldom;
pub mod stream;
mod streams;
mod workers;

pub(crate) use access_log::Budget;
pub use context::Context;
pub use counting::Stored;
pub use fields::{Mistakes, Object, read_id};
pub use front::{Front, Stage, Tuning};
pub use guarded::Socket;
pub(crate) use json_text::member;
pub use json_text::{Name, ObjectText};
pub use listener::{Limits, Listener};
pub use pieces::{Piece, pieces};
pub use problem::{FieldMistake, Problem};
pub use query::Query;
pub use request::{Json, Request, read_json};
pub use response::{Body, Broken, Response};
pub use router::{AUTH_BODY_LIMIT, Access, BODY_LIMIT, HALL_BODY_LIMIT, Route, RouteConflict, Router};
pub use streams::{End, Streams};
pub use workers::Workers;
