//! What a handler gets besides its request: the application, who calls, the deadline, the idempotency key. Must never know a
//! route.

use crate::app::App;
use crate::auth::Caller;
use crate::http::extract::request::Request;
use crate::http::pipeline::deferred_limit::{DeferredLimit, Stored};
use crate::http::problem::Problem;
use crate::limits::Who;
use onsale_engine::id::BuyerId;
use onsale_engine::sale::RequestKey;
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use std::future::Future;
use std::sync::Arc;

/// The context of one request.
pub struct Context {
    /// The application: engine, ports, secrets.
    pub app: Arc<App>,
    /// The request's deadline; hand it to `SaleHandle::ask`. The pipeline answers 504 by itself.
    pub deadline: Timestamp,
    pub(super) caller: Option<Caller>,
    /// The client's address, as limits count it.
    pub client: Who,
    pub(super) limit: Option<Arc<DeferredLimit>>,
    /// The route's pattern, such as `/api/v1/events/{id}`.
    pub route: &'static str,
}

impl Context {
    /// Now, by the process' clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Who calls. Routes that are not public always have one.
    ///
    /// # Errors
    /// 401 on a public route.
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Problem::unauthenticated("this call needs a bearer token"))
    }

    /// The buyer (or administrator) who calls.
    ///
    /// # Errors
    /// 401 on a public route.
    pub fn buyer(&self) -> Result<BuyerId, Problem> {
        self.caller().map(|caller| caller.buyer)
    }

    /// The idempotency key of this request, hashed with buyer and route, and the hash of its path and body. `None`
    /// when the caller sent none.
    ///
    /// # Errors
    /// 400 when the key is malformed.
    pub fn request_key(&self, request: &Request, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
        let Some(key) = request.idempotency_key()? else { return Ok(None) };
        let buyer = self.caller.as_ref().map_or_else(uuid::Uuid::nil, |caller| caller.buyer.0);
        let method = request.method().as_str();
        let scope = self.app.signer.request_digest(&[
            buyer.as_bytes(),
            method.as_bytes(),
            self.route.as_bytes(),
            key.as_bytes(),
        ]);
        let body = self.app.signer.request_digest(&[request.path().as_bytes(), body]);
        Ok(Some(RequestKey { scope, body }))
    }

    /// To be called when the idempotency key was looked up, before anything is done. A request with a stored answer is uncounted;
    /// any other is refused if it is beyond its rate limit.
    ///
    /// # Errors
    /// 429, and 422 for a key that came with another request before.
    pub async fn looked_up(&self, stored: Stored) -> Result<(), Problem> {
        match (&self.limit, stored) {
            (Some(limit), _) => limit.settle(&self.app.limits, stored).await,
            (None, Stored::Other) => Err(Problem::key_reused()),
            (None, Stored::Nothing | Stored::Answer) => Ok(()),
        }
    }

    /// Runs work to its end even if the caller goes away or the deadline passes: anything of more than one write. Returns when it
    /// is done.
    ///
    /// # Errors
    /// The work's own, and 500 when it panicked.
    pub async fn to_the_end<T, F>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        match tokio::spawn(Scope::carry_future(work)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Problem::internal().because(error)),
        }
    }
}
