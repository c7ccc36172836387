//! The pipeline around every handler: request id, route, bearer, role, deadline, panics, problems, compression, access
//! log, metrics. The one place where a `Result` becomes a response.

use super::about::{self, About};
use super::access_log::{AccessLog, Line, Refusal};
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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
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
            access: AccessLog::new(0),
        };
        front.tune(tuning);
        front
    }

    /// In force for every request that comes from now on.
    pub fn tune(&self, Tuning { request_timeout, log_one_in }: Tuning) {
        let millis = u64::try_from(request_timeout.as_millis()).unwrap_or(u64::MAX);
        self.request_timeout_millis.store(millis, Ordering::Relaxed);
        self.access.set_one_in(log_one_in);
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
    pub async fn answer(&self, request: http::Request<Incoming>, peer: IpAddr) -> Response {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let id = request_id::request_id(&head.headers);
        let (is_head, is_h2) = (head.method == Method::HEAD, head.version == Version::HTTP_2);
        let takes_gzip = gzip::accepted(&head.headers);
        let trace = request_id::trace_of(&head.headers).map(str::to_owned);

        let found = self.router.find(&head.method, head.uri.path());
        let number = found.as_ref().ok().map(|(number, _)| *number);
        let (outcome, about) = match found {
            Ok((number, spans)) => {
                let route = self.router.route(number);
                let request = Request::new(head, Source::Wire(body), route.names, spans, route.body_limit);
                about::noting(self.handle(route, request, &id, peer)).await
            }
            Err(problem) => (check_headers(&head.headers).and(Err(problem)), About::default()),
        };
        let (mut response, refusal) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => {
                let refusal = Refusal::of(&problem);
                (problem.into_response(id.to_str().unwrap_or(""), self.clock.now()), Some(refusal))
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
        self.access.log(&Line {
            route: number.map(|number| self.router.route(number)),
            status: response.status(),
            refusal,
            about,
            trace_id: id.to_str().unwrap_or(""),
            trace: trace.as_deref(),
            elapsed,
            second: self.clock.now().0.div_euclid(1_000_000),
        });
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
        if let Some(caller) = &caller {
            about::note_buyer(caller.buyer);
        }
        if route.path == READY && self.stage() == Stage::Leaving {
            return Err(Problem::unavailable("DRAINING", "the server is about to stop", 5));
        }
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
        let patience = Duration::from_millis(self.request_timeout_millis.load(Ordering::Relaxed)) + route.extra_time;
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
            READY => Err(Problem::unavailable("STARTING", "the server is starting", 1)),
            _ => Err(Problem::unavailable("OVERLOADED", "the server is starting; nothing was done", 1)),
        }
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
}
