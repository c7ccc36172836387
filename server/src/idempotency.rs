//! Idempotency keys of the calls that no sale answers: repeats get the first answer, also while the first is still
//! being made. The storage keeps the answer in the transaction of what was created; this keeps only who is at it.
//!
//! ```text
//! let key = ctx.request_key(&request, &json.bytes)?;
//! idempotent(ctx, key, move |ctx| async move {
//!     let answer = Created::new(location, &venue_json)?;
//!     ctx.app.catalogue.create_venue(&venue, answer.stored(key, ctx.now()).as_ref()).await?;
//!     Ok(answer)
//! }).await
//! ```

use crate::http::{Context, Problem, Response, Stored, response};
use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderValue, StatusCode, header};
use onsale_engine::ports::StoredAnswer;
use onsale_engine::sale::RequestKey;
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Keyed requests that are being handled, by scope. Bounded by the requests in flight.
#[derive(Clone, Default)]
pub struct InFlight(Arc<DashMap<u128, Arc<Mutex<()>>>>);

/// A 201 on its way to the caller and, when there is a key, into the storage.
pub struct Created {
    location: Option<String>,
    json: String,
}

impl Created {
    /// The answer for something that was made.
    ///
    /// # Errors
    /// 500, when `value` has no JSON form.
    pub fn new<T: Serialize + ?Sized>(location: Option<String>, value: &T) -> Result<Self, Problem> {
        let json = serde_json::to_string(value).map_err(|error| Problem::internal().because(error))?;
        Ok(Self { location, json })
    }

    /// What the storage shall keep in the transaction that makes the thing; nothing without a key.
    #[must_use]
    pub fn stored(&self, key: Option<RequestKey>, now: Timestamp) -> Option<StoredAnswer> {
        key.map(|RequestKey { scope, body }| StoredAnswer {
            scope,
            body,
            status: StatusCode::CREATED.as_u16(),
            location: self.location.clone(),
            json: self.json.clone(),
            at: now,
        })
    }

    fn into_response(self) -> Response {
        answer(StatusCode::CREATED, self.location.as_deref(), self.json)
    }
}

fn answer(status: StatusCode, location: Option<&str>, json: String) -> Response {
    let mut response = response::json_bytes(status, Bytes::from(json));
    if let Some(location) = location.and_then(|path| HeaderValue::from_str(path).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Runs `work` to its end, even if the caller goes away, unless its key was answered before. Repeats wait for the
/// first. Call it before any token or limit is checked, and after the body was found valid.
///
/// # Errors
/// 422 when the key came with another request before; 503 when the storage does not answer; the work's own.
pub async fn idempotent<W, F>(ctx: Context, key: Option<RequestKey>, work: W) -> Result<Response, Problem>
where
    W: FnOnce(Context) -> F + Send + 'static,
    F: Future<Output = Result<Created, Problem>> + Send + 'static,
{
    let Some(key) = key else {
        let running = tokio::spawn(Scope::carry_future(async move { work(ctx).await }));
        return finished(running.await).map(Created::into_response);
    };
    // The task holds the lock, so a repeat still waits when the first caller has gone.
    let running = tokio::spawn(Scope::carry_future(async move {
        let turn = ctx.app.in_flight.take(key.scope).await;
        let found = ctx.app.catalogue.recall(key.scope, ctx.now()).await?;
        ctx.looked_up(match &found {
            None => Stored::Nothing,
            Some(stored) if stored.body == key.body => Stored::Answer,
            Some(_) => Stored::Other,
        })
        .await?;
        let outcome = match found {
            Some(stored) => {
                let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
                Ok(answer(status, stored.location.as_deref(), stored.json))
            }
            None => work(ctx).await.map(Created::into_response),
        };
        drop(turn);
        outcome
    }));
    finished(running.await)
}

fn finished<T>(outcome: Result<Result<T, Problem>, tokio::task::JoinError>) -> Result<T, Problem> {
    outcome.unwrap_or_else(|error| Err(Problem::internal().because(error)))
}

/// The right to handle requests of one scope.
pub(crate) struct Turn {
    all: InFlight,
    scope: u128,
    lock: Arc<Mutex<()>>,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl InFlight {
    /// Waits until nobody else is at this scope.
    pub(crate) async fn take(&self, scope: u128) -> Turn {
        let lock = Arc::clone(&self.0.entry(scope).or_default());
        let guard = Some(Arc::clone(&lock).lock_owned().await);
        Turn { all: self.clone(), scope, lock, guard }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        // Two are the map's and ours: nobody else waits. Checked under the map's lock, where new ones are cloned.
        self.all.0.remove_if(&self.scope, |_, lock| Arc::ptr_eq(lock, &self.lock) && Arc::strong_count(lock) == 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_of_one_scope_take_turns_and_leave_nothing_behind() {
        let all = InFlight::default();
        let first = all.take(7).await;
        let other = all.take(8).await;
        let waiting = tokio::spawn({
            let all = all.clone();
            async move { drop(all.take(7).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.is_ok());
        drop(other);
        assert!(all.0.is_empty());
    }
}
