//! The pipeline around every handler: request id, route, bearer, role, deadline, panics, problems, compression, access
//! log, metrics. The one place where a `Result` becomes a response.

use super::access_log::{AccessLog, Line, Refusal};
use super::handling::{Handling, Watch, Work};
use crate::app::App;
use crate::auth::Caller;
use crate::http::context::Context;
use crate::http::counting::Counting;
use crate::http::problem::Problem;
use crate::http::request::{self, Request, Source, Spans};
use crate::http::request_id::{Identity, X_REQUEST_ID};
use crate::http::response::{Body, Response};
use crate::http::router::{Access, Route, Router};
use crate::http::{gzip, response};
use crate::limits::{self, Due, Who};
use crate::metrics::HttpMetrics;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::Clock;
use onsale_engine::ports::accounts::Role;
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bytes of all headers together at the most.
pub(super) const HEADERS_LIMIT: usize = 16 * 1024;

/// The readiness check, which says no before anything else does.
const READY: &str = "/health/ready";

/// How far the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The engine is recovering; nothing but the liveness check is answered.
    Starting,
    /// Everything is answered.
    Serving,
    /// The same, but the readiness check says no: load balancers shall go elsewhere.
    Leaving,
    /// No new connections; what is open is being finished.
    Draining,
}

/// The front end: routes, the application once it is there, and what surrounds every request.
pub struct Front {
    router: Router,
    app: OnceLock<Arc<App>>,
    clock: Arc<dyn Clock>,
    request_timeout_millis: AtomicU64,
    leaving: AtomicBool,
    draining: CancellationToken,
    metrics: Arc<HttpMetrics>,
    access: AccessLog,
}

/// What of a front end may change while it serves.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// How long a request may take before it is answered 504.
    pub request_timeout: Duration,
    /// Of how many buyers one has all requests logged; 0 is none.
    pub log_one_in: u32,
    /// From when on an answer is slow and is logged, for a route that takes no longer than others; 0 is never.
    pub slow: Duration,
}

impl Front {
    /// A front end that answers 503 until [`Front::open`].
    #[must_use]
    pub fn new(router: Router, clock: Arc<dyn Clock>, tuning: Tuning, draining: CancellationToken) -> Self {
        let front = Self {
            metrics: Arc::new(HttpMetrics::new(&router)),
            router,
            app: OnceLock::new(),
            clock,
            request_timeout_millis: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            draining,
            access: AccessLog::new(),
        };
        front.tune(tuning);
        front
    }

    /// In force for every request that comes from now on.
    pub fn tune(&self, Tuning { request_timeout, log_one_in, slow }: Tuning) {
        let millis = u64::try_from(request_timeout.as_millis()).unwrap_or(u64::MAX);
        self.request_timeout_millis.store(millis, Ordering::Relaxed);
        self.access.tune(log_one_in, slow);
    }

    /// From now on the readiness check says no, while everything is still answered.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// From now on requests are handled. Once only; a second application is ignored.
    pub fn open(&self, app: Arc<App>) {
        let _ = self.app.set(app);
    }

