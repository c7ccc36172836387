//! The HTTP front end on hyper 1. Knows the application only as what handlers work on; must never hold state of the domain.
//!
//! # The way of a request
//!
//! ```text
//! socket
//!   │ listener/      accepted and counted, for the port and its address; then a worker's thread keeps it
//!   ▼
//!   │ connection/    HTTP/1 or HTTP/2 by the first bytes; deadlines of heads and of unread answers
//!   ▼                   rewrite_errors: what hyper refuses to parse is answered with a problem, too
//!   │ pipeline/      request_id → checks (router: which route; stage, bearer, role, rate limit)
//!   │                   → handling (deadline, panics) ──┐
//!   ▼                                                   ▼
//!   │                                        handler ( context: application, caller, deadline
//!   │                                                  extract/: path, query, body, every mistake )
//!   │                                                   │
//!   │                      Ok: answer/ ◀────────────────┤
//!   │                     Err: problem ◀────────────────┘
//!   │                → compression → finish → access_log, metrics
//!   ▼
//! socket             yield_before_write: sent after the other connections that are ready
//! ```
//!
//! Imports follow the picture downwards; what lies below both sides of a step (a body, a problem) imports neither.
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
//! sale refuses becomes a problem in `sales`. Answers are made with [`response`], streams with [`event_stream::events`]. A
//! `POST` that creates something in the catalogue or the accounts goes through [`crate::idempotency`]; keys of calls
//! that a sale answers are sent with the command as `ctx.request_key(…)`.

mod access_log;
mod answer;
pub mod compression;
mod connection;
mod context;
mod extract;
mod listener;
mod pipeline;
mod problem;
mod router;

pub(crate) use access_log::Budget;
pub use answer::body::{Body, Broken, Response};
pub(crate) use answer::json_text::member;
pub use answer::json_text::{Name, ObjectText};
pub use answer::open_streams::{End, OpenStreams};
pub use answer::pieces::{Piece, pieces};
pub use answer::{event_stream, response};
pub use connection::deadline_io::Socket;
pub use context::Context;
pub use extract::mistakes::Mistakes;
pub use extract::object::{Object, read_id};
pub use extract::query::Query;
pub use extract::request::{Json, Request, read_json};
pub use listener::workers::Workers;
pub use listener::{Limits, Listener};
pub use pipeline::deferred_limit::Stored;
pub use pipeline::stage::Stage;
pub use pipeline::{Pipeline, Tuning};
pub use problem::{FieldMistake, Problem};
pub use router::{AUTH_BODY_LIMIT, Access, BODY_LIMIT, HALL_BODY_LIMIT, Route, RouteConflict, Router};
