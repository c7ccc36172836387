//! The pipeline around every handler: request id, route, bearer, role, deadline, panics, problems, compression, access
//! log, metrics. The one place where a `Result` becomes a response.

use crate::app::App;
use crate::http::context::Context;
use crate::http::problem::Problem;
use crate::http::request::{Request, Source};
use crate::http::request_id::{self, X_REQUEST_ID};
use crate::http::response::{Body, Response};
use crate::http::router::{Access, Route, Router};
use crate::http::{gzip, response};
use crate::limits::{self, Due};
use crate::metrics::HttpMetrics;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use hyper::body::Incoming;
use onsale_engine::ports::Clock;
use onsale_engine::ports::accounts::Role;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bytes of all headers together at the most.
pub(super) const HEADERS_LIMIT: usize = 16 * 1024;
/// Failed requests logged in any one second; more are only counted.
const LOGGED_FAILURES_PER_SECOND: u32 = 100;

/// How far the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The engine is recovering; nothing but the liveness check is answered.
    Starting,
    /// Everything is answered.
    Serving,
    /// No new connections; what is open is being finished.
    Draining,
}

/// The front end: routes, the application once it is there, and what surrounds every request.
pub struct Front {
    router: Router,
    app: OnceLock<Arc<App>>,
    clock: Arc<dyn Clock>,
    request_timeout: Duration,
    draining: CancellationToken,
    metrics: Arc<HttpMetrics>,
    logged: LogBudget,
}

impl Front {
    /// A front end that answers 503 until [`Front::open`].
    #[must_use]
    pub fn new(router: Router, clock: Arc<dyn Clock>, request_timeout: Duration, draining: CancellationToken) -> Self {
        let metrics = Arc::new(HttpMetrics::new(&router));
        Self { router, app: OnceLock::new(), clock, request_timeout, draining, metrics, logged: LogBudget::default() }
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
        } else if self.app.get().is_some() {
            Stage::Serving
        } else {
            Stage::Starting
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
    pub async fn answer(&self, request: http::Request<Incoming>, peer: IpAddr) -> Response {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let id = request_id::request_id(&head.headers);
        let (is_head, is_h2) = (head.method == Method::HEAD, head.version == Version::HTTP_2);
        let takes_gzip = gzip::accepted(&head.headers);
        let trace = request_id::trace_of(&head.headers).map(str::to_owned);

        let found = self.router.find(&head.method, head.uri.path());
        let number = found.as_ref().ok().map(|(number, _)| *number);
        let outcome = match found {
            Ok((number, spans)) => {
                let route = self.router.route(number);
                let request = Request::new(head, Source::Wire(body), route.names, spans, route.body_limit);
                self.handle(route, request, &id, peer).await
            }
            Err(problem) => check_headers(&head.headers).and(Err(problem)),
        };
        let (mut response, refusal) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => {
                let refusal = Refusal::of(&problem);
                (problem.into_response(id.to_str().unwrap_or(""), self.clock.now()), refusal)
            }
        };
        if gzip::concerns(&response) {
            response = gzip::apply(takes_gzip, response).await;
        }
        if is_head {
            without_body(&mut response);
        }
        if is_h2 {
            response.headers_mut().remove(http::header::CONNECTION);
        }
        let elapsed = started.elapsed();
        self.metrics.count(number, response.status(), elapsed);
        self.log(number, &response, refusal, &id, trace.as_deref(), elapsed);
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }

