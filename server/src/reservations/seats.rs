//! What is free, for admitted buyers: all of it at once, or as it changes.

use crate::http::{Context, Mistakes, Problem, Request, Response, stream};
use crate::sales;
use onsale_engine::id::{EventId, Seq};
use onsale_engine::runtime::SaleHandle;
use std::sync::Arc;
use std::time::Duration;

/// Silence after which a comment keeps a stream open.
const BEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again.
const RETRY_MILLIS: u32 = 1000;

/// The sale of the path's event, if the caller may see its seats.
fn admitted(ctx: &Context, request: &Request, param: &str) -> Result<Arc<SaleHandle>, Problem> {
    let (event, buyer) = (EventId(request.path_id(param)?), ctx.buyer()?);
    let sale = sales::of(&ctx.app, event)?;
    sales::check_admitted(&sale, buyer, sales::slot(ctx, request, event, buyer), ctx.now())?;
    Ok(sale)
}

pub(super) async fn now(ctx: Context, request: Request) -> Result<Response, Problem> {
    let sale = admitted(&ctx, &request, "eventId")?;
    Ok(ctx.app.readers.live_seats.of(&sale)?.response(request.headers()))
}

/// From the version that `Last-Event-ID` names, which clients that cannot send it put into `?version=`: the one of
/// `GET /reservations/seats/{eventId}`.
pub(super) async fn follow(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let asked = request.query().integer(&mut mistakes, "version", 0..=i64::MAX);
    mistakes.check()?;
    let sale = admitted(&ctx, &request, "id")?;
    // An id that is none of ours is too old for anything.
    let last_seen = request.header("last-event-id").map(|id| id.parse().unwrap_or(0));
    let known = last_seen.or(asked.and_then(|version| u64::try_from(version).ok())).map(Seq);
    let (first, mut watching) = ctx.app.readers.feeds.watch(&sale, known).ok_or_else(Problem::not_found)?;
    Ok(stream::events(&ctx.app.draining, move |events| async move {
        events.retry_after_millis(RETRY_MILLIS).await;
        for event in first {
            events.send_written(event).await;
        }
        loop {
            match tokio::time::timeout(BEAT, watching.next()).await {
                Ok(Some(news)) => {
                    for event in news {
                        events.send_written(event).await;
                    }
                }
                Ok(None) => return,
                Err(_) => events.comment().await,
            }
        }
    }))
}