    /// How far the server is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if self.draining.is_cancelled() {
            Stage::Draining
        } else if self.app.get().is_none() {
            Stage::Starting
        } else if self.leaving.load(Ordering::Relaxed) {
            Stage::Leaving
        } else {
            Stage::Serving
        }
    }

    /// The counters of requests.
    #[must_use]
    pub fn metrics(&self) -> &Arc<HttpMetrics> {
        &self.metrics
    }

    pub(super) fn now(&self) -> onsale_engine::time::Timestamp {
        self.clock.now()
    }

    /// Answers one request, which came from `peer`; never fails.
    pub(super) async fn answer(&self, request: http::Request<Incoming>, peer: IpAddr, watch: Watch<'_>) -> Response {
        let started = Instant::now();
        let Identity { header: id, origin } = Identity::of(request.headers());
        let (is_head, is_h2) = (request.method() == Method::HEAD, request.version() == Version::HTTP_2);
        let takes_gzip = gzip::accepted(request.headers());

        let (mut scope, mut buyer) = (Scope { origin, event: None }, None);
        let (number, begun) = scope.run(|| self.begin(request, peer, &mut buyer));
        let outcome = match begun {
            Begun::Work(work, patience) => {
                let span = self.span(number, &scope);
                let handled = Handling { work, scope, span, deadline: started + patience, watch }.await;
                scope = handled.1;
                handled.0
            }
            Begun::Answered(outcome) => outcome,
        };
        let (mut response, refusal) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => {
                let refusal = Refusal::of(&problem);
                (problem.into_response(id.to_str().unwrap_or(""), self.clock.now()), Some(refusal))
            }
        };
        let refused = refusal.is_some();
        if gzip::concerns(&response) {
            response = Box::pin(gzip::apply(takes_gzip, response)).await;
        }
        if is_head {
            without_body(&mut response);
        }
        if is_h2 {
            response.headers_mut().remove(header::CONNECTION);
        }
        let elapsed = started.elapsed();
        self.metrics.count(number, response.status(), refusal.as_ref().map(Refusal::code), elapsed);
        self.access.log(&Line {
            route: number.map(|number| self.router.route(number)),
            status: response.status(),
            refusal,
            buyer,
            scope: &scope,
            elapsed,
            clock: &*self.clock,
        });
        let is_personal = number.is_some_and(|number| self.router.route(number).is_personal());
        protect(&mut response, is_personal || refused);
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }

    /// What a handler's lines are within, where somebody asks for such lines: else it costs a look at the level.
    fn span(&self, number: Option<usize>, scope: &Scope) -> tracing::Span {
        let route = number.map(|number| self.router.route(number));
        let (method, path) = route.map_or(("", ""), |route| (route.method.as_str(), route.path));
        let origin = &scope.origin;
        tracing::debug_span!(
            "request",
            method,
            path,
            request_id = origin.request.as_ref().map(tracing::field::display),
            trace_id = origin.trace.map(|trace| tracing::field::display(trace.trace)),
        )
    }

    /// Everything that comes before a handler; what is not refused or answered by then is work.
    fn begin(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        buyer: &mut Option<BuyerId>,
    ) -> (Option<usize>, Begun) {
        let found = self.router.find(request.method(), request.uri().path());
        let number = found.as_ref().ok().map(|(number, _)| *number);
        let begun = match check_headers(request.headers()).and(found) {
            Err(problem) => Begun::Answered(Err(problem)),
            Ok((number, spans)) => {
                let route = self.router.route(number);
                match self.app.get() {
                    None => Begun::Answered(self.before_open(route)),
                    Some(app) => match self.order(app, route, request, (spans, peer), buyer) {
                        Ok((work, patience)) => Begun::Work(work, patience),
                        Err(problem) => Begun::Answered(Err(problem)),
                    },
                }
            }
        };
        (number, begun)
    }

    /// Checks who calls, counts the call, and makes the handler's work of it.
    fn order(
        &self,
        app: &Arc<App>,
        route: &Route,
        request: http::Request<Incoming>,
        (spans, peer): (Spans, IpAddr),
        buyer: &mut Option<BuyerId>,
    ) -> Result<(Work, Duration), Problem> {
        let now = self.clock.now();
        let client = limits::address(peer, request.headers(), app.limits.forwarded_hops());
        let caller = match route.access {
            Access::Public => None,
            Access::Bearer | Access::Admin => Some(caller(app, route, request.headers(), client, now)?),
        };
        *buyer = caller.as_ref().map(|caller| caller.buyer);
        if route.path == READY && self.stage() == Stage::Leaving {
            return Err(Problem::unavailable("DRAINING", "the server is about to stop", 5));
        }
        let (head, body) = request.into_parts();
        // Nobody reads the body of a DELETE, so one that says something would be done as if it said nothing.
        let (source, unwanted) = match head.method {
            Method::DELETE if !body.is_end_stream() => (Source::Here(Bytes::new()), Some(body)),
            _ => (Source::Wire(body), None),
        };
        let request = Request::new(head, source, route.names, spans, route.body_limit);
        let has_key = route.keyed && request.idempotency_key()?.is_some();
        let due = route.family.map(|family| {
            let buyer = caller.as_ref().filter(|_| !family.is_by_address()).map(|caller| caller.buyer.0.as_u128());
            Due { family, who: buyer.unwrap_or(client) }
        });
        let patience = Duration::from_millis(self.request_timeout_millis.load(Ordering::Relaxed)) + route.extra_time;
        let mut context = Context {
            app: Arc::clone(app),
            deadline: now + patience,
            caller,
            client,
            counting: None,
            route: route.path,
        };
        let handled = |context: Context, request: Request| match unwanted {
            None => (route.handler)(context, request),
            Some(body) => without_content(body, (route.handler)(context, request)),
        };
        let work = match due {
            None => handled(context, request),
            // A stored answer comes before any limit, so the handler has to look for it.
            Some(due) if has_key => {
                let (counting, everywhere) = Counting::begin(&app.limits, due);
                let counting = Arc::new(counting);
                context.counting = Some(Arc::clone(&counting));
                counted_with_key(Arc::clone(app), handled(context, request), counting, everywhere)
            }
            Some(due) if app.limits.spend_here(due)? => {
                let (app, work) = (Arc::clone(app), handled(context, request));
                Box::pin(async move {
                    app.limits.spend_everywhere(due).await?;
                    work.await
                })
            }
            Some(_) => handled(context, request),
        };
        Ok((work, patience))
    }

    /// What is answered while the engine recovers.
    fn before_open(&self, route: &Route) -> Result<Response, Problem> {
        match route.path {
            "/health/live" => response::ok(&serde_json::json!({ "status": "UP" })),
            READY => Err(Problem::unavailable("STARTING", "the server is starting", 1)),
            _ => Err(Problem::unavailable("OVERLOADED", "the server is starting; nothing was done", 1)),
        }
    }
}

