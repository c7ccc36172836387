//! A small HTTP client for the tools that speak to a server as buyers do: the demo and the load tools. Distinguishes
//! what certainly did not happen from what is unknown, and never repeats a request by itself.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use std::time::Duration;

/// How long an answer is waited for: longer than any deadline of the server.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an unused connection stays open: less than the server keeps it.
const IDLE: Duration = Duration::from_secs(20);

/// A pool of connections to one server; clones share it.
#[derive(Clone)]
pub struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// A request that may be sent, also again.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    bearer: Option<String>,
    queue_token: Option<String>,
    key: Option<String>,
    body: Option<Bytes>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// `Location`, where there is one.
    pub location: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: the request certainly was not taken.
    #[error("nobody listens: {0}")]
    NotSent(String),
    /// The request may or may not have been carried out.
    #[error("no whole answer: {0}")]
    Unknown(String),
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .retry_canceled_requests(false)
            .build(connector);
        Self { base: base.into(), pool }
    }

    /// Where the server is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// See [`CallError`]. Any status is an answer.
    pub async fn send(&self, call: &Call) -> Result<Answered, CallError> {
        let request = self.request(call)?;
        match tokio::time::timeout(TIMEOUT, self.answer(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(CallError::Unknown(format!("none within {TIMEOUT:?}"))),
        }
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Answered, CallError> {
        let response = self.pool.request(request).await.map_err(|error| {
            let why = whole_story(&error);
            if error.is_connect() { CallError::NotSent(why) } else { CallError::Unknown(why) }
        })?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|at| at.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.map_err(|error| CallError::Unknown(whole_story(&error)))?;
        Ok(Answered { status, location, body: body.to_bytes() })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        if let Some(bearer) = &call.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        if let Some(token) = &call.queue_token {
            request = request.header("x-queue-token", token);
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(call.body.clone().unwrap_or_default());
        request.body(body).map_err(|error| CallError::NotSent(error.to_string()))
    }
}

/// An error with its causes, because the first of them only says that something went wrong.
fn whole_story(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        story = format!("{story}: {why}");
        cause = why.source();
    }
    story
}

impl Call {
    fn new(method: Method, path: impl Into<String>, body: Option<&Value>) -> Self {
        let body = body.map(|body| Bytes::from(body.to_string()));
        Self { method, path: path.into(), bearer: None, queue_token: None, key: None, body }
    }

    /// `GET path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, None)
    }

    /// `DELETE path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, None)
    }

    /// `POST path` with a JSON body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }

    /// `PUT path` with a JSON body.
    #[must_use]
    pub fn put(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PUT, path, Some(body))
    }

    /// `PATCH path` with a JSON body.
    #[must_use]
    pub fn patch(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }

    /// `POST path` with JSON that is written already.
    #[must_use]
    pub fn post_bytes(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { body: Some(body.into()), ..Self::new(Method::POST, path, None) }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// With `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.bearer = Some(token.to_owned());
        self
    }

    /// With `X-Queue-Token`, if there is one.
    #[must_use]
    pub fn queue_token(mut self, token: Option<&str>) -> Self {
        self.queue_token = token.map(str::to_owned);
        self
    }

    /// With `Idempotency-Key`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl Answered {
    /// Whether it is a 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The problem's `code`, or the status where there is none.
    #[must_use]
    pub fn code(&self) -> String {
        match self.json().get("code").and_then(Value::as_str) {
            Some(code) => code.to_owned(),
            None => self.status.to_string(),
        }
    }
}
