//! Search of reservations and payments by what an operator types. Waits first until the tables have what was committed. Every
//! search is bounded; must never answer anybody but an administrator.

use crate::http::{Context, Mistakes, Problem, Query, read_id};
use crate::reservations::{past_terms, read_ticket_number, until_written};
use onsale_engine::email::{composed, email_key};
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, Seq};
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::Page;
use onsale_engine::ports::search::Named;
use onsale_engine::runtime::Found;
use onsale_engine::trace::Scope;
use std::sync::Arc;

/// Characters of a search.
const TEXT_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
/// Accounts that a part of a name or an address may match; further ones are ignored.
const ACCOUNTS: u32 = 50;
/// Seats that one label may match; further ones are ignored.
const SEATS: usize = 100;

/// What a list of operators is asked for.
pub(super) struct Listing<'r, S> {
    pub(super) event: Option<EventId>,
    pub(super) status: Option<S>,
    /// What a buyer knows of it: an id, a name, an address, a seat.
    pub(super) text: Option<&'r str>,
    pub(super) page: Page,
}

impl<'r, S: Copy> Listing<'r, S> {
    /// Reads `eventId`, `status`, `q`, `page` and `size`.
    ///
    /// # Errors
    /// 400 with every mistake.
    pub(super) fn read(query: &'r Query<'_>, statuses: &[(&str, S)]) -> Result<Self, Problem> {
        let mut mistakes = Mistakes::default();
        let listing = Self {
            event: query.id(&mut mistakes, "eventId").map(EventId),
            status: query.one_of(&mut mistakes, "status", statuses),
            text: query.text(&mut mistakes, "q", TEXT_CHARS),
            page: query.page(&mut mistakes),
        };
        mistakes.check().map(|()| listing)
    }
}

/// Waits until the tables have what was committed of the event, or of every event in memory, and what the caller has received
/// of; as long as lists wait at the most.
pub(super) async fn settle(ctx: &Context, event: Option<EventId>) -> Result<(), Problem> {
    let (app, caller) = (&ctx.app, ctx.buyer()?);
    let moved = app.engine.tables_moved();
    let missing = |(event, seq): &(EventId, Seq)| app.records.checkpoint(*event) < *seq;
    let committed: Vec<(EventId, Seq)> = match event {
        Some(event) => match app.engine.find(event) {
            Some(Found::Loaded(sale)) => vec![(event, sale.view().seq())],
            Some(Found::Unloaded(summary)) => vec![(event, summary.seq)],
            None => Vec::new(),
        },
        None => app.engine.sales().iter().map(|sale| (sale.event(), sale.view().seq())).collect(),
    };
    let committed = committed.into_iter().filter(missing).collect();
    tokio::join!(app.readers.read_your_writes.wait(caller, app), until_written(committed, app.records.as_ref(), moved));
    Ok(())
}

/// Whose and which records `text` may name: a reservation, a payment or a buyer by id, a ticket by its number, a buyer by
/// e-mail address or the beginning of one or of a name, and within an event a seat by id or label.
pub(super) async fn named(ctx: &Context, event: Option<EventId>, text: &str) -> Result<Named, Problem> {
    let app = &ctx.app;
    let text = composed(text.trim());
    let mut named = Named::default();
    if let Some(id) = read_id(&text) {
        named.reservations.push(ReservationId(id));
        named.payments.push(PaymentId(id));
        named.buyers.push(BuyerId(id));
    } else {
        let hash = app.signer.email_hash(&email_key(&text));
        named.buyers = app.accounts.search(&text, hash, ACCOUNTS).await?;
    }
    if let Some((tag, serial)) = read_ticket_number(&text)
        && let Some(event) = app.engine.event_of(tag)
    {
        named.reservations.extend(app.search.by_ticket(event, serial).await?);
    }
    if let Some(event) = event.filter(|event| app.engine.find(*event).is_some()) {
        let plan = past_terms(app, event).await?.plan;
        let seats = tokio::task::spawn_blocking(Scope::carry(move || seats(&plan, &text))).await;
        let seats = seats.map_err(|error| Problem::internal().because(error))?;
        if !seats.is_empty() {
            named.reservations.extend(app.search.by_seats(event, seats).await?);
        }
    }
    Ok(named)
}

/// The same for a search of reservations: a payment names the one that it pays.
pub(super) async fn named_reservations(ctx: &Context, event: Option<EventId>, text: &str) -> Result<Named, Problem> {
    let mut named = named(ctx, event, text).await?;
    for payment in std::mem::take(&mut named.payments) {
        named.reservations.extend(ctx.app.records.payment(payment).await?.map(|payment| payment.reservation));
    }
    Ok(named)
}

/// The ids of the seats that `text` may mean: the seat of that id, or those that a ticket calls so, with or without their
/// section.
fn seats(plan: &Arc<Plan>, text: &str) -> Vec<String> {
    if let Some(seat) = plan.seat(text) {
        return vec![plan.seat_id(seat).to_owned()];
    }
    let text = text.to_lowercase();
    let all = plan.rows().iter().flat_map(|row| row.seats.clone().map(move |seat| (row, SeatIndex(seat))));
    let called = all.filter(|(row, seat)| {
        let in_row = format!("{}-{}", row.label, plan.seat_label(*seat));
        [in_row, plan.full_label(*seat)].iter().any(|label| label.to_lowercase() == text)
    });
    called.take(SEATS).map(|(_, seat)| plan.seat_id(seat).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onsale_engine::fakes::small_plan;

    #[test]
    fn a_seat_is_meant_by_its_id_or_by_what_a_ticket_calls_it() {
        let plan = small_plan(3, 5);
        let (id, label) = (plan.seat_id(SeatIndex(7)).to_owned(), plan.full_label(SeatIndex(7)));
        assert_eq!(seats(&plan, &id), [id.as_str()]);
        assert!(seats(&plan, &label).contains(&id) && seats(&plan, &label.to_lowercase()).contains(&id));
        assert_eq!(seats(&plan, "nowhere"), Vec::<String>::new());
    }
}
