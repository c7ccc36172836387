//! The limit of seats for buyers whose e-mail address a deleted account had: what that one bought counts as well. The sale
//! knows single buyers only, so their commands are sent one after the other from here. Must never delay any other buyer.

use crate::http::{Context, Problem};
use crate::reservations::Terms;
use crate::sales;
use onsale_engine::id::BuyerId;
use onsale_engine::runtime::{Answer, Refusal, SaleHandle};
use onsale_engine::sale::{Command, Rejection};
use std::sync::Arc;

/// Sends a command by which `buyer` would have `quantity` seats in the place of `own` of theirs.
pub(super) async fn take(
    ctx: &Context,
    sale: &Arc<SaleHandle>,
    terms: &Terms,
    (buyer, quantity, own): (BuyerId, usize, usize),
    command: Command,
) -> Result<Answer, Problem> {
    let Some(before) = ctx.app.predecessors.of(buyer) else {
        return sale.submit(command, ctx.deadline).await.map_err(sales::refused_at(&terms.plan));
    };
    let (app, sale, plan, deadline) = (Arc::clone(&ctx.app), Arc::clone(sale), Arc::clone(&terms.plan), ctx.deadline);
    // To the end: the next command of this buyer is counted when this one is committed or refused, not before.
    ctx.to_the_end(async move {
        let _turn = app.in_flight.take(buyer.0.as_u128()).await;
        check(&sale, &before, buyer, quantity, own)
            .map_err(|rejection| sales::refused(Refusal::Rejected(rejection)))?;
        sale.submit(command, deadline).await.map_err(sales::refused_at(&plan))
    })
    .await
}

fn check(sale: &SaleHandle, before: &[BuyerId], buyer: BuyerId, quantity: usize, own: usize) -> Result<(), Rejection> {
    let view = sale.view();
    let Some(limit) = view.config().map(|config| config.max_seats_per_buyer) else { return Ok(()) };
    let former: usize = before.iter().map(|former| usize::from(view.seats_of_buyer(*former))).sum();
    // Without seats from before, the sale's own count is all there is.
    let has = (usize::from(view.seats_of_buyer(buyer)) + former).saturating_sub(own);
    if former > 0 && has + quantity > usize::from(limit) {
        let has = u16::try_from(has).unwrap_or(u16::MAX);
        return Err(Rejection::SeatLimitExceeded { limit, has });
    }
    Ok(())
}