    async fn handle(
        &self,
        route: &Route,
        request: Request,
        id: &HeaderValue,
        peer: IpAddr,
    ) -> Result<Response, Problem> {
        check_headers(request.headers())?;
        let Some(app) = self.app.get() else { return self.before_open(route) };
        let now = self.clock.now();
        let caller = match route.access {
            Access::Public => None,
            Access::Bearer => Some(app.tokens.caller(request.headers(), now)?),
            Access::Admin => {
                let caller = app.tokens.caller(request.headers(), now)?;
                if caller.role != Role::Admin {
                    return Err(Problem::forbidden());
                }
                Some(caller)
            }
        };
        let has_key = route.keyed && request.idempotency_key()?.is_some();
        let due = route.family.map(|family| {
            let address = || limits::address(peer, request.headers(), app.limits.forwarded_hops());
            let buyer = caller.as_ref().filter(|_| !family.is_by_address()).map(|caller| caller.buyer.0.as_u128());
            Due { family, who: buyer.unwrap_or_else(address) }
        });
        // A stored answer is given before any limit is looked at, so with a key the handler counts.
        let due = match due {
            Some(due) if !has_key => {
                app.limits.spend(due).await?;
                None
            }
            due => due,
        };
        let patience = self.request_timeout + route.extra_time;
        let context = Context {
            app: Arc::clone(app),
            deadline: now + patience,
            caller,
            due,
            request_id: id.clone(),
            route: route.path,
        };
        let handling = Unwinding((route.handler)(context, request));
        match tokio::time::timeout(patience, handling).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(Problem::internal().because(panic)),
            Err(_) => Err(Problem::deadline_exceeded()),
        }
    }

    /// What is answered while the engine recovers.
    fn before_open(&self, route: &Route) -> Result<Response, Problem> {
        match route.path {
            "/health/live" => response::ok(&serde_json::json!({ "status": "UP" })),
            "/health/ready" => Err(Problem::unavailable("STARTING", "the server is starting", 1)),
            _ => Err(Problem::unavailable("OVERLOADED", "the server is starting; nothing was done", 1)),
        }
    }

    /// One line for each request at `debug`; failures of ours at `warn`, a bounded number in a second. Paths are logged
    /// as patterns, so that no id and no query gets into the log.
    fn log(
        &self,
        route: Option<usize>,
        response: &Response,
        refusal: Option<Refusal>,
        id: &HeaderValue,
        trace: Option<&str>,
        elapsed: Duration,
    ) {
        let status = response.status();
        // A readiness check that says no is an answer, not a failure.
        let is_probe = refusal.as_ref().is_some_and(|refusal| matches!(refusal.code, "STARTING" | "DRAINING"));
        let failed = status.is_server_error() && !is_probe;
        if !failed && !tracing::enabled!(target: "onsale::access", tracing::Level::DEBUG) {
            return;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let trace_id = id.to_str().unwrap_or("");
        let (method, path) = match route.map(|number| self.router.route(number)) {
            Some(route) => (route.method.as_str(), route.path),
            None => ("", "unmatched"),
        };
        let (code, cause) = refusal.map_or(("", None), |refusal| (refusal.code, refusal.cause));
        let (status, cause) = (status.as_u16(), cause.as_deref());
        if !failed {
            tracing::debug!(target: "onsale::access", method, path, status, micros, trace_id, trace, code, "request");
        } else if let Some(unlogged) = self.logged.take(self.clock.now().0.div_euclid(1_000_000)) {
            tracing::warn!(
                target: "onsale::access", method, path, status, micros, trace_id, trace, code, cause, unlogged,
                "request failed"
            );
        }
    }
}

/// What the log says of a problem.
struct Refusal {
    code: &'static str,
    cause: Option<String>,
}

impl Refusal {
    fn of(problem: &Problem) -> Option<Self> {
        Some(Self { code: problem.code(), cause: problem.cause().map(str::to_owned) })
    }
}

/// Failures that may still be logged in this second. Approximate under contention, which only bounds less sharply.
#[derive(Default)]
struct LogBudget {
    second: AtomicI64,
    used: AtomicU32,
}

impl LogBudget {
    /// `Some` when a line may be written: how many of the last second were not.
    fn take(&self, second: i64) -> Option<u32> {
        if self.second.swap(second, Ordering::Relaxed) != second {
            let before = self.used.swap(1, Ordering::Relaxed);
            return Some(before.saturating_sub(LOGGED_FAILURES_PER_SECOND));
        }
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        (used < LOGGED_FAILURES_PER_SECOND).then_some(0)
    }
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

/// `HEAD`: the headers of the answer to `GET`, its length too.
fn without_body(response: &mut Response) {
    let length = match response.body() {
        Body::Full(bytes) => bytes.as_ref().map_or(0, bytes::Bytes::len),
        Body::Stream(_) => 0,
    };
    if length > 0 {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

/// A handler's future whose panic is an outcome. A handler owns what it works on, and the state that it shares is
/// behind the engine's ports, so nothing half-changed is seen afterwards.
struct Unwinding<F>(F);

impl<T, F: Future<Output = T> + Unpin> Future for Unwinding<F> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                Poll::Ready(Err(format!("panic: {}", words.unwrap_or_default())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        let outcome = Unwinding(Box::pin(async {
            if true {
                panic!("no {}", 1)
            }
        }))
        .await;
        assert_eq!(outcome, Err("panic: no 1".to_owned()));
        assert_eq!(Unwinding(Box::pin(async { 7 })).await, Ok(7));
    }

    #[test]
    fn failures_are_logged_within_a_budget_that_tells_what_it_dropped() {
        let budget = LogBudget::default();
        let logged = (0..150).filter_map(|_| budget.take(5)).count();
        assert_eq!(logged, LOGGED_FAILURES_PER_SECOND as usize);
        assert_eq!(budget.take(6), Some(50));
    }
}
