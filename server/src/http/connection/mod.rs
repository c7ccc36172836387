//! One connection: distinguishes HTTP/1.1 from prior-knowledge HTTP/2 by the first bytes, serves its requests through the pipeline,
//! and bounds the time that it may be silent, half-sent or unread. Must never judge a request: that is the pipeline's.
//!
//! ```text
//! HTTP/1  hyper ↔ YieldBeforeWrite ↔ RewriteErrors ↔ DeadlineIo ↔ socket     deadlines: one Alarm for the connection
//! HTTP/2  hyper ↔ DeadlineIo (reads Frames along) ↔ socket                  idle and unread: Activity
//! ```

pub(super) mod activity;
pub(super) mod alarm;
pub(super) mod deadline_io;
mod frames;
pub(super) mod poll_on_wake;
pub(super) mod rewrite_errors;
mod yield_before_write;

use crate::http::pipeline::Pipeline;
use crate::http::pipeline::checks::HEADERS_LIMIT;
use crate::http::pipeline::handling::Watch;
use activity::{Activity, Busy, Use};
use alarm::{Alarm, AlarmTimer, Watched};
pub(in crate::http) use deadline_io::Waits;
use deadline_io::{Exchange, Fresh, Guard, Socket};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use poll_on_wake::PollOnWake;
use rewrite_errors::RewriteErrors;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use yield_before_write::YieldBeforeWrite;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION: u32 = 512;

/// One accepted connection, before its first byte.
pub(super) struct Connection {
    pub pipeline: Arc<Pipeline>,
    pub peer: IpAddr,
    /// How long it may be without a request after the first one, and how long HTTP/2 pings may be apart, twice over.
    pub idle: Duration,
    pub waits: Waits,
    pub draining: CancellationToken,
}

impl Connection {
    /// Serves the connection to its end.
    pub(super) async fn serve<S: Socket>(self, stream: S) {
        let mut fresh = Fresh::new(stream);
        let due = fresh.head_due(self.waits);
        let first = tokio::select! {
            first = tokio::time::timeout_at(due.into(), fresh.speaks_http2()) => first,
            () = self.draining.cancelled() => return,
        };
        match first {
            Ok(Ok(true)) => self.serve_http2(fresh).await,
            Ok(Ok(false)) => self.serve_http1(fresh).await,
            Ok(Err(_)) => {}
            Err(_) => drop(self.pipeline.metrics().connections.late_heads.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn guard(&self, alarm: &Arc<Alarm>) -> Guard {
        let counts = Arc::clone(&self.pipeline.metrics().connections);
        Guard { alarm: Arc::clone(alarm), waits: self.waits, counts }
    }

    async fn serve_http1<S: Socket>(self, fresh: Fresh<S>) {
        let (alarm, exchange) = (Alarm::new(), Arc::new(Exchange::default()));
        let socket = fresh.http1(Arc::clone(&exchange), self.guard(&alarm));
        let io = TokioIo::new(YieldBeforeWrite::new(RewriteErrors::new(socket, Arc::clone(&self.pipeline))));
        let (pipeline, peer, alarm) = (&*self.pipeline, self.peer, alarm);
        let service = service_fn(|request| {
            let (watch, answering) = (Watch::Alarm(&alarm), exchange.begin());
            async move {
                let response = pipeline.answer(request, peer, watch).await;
                Ok::<_, Infallible>(response.map(|body| body.answering(answering)))
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        // Answers are short: one buffer costs less to send than two.
        builder.timer(AlarmTimer(Arc::clone(&alarm))).header_read_timeout(self.idle);
        builder.max_buf_size(HEADERS_LIMIT).writev(false);
        let mut connection = Watched::new(builder.serve_connection(io, service), Arc::clone(&alarm));
        let drained = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = PollOnWake::new(self.draining.cancelled()) => None,
        };
        let ended = match drained {
            Some(ended) => ended,
            None => {
                Pin::new(connection.connection()).graceful_shutdown();
                (&mut connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        connection.into_connection().into_parts().io.into_inner().into_inner().close(&self.draining).await;
    }

    async fn serve_http2<S: Socket>(self, fresh: Fresh<S>) {
        let (activity, alarm) = (Activity::new(), Alarm::new());
        let socket = fresh.http2(self.guard(&alarm));
        let (pipeline, peer) = (&self.pipeline, self.peer);
        let service = service_fn(|request| {
            let (pipeline, busy) = (Arc::clone(pipeline), Busy::new(&activity));
            async move {
                let response = pipeline.answer(request, peer, Watch::Timer(None)).await;
                // The connection is in use until the answer is sent.
                Ok::<_, Infallible>(response.map(|body| body.watched(busy)))
            }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            // The pipeline checks the real limit and answers with a problem.
            .max_header_list_size(4 * HEADERS_LIMIT as u32)
            .keep_alive_interval(Some(self.idle / 2))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let mut connection = Watched::new(connection, alarm);
        let mut wait = self.idle;
        loop {
            let is_leaving = tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = self.draining.cancelled() => true,
                () = tokio::time::sleep(wait) => match activity.state(self.idle) {
                    Use::Used(left) => {
                        wait = left;
                        false
                    }
                    Use::Idle => true,
                    Use::Unread => {
                        self.pipeline.metrics().connections.unread_answers.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                },
            };
            if is_leaving {
                connection.connection().as_mut().graceful_shutdown();
                // Waits for the client only so long; while the server drains, the drain's own timeout cuts off instead.
                tokio::select! {
                    _ = &mut connection => {}
                    () = tokio::time::sleep(self.idle), if !self.draining.is_cancelled() => {}
                }
                return;
            }
        }
    }
}
