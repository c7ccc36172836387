//! Runs a handler until it answers, panics, or passes its deadline. Must never wait beyond the deadline.

use crate::http::answer::body::Response;
use crate::http::connection::alarm::Alarm;
use crate::http::problem::Problem;
use onsale_engine::trace::Scope;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// A handler's work.
pub(in crate::http) type Work = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// Wakes a request's task at its deadline.
pub(in crate::http) enum Watch<'a> {
    /// The connection's own timer: HTTP/1, where a request is handled in its connection's task.
    Alarm(&'a Alarm),
    /// A timer of its own, made when the handler first waits.
    Timer(Option<Pin<Box<tokio::time::Sleep>>>),
}

impl Watch<'_> {
    fn is_over(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Alarm(alarm) => alarm.has_passed(deadline),
            Self::Timer(timer) => timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())))
                .as_mut()
                .poll(cx)
                .is_ready(),
        }
    }
}

/// See the module. A handler owns its data, and shared state is behind the engine's ports, so a panic leaves nothing half-changed.
pub(super) struct Handling<'a> {
    pub work: Work,
    pub scope: Scope,
    pub span: tracing::Span,
    pub deadline: Instant,
    pub watch: Watch<'a>,
}

impl Future for Handling<'_> {
    /// The outcome, and the scope with what the handler has added to it.
    type Output = (Result<Response, Problem>, Scope);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { work, scope, span, deadline, watch } = &mut *self;
        let step = scope.run(|| {
            let _entered = span.enter();
            std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
        });
        let outcome = match step {
            Ok(Poll::Ready(outcome)) => outcome,
            Ok(Poll::Pending) if watch.is_over(*deadline, cx) => Err(Problem::deadline_exceeded()),
            Ok(Poll::Pending) => return Poll::Pending,
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Problem::internal().because(format!("panic: {}", words.unwrap_or_default())))
            }
        };
        Poll::Ready((outcome, std::mem::take(scope)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::response::no_content;
    use std::time::Duration;

    async fn code_of(work: Work, watch: Watch<'_>) -> &'static str {
        let deadline = Instant::now() + Duration::from_millis(20);
        let (scope, span) = (Scope::NONE, tracing::Span::none());
        let (outcome, _) = Handling { work, scope, span, deadline, watch }.await;
        outcome.map_or_else(|problem| problem.code(), |_| "answered")
    }

    #[tokio::test]
    async fn a_handler_answers_or_panics_or_runs_out_of_time() {
        let timer = || Watch::Timer(None);
        assert_eq!(code_of(Box::pin(async { Ok(no_content()) }), timer()).await, "answered");
        let panics: Work = Box::pin(async { if true { panic!("no {}", 1) } else { Ok(no_content()) } });
        assert_eq!(code_of(panics, timer()).await, "INTERNAL");
        assert_eq!(code_of(Box::pin(std::future::pending()), timer()).await, "DEADLINE_EXCEEDED");
        let alarm = Alarm::new();
        let waiting = std::pin::pin!(code_of(Box::pin(std::future::pending()), Watch::Alarm(&alarm)));
        let watched = crate::http::connection::alarm::Watched::new(waiting, std::sync::Arc::clone(&alarm));
        assert_eq!(watched.await, "DEADLINE_EXCEEDED");
    }
}
