//! What must hold before a handler runs, in this order: size of the headers, route, stage of the process, bearer and role, no
//! content with `DELETE`, idempotency key, rate limit. Must never do anything for a request that is refused here.

use crate::app::App;
use crate::auth::Caller;
use crate::http::answer::body::Response;
use crate::http::answer::response;
use crate::http::context::Context;
use crate::http::extract::request::{self, Request, Source, Spans};
use crate::http::pipeline::deferred_limit::DeferredLimit;
use crate::http::pipeline::handling::Work;
use crate::http::pipeline::stage::{Lifecycle, Stage};
use crate::http::problem::Problem;
use crate::http::router::{Access, Route, Router};
use crate::limits::{self, Due, Who};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::Clock;
use onsale_engine::ports::accounts::Role;
use onsale_engine::time::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of all headers together at the most.
pub(in crate::http) const HEADERS_LIMIT: usize = 16 * 1024;

/// The readiness check, the first to fail when the server is about to stop.
const READY: &str = "/health/ready";

/// See the module.
pub(super) struct Checks {
    pub router: Router,
    pub lifecycle: Lifecycle,
    pub clock: Arc<dyn Clock>,
    pub request_timeout_millis: AtomicU64,
}

impl Checks {
    /// Checks a request, and makes the handler's work of it unless it is refused or answered here. Also returns the number of its
    /// route, and stores who calls in `buyer`, for the access log.
    pub(super) fn check(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        buyer: &mut Option<BuyerId>,
    ) -> (Option<usize>, Checked) {
        let found = self.router.find(request.method(), request.uri().path());
        let number = found.as_ref().ok().map(|(number, _)| *number);
        let checked = match check_headers(request.headers()).and(found) {
            Err(problem) => Checked::Answered(Err(problem)),
            Ok((number, spans)) => {
                let route = self.router.route(number);
                match self.lifecycle.app() {
                    None => Checked::Answered(self.before_open(route)),
                    Some(app) => match self.prepare(app, route, request, (spans, peer), buyer) {
                        Ok((work, timeout)) => Checked::Work(work, timeout),
                        Err(problem) => Checked::Answered(Err(problem)),
                    },
                }
            }
        };
        (number, checked)
    }

    /// Checks who calls, counts the call against its limit, and makes the handler's work of it.
    fn prepare(
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
        if route.path == READY && self.lifecycle.stage() == Stage::Leaving {
            return Err(Problem::unavailable("DRAINING", "the server is about to stop", 5));
        }
        let (head, body) = request.into_parts();
        // No handler reads the body of a DELETE. One with content is refused instead of being ignored.
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
        let timeout = Duration::from_millis(self.request_timeout_millis.load(Ordering::Relaxed)) + route.extra_time;
        let mut context =
            Context { app: Arc::clone(app), deadline: now + timeout, caller, client, limit: None, route: route.path };
        let run = |context: Context, request: Request| match unwanted {
            None => (route.handler)(context, request),
            Some(body) => without_content(body, (route.handler)(context, request)),
        };
        let work = match due {
            None => run(context, request),
            // A repeat of an answered request does not count, so the handler looks for the stored answer first.
            Some(due) if has_key => {
                let (limit, everywhere) = DeferredLimit::begin(&app.limits, due);
                let limit = Arc::new(limit);
                context.limit = Some(Arc::clone(&limit));
                counted_with_key(Arc::clone(app), run(context, request), limit, everywhere)
            }
            Some(due) if app.limits.spend_here(due)? => {
                let (app, work) = (Arc::clone(app), run(context, request));
                Box::pin(async move {
                    app.limits.spend_everywhere(due).await?;
                    work.await
                })
            }
            Some(_) => run(context, request),
        };
        Ok((work, timeout))
    }

    /// The answers while the engine recovers.
    fn before_open(&self, route: &Route) -> Result<Response, Problem> {
        match route.path {
            "/health/live" => response::ok(&serde_json::json!({ "status": "UP" })),
            READY => Err(Problem::unavailable("STARTING", "the server is starting", 1)),
            _ => Err(Problem::unavailable("OVERLOADED", "the server is starting; nothing was done", 1)),
        }
    }
}

/// The work of a request with an idempotency key. If it ends without having looked the key up, it has no stored answer, and is
/// refused if it is beyond the limit.
fn counted_with_key(app: Arc<App>, work: Work, limit: Arc<DeferredLimit>, everywhere: bool) -> Work {
    Box::pin(async move {
        if everywhere {
            limit.count_everywhere(&app.limits).await;
        }
        let outcome = work.await;
        limit.refusal().map_or(outcome, Err)
    })
}

/// The work of a request that must not have content: refused if its body has any.
fn without_content(body: Incoming, work: Work) -> Work {
    Box::pin(async move {
        request::refuse_content(body).await?;
        work.await
    })
}

/// Checks the bearer token, and the role where the route is for administrators.
fn caller(app: &App, route: &Route, headers: &HeaderMap, client: Who, now: Timestamp) -> Result<Caller, Problem> {
    let name = || app.signer.client_name(client);
    let caller = app.tokens.caller(headers, now);
    let caller = caller.inspect_err(|fault| app.security.token_refused(name, *fault, route.path, now))?;
    if route.access == Access::Admin && caller.role != Role::Admin {
        app.security.role_refused(name, caller.buyer, route.path, now);
        return Err(Problem::forbidden());
    }
    Ok(caller)
}

/// A request after the checks.
pub(super) enum Checked {
    /// The handler's work, and its timeout.
    Work(Work, Duration),
    /// Refused or answered without a handler.
    Answered(Result<Response, Problem>),
}

/// hyper enforces the limit on HTTP/1 connections; on HTTP/2 ones it bounds single frames only.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes <= HEADERS_LIMIT { Ok(()) } else { Err(headers_too_large()) }
}

pub(in crate::http) fn headers_too_large() -> Problem {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Problem::new(status, "HEADERS_TOO_LARGE", "all headers together may have at most 16 KiB").close()
}
