//! The pipeline around every handler, and the one place where a `Result` becomes a response: request id, checks, the handler
//! under its deadline, problem, compression, metrics, access log. Must never know what a route means.

pub(super) mod checks;
pub(super) mod deferred_limit;
mod finish;
pub(super) mod handling;
pub(super) mod request_id;
pub(super) mod stage;

use crate::app::App;
use crate::http::access_log::{AccessLog, Line, Refusal};
use crate::http::answer::body::Response;
use crate::http::compression;
use crate::http::router::Router;
use crate::metrics::HttpMetrics;
use checks::{Checked, Checks};
use handling::{Handling, Watch};
use http::{Method, Version, header};
use hyper::body::Incoming;
use onsale_engine::ports::Clock;
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use request_id::{Identity, X_REQUEST_ID};
use stage::{Lifecycle, Stage};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Answers requests: routes, the application once it is there, and what surrounds every handler.
pub struct Pipeline {
    checks: Checks,
    metrics: Arc<HttpMetrics>,
    access: AccessLog,
}

/// Settings of a pipeline that may change while it serves.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// How long a request may take before it is answered 504.
    pub request_timeout: Duration,
    /// All requests of one buyer in so many are logged; 0 is none.
    pub log_one_in: u32,
    /// An answer that takes this long or longer is logged as slow, for a route without a factor of its own; 0 is never.
    pub slow: Duration,
}

impl Pipeline {
    /// A pipeline that answers 503 until [`Pipeline::open`].
    #[must_use]
    pub fn new(router: Router, clock: Arc<dyn Clock>, tuning: Tuning, draining: CancellationToken) -> Self {
        let pipeline = Self {
            metrics: Arc::new(HttpMetrics::new(&router)),
            checks: Checks {
                router,
                lifecycle: Lifecycle::new(draining),
                clock,
                request_timeout_millis: AtomicU64::new(0),
            },
            access: AccessLog::new(),
        };
        pipeline.tune(tuning);
        pipeline
    }

    /// Takes effect for every request that arrives from now on.
    pub fn tune(&self, Tuning { request_timeout, log_one_in, slow }: Tuning) {
        let millis = u64::try_from(request_timeout.as_millis()).unwrap_or(u64::MAX);
        self.checks.request_timeout_millis.store(millis, Ordering::Relaxed);
        self.access.tune(log_one_in, slow);
    }

    /// From now on the readiness check fails, while everything else is still answered.
    pub fn leave(&self) {
        self.checks.lifecycle.leave();
    }

    /// From now on requests are handled. Once only; a second application is ignored.
    pub fn open(&self, app: Arc<App>) {
        self.checks.lifecycle.open(app);
    }

    /// The stage of the process.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.checks.lifecycle.stage()
    }

    /// The counters of requests.
    #[must_use]
    pub fn metrics(&self) -> &Arc<HttpMetrics> {
        &self.metrics
    }

    pub(super) fn now(&self) -> Timestamp {
        self.checks.clock.now()
    }

    /// Answers one request of `peer`; never fails.
    pub(super) async fn answer(&self, request: http::Request<Incoming>, peer: IpAddr, watch: Watch<'_>) -> Response {
        let started = Instant::now();
        let Identity { header: id, origin } = Identity::of(request.headers());
        let (is_head, is_h2) = (request.method() == Method::HEAD, request.version() == Version::HTTP_2);
        let takes_gzip = compression::accepted(request.headers());

        let (mut scope, mut buyer) = (Scope { origin, event: None }, None);
        let (number, checked) = scope.run(|| self.checks.check(request, peer, &mut buyer));
        let outcome = match checked {
            Checked::Work(work, timeout) => {
                let span = self.span(number, &scope);
                let handled = Handling { work, scope, span, deadline: started + timeout, watch }.await;
                scope = handled.1;
                handled.0
            }
            Checked::Answered(outcome) => outcome,
        };
        let (mut response, refusal) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => {
                let refusal = Refusal::of(&problem);
                (problem.into_response(id.to_str().unwrap_or(""), self.checks.clock.now()), Some(refusal))
            }
        };
        let refused = refusal.is_some();
        if compression::concerns(&response) {
            response = Box::pin(compression::apply(takes_gzip, response)).await;
        }
        if is_head {
            finish::without_body(&mut response);
        }
        if is_h2 {
            response.headers_mut().remove(header::CONNECTION);
        }
        let elapsed = started.elapsed();
        self.metrics.count(number, response.status(), refusal.as_ref().map(Refusal::code), elapsed);
        self.access.log(&Line {
            route: number.map(|number| self.checks.router.route(number)),
            status: response.status(),
            refusal,
            buyer,
            scope: &scope,
            elapsed,
            clock: &*self.checks.clock,
        });
        let is_personal = number.is_some_and(|number| self.checks.router.route(number).is_personal());
        finish::protect(&mut response, is_personal || refused);
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }

    /// The span of a handler's log lines. At a level that does not log them it costs one comparison.
    fn span(&self, number: Option<usize>, scope: &Scope) -> tracing::Span {
        let route = number.map(|number| self.checks.router.route(number));
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
}
