//! What is free, for admitted buyers: all of it at once, or as it changes.

use crate::http::event_stream::{self, HEARTBEAT};
use crate::http::{Context, End, Mistakes, Problem, Request, Response};
use crate::sales;
use onsale_engine::id::{EventId, Seq};
use onsale_engine::runtime::SaleHandle;
use std::sync::Arc;
use tokio::time::Instant;

/// How long a client waits before it connects again.
const RETRY_MILLIS: u32 = 1000;

/// The sale of the path's event, if the caller may see its seats.
async fn admitted(ctx: &Context, request: &Request, param: &str) -> Result<Arc<SaleHandle>, Problem> {
    let (event, buyer) = (EventId(request.path_id(param)?), ctx.buyer()?);
    let sale = sales::of(&ctx.app, event).await?;
    let slot = sales::slot(ctx, request, event, buyer);
    let admitted = sales::check_admitted(&sale, buyer, slot, ctx.now());
    admitted.map_err(|problem| sales::with_token_reason(problem, request, slot))?;
    Ok(sale)
}

pub(super) async fn now(ctx: Context, request: Request) -> Result<Response, Problem> {
    let sale = admitted(&ctx, &request, "eventId").await?;
    Ok(ctx.app.readers.live_seats.of(&sale)?.response(request.headers()))
}

/// From the version that `Last-Event-ID` names, which clients that cannot send it put into `?version=`: the one of
/// `GET /reservations/seats/{eventId}`.
pub(super) async fn follow(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let asked = request.query().integer(&mut mistakes, "version", 0..=i64::MAX);
    mistakes.check()?;
    let sale = admitted(&ctx, &request, "id").await?;
    let (rights, buyer) = (event_stream::Rights::of(&ctx)?, ctx.buyer()?);
    let slot = sales::slot(&ctx, &request, sale.event(), buyer);
    // An id that is none of ours is too old for anything.
    let last_seen = request.header("last-event-id").map(|id| id.parse().unwrap_or(0));
    let known = last_seen.or(asked.and_then(|version| u64::try_from(version).ok())).map(Seq);
    let (first, mut watching) = ctx.app.readers.feeds.watch(&sale, known).ok_or_else(Problem::not_found)?;
    let clock = Arc::clone(&ctx.app.clock);
    event_stream::events(&ctx, move |events| async move {
        events.retry_after_millis(RETRY_MILLIS).await;
        for event in first {
            events.send_written(event).await;
        }
        let (mut heartbeat, mut is_silent) = (Instant::now() + HEARTBEAT, true);
        loop {
            if Instant::now() >= heartbeat {
                if !rights.hold() {
                    return End::TokenEnded;
                }
                if sales::check_admitted(&sale, buyer, slot, clock.now()).is_err() {
                    return End::SlotEnded;
                }
                if is_silent {
                    events.comment().await;
                }
                (heartbeat, is_silent) = (Instant::now() + HEARTBEAT, true);
            }
            match tokio::time::timeout_at(heartbeat, watching.next()).await {
                Ok(Some(changes)) => {
                    is_silent = false;
                    for event in changes {
                        events.send_written(event).await;
                    }
                }
                Ok(None) => return End::Renew,
                Err(_) => {}
            }
        }
    })
}