/// The work of a request with an idempotency key. Whatever it comes to without having looked the key up, a request beyond the limit
/// is refused: it has no stored answer.
fn counted_with_key(app: Arc<App>, work: Work, counting: Arc<Counting>, everywhere: bool) -> Work {
    Box::pin(async move {
        if everywhere {
            counting.count_everywhere(&app.limits).await;
        }
        let outcome = work.await;
        counting.refusal().map_or(outcome, Err)
    })
}

/// The work of a request that must not have a body, if it turns out to have none.
fn without_content(body: Incoming, work: Work) -> Work {
    Box::pin(async move {
        request::refuse_content(body).await?;
        work.await
    })
}

/// Who calls a route that not everybody may call.
fn caller(app: &App, route: &Route, headers: &HeaderMap, client: Who, now: Timestamp) -> Result<Caller, Problem> {
    let name = || app.seals.client_name(client);
    let caller = app.tokens.caller(headers, now);
    let caller = caller.inspect_err(|fault| app.security.token_refused(name, *fault, route.path, now))?;
    if route.access == Access::Admin && caller.role != Role::Admin {
        app.security.role_refused(name, caller.buyer, route.path, now);
        return Err(Problem::forbidden());
    }
    Ok(caller)
}

/// How far a request is when its handler would begin.
enum Begun {
    /// The handler's work, and how long it may take.
    Work(Work, Duration),
    /// Refused or answered without it.
    Answered(Result<Response, Problem>),
}

/// HTTP/1 connections stop reading at the limit by themselves; HTTP/2 ones bound single frames only.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes <= HEADERS_LIMIT { Ok(()) } else { Err(headers_too_large()) }
}

pub(super) fn headers_too_large() -> Problem {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Problem::new(status, "HEADERS_TOO_LARGE", "all headers together may have at most 16 KiB").close()
}

/// What keeps browsers and caches from doing with an answer what they should not: nothing is taken for another kind of content than
/// it is said to be, and what is personal, or a problem, is kept by nobody.
fn protect(response: &mut Response, is_secret: bool) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_secret {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// `HEAD`: the headers of the answer to `GET`, its length too.
fn without_body(response: &mut Response) {
    let length = match response.body() {
        Body::Full(bytes) => bytes.as_ref().map_or(0, bytes::Bytes::len),
        Body::Stream(_) | Body::Watched(_) => 0,
    };
    if length > 0 {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}
