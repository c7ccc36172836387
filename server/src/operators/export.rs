//! `GET /admin/events/{id}/reservations.csv`: every reservation of an event, the oldest first, piece by piece. Each row is
//! as it stood when its piece was read: one that changes meanwhile is there once, as before or after. A piece is one
//! bounded read, so a slow reader holds no connection to a database. Must never be taken for whole when it is not.

use crate::app::App;
use crate::http::event_stream::Rights;
use crate::http::{Broken, Context, Mistakes, Piece, Problem, Request, Response, pieces};
use crate::operators::csv::write_row;
use crate::operators::forms::Buyers;
use crate::operators::{reservations, search};
use crate::reservations::{Terms, status_word, ticket_number};
use crate::sales;
use crate::time::rfc3339;
use bytes::Bytes;
use http::{HeaderValue, header};
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::plan::Plan;
use onsale_engine::ports::StoreError;
use onsale_engine::ports::search::{ExportCursor, ExportPart};
use onsale_engine::sale::{ReservationStatus, ReservationView};
use onsale_engine::time::Timestamp;
use std::sync::Arc;

/// Reservations of one piece: about 100 KiB.
const ROWS: u32 = 500;

const COLUMNS: [&str; 13] = [
    "reservationId",
    "status",
    "seats",
    "seatIds",
    "buyerId",
    "email",
    "name",
    "amount",
    "currency",
    "createdAt",
    "confirmedAt",
    "ticketNumber",
    "refundAmount",
];

/// An export under way.
struct Export {
    app: Arc<App>,
    rights: Rights,
    terms: Terms,
    status: Option<ReservationStatus>,
    /// Only what was made before it began, so that it comes to an end while the sale goes on.
    until: Timestamp,
    after: Option<ExportCursor>,
}

pub(super) async fn reservations(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let status = request.query().one_of(&mut mistakes, "status", &reservations::STATUSES);
    mistakes.check()?;
    let event = EventId(request.path_id("id")?);
    let terms = sales::terms_of(&ctx.app, event).await?;
    search::settle(&ctx, Some(event)).await?;
    ctx.app.security.exported(&ctx, ctx.buyer()?, event);
    let (rights, until) = (Rights::of(&ctx)?, ctx.now());
    let export = Export { app: Arc::clone(&ctx.app), rights, terms, status, until, after: None };
    let mut response = Response::new(pieces(export, Export::piece));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"reservations-{event}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

impl Export {
    /// The next rows, and the export behind them unless they were the last.
    async fn piece(mut self) -> Result<Piece<Self>, Broken> {
        if self.app.draining.is_cancelled() {
            return Err(Broken("the server is stopping".to_owned()));
        }
        if !self.rights.hold() {
            return Err(Broken("the access token has ended".to_owned()));
        }
        let Self { status, until, after, .. } = self;
        let part = ExportPart { event: self.terms.event, status, after, until, limit: ROWS };
        let failed = |error: StoreError| {
            tracing::warn!(event_id = %part.event, %error, "an export is aborted");
            Broken(error.to_string())
        };
        let records = self.app.search.export(part).await.map_err(failed)?;
        let mut buyers: Vec<BuyerId> = records.iter().map(|record| record.reservation.buyer).collect();
        buyers.sort_unstable();
        buyers.dedup();
        let buyers = self.app.accounts.by_ids(buyers).await.map_err(failed)?;
        let buyers: Buyers = buyers.into_iter().map(|account| (account.id, account)).collect();
        let mut out = Vec::with_capacity(256 * (records.len() + 1));
        if after.is_none() {
            write_row(&mut out, COLUMNS);
        }
        for record in &records {
            self.row(&mut out, &record.reservation, &buyers);
        }
        let last = records.last().map(|record| (record.reservation.created_at, record.reservation.id));
        self.after = last.or(after);
        let is_last = records.len() < ROWS as usize;
        Ok((Bytes::from(out), (!is_last).then_some(self)))
    }

    fn row(&self, out: &mut Vec<u8>, view: &ReservationView, buyers: &Buyers) {
        let Terms { event, plan, currency, .. } = &self.terms;
        let buyer = buyers.get(&view.buyer);
        let of_seats = |name: &dyn Fn(&Plan, onsale_engine::id::SeatIndex) -> String| {
            let known = view.seats.iter().filter(|seat| plan.has(**seat));
            known.map(|seat| name(plan, *seat)).collect::<Vec<_>>().join("; ")
        };
        let cells = [
            view.id.to_string(),
            status_word(view.status).to_owned(),
            of_seats(&|plan, seat| plan.full_label(seat)),
            of_seats(&|plan, seat| plan.seat_id(seat).to_owned()),
            view.buyer.to_string(),
            buyer.map(|account| account.email.clone()).unwrap_or_default(),
            buyer.map(|account| account.name.clone()).unwrap_or_default(),
            view.amount.0.to_string(),
            currency.code().to_owned(),
            rfc3339(view.created_at),
            view.confirmed_at.map(rfc3339).unwrap_or_default(),
            view.ticket.map(|serial| ticket_number(event.tag(), serial)).unwrap_or_default(),
            view.refund.map(|amount| amount.0.to_string()).unwrap_or_default(),
        ];
        write_row(out, cells.iter().map(String::as_str));
    }
}
