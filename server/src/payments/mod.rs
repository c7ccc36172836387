//! Payments over HTTP: open, confirm, and one's own payments. Must never speak to a provider: a confirmed payment is
//! charged by the effect that its durable fact orders.

mod declines;
mod own;
mod view;

pub use view::PaymentJson;

use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, Stored, response};
use crate::limits::Family;
use crate::reservations::note;
use crate::sales;
use declines::Declines;
use http::StatusCode;
use onsale_engine::id::{PaymentId, ReservationId};
use onsale_engine::limits::{CHARGE_TIMEOUT_MAX, MAX_TRANSACTION_BYTES};
use onsale_engine::money::{Amount, Currency};
use onsale_engine::runtime::{Answer, Refusal, SaleHandle};
use onsale_engine::sale::{
    Command, ConfirmPayment, OpenPayment, PaymentFailure, PaymentStatus, PaymentView, RefundReason, Rejection, Reply,
    ReservationState,
};
use own::Own;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use view::{OpenedJson, UnsettledJson, as_paid};

/// After which a buyer asks again about a payment that the provider has not settled.
const POLL_AFTER_SECONDS: u32 = 3;
/// How much earlier than the provider's time-out a buyer is answered 202: later the same payment may be found not
/// charged, and whether a buyer receives 202 or 402 must not depend on a millisecond.
const BEFORE_TIMEOUT: Duration = Duration::from_millis(100);
/// Amounts in requests: what a hall costs stays far below.
const AMOUNTS: std::ops::RangeInclusive<i64> = 0..=i64::MAX / 2;

/// A payment of this is confirmed without a charge: no provider is asked, so none can be unavailable or decline.
const FREE: Amount = Amount(0);

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/payments", open).keyed().limited(Family::Payment),
        Route::post("/api/v1/payments/confirm", confirm)
            .keyed()
            .extra_time(CHARGE_TIMEOUT_MAX)
            .limited(Family::Payment)
            .long_by_nature(),
        Route::get("/api/v1/payments", own::list).limited(Family::Read),
        Route::get("/api/v1/payments/{id}", own::read).limited(Family::Read),
    ]
}

async fn open(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let body = Object::root(&json.value, &mut mistakes);
    let reservation = body.id(&mut mistakes, "reservationId").map(ReservationId);
    let amount = body.integer(&mut mistakes, "amount", AMOUNTS).map(Amount);
    let method = body.text(&mut mistakes, "paymentMethod", 1..=20);
    if method.is_some_and(|method| method != "CARD") {
        mistakes.add("paymentMethod", "one of CARD");
    }
    mistakes.check()?;
    let (Some(reservation), Some(amount)) = (reservation, amount) else { return Err(mistakes.refuse()) };

    let buyer = ctx.buyer()?;
    let key = ctx.request_key(&request, &json.bytes)?;
    let sale = own::payable(&ctx, reservation).await?;
    let stored = sales::stored(&sale, key);
    ctx.looked_up(stored).await?;
    if stored == Stored::Nothing && amount != FREE && sale.view().pending_payment(reservation).is_none() {
        check_provider(&ctx)?;
    }
    let payment = PaymentId::new(sale.event(), ctx.now().unix_millis(), rand::random());
    let command = Command::OpenPayment(OpenPayment { payment, buyer, reservation, amount, key });
    let answer = sale.submit(command, ctx.deadline).await.map_err(sales::refused)?;
    note(&ctx, sale.event(), answer.seq)?;
    let view = payment_of(answer.reply)?;
    let currency = currency(&sale)?;
    let location = format!("/api/v1/payments/{}", view.id);
    let opened = OpenedJson::new(&view, &currency, ctx.app.payments.name(), &ctx.app.signer);
    response::created(location, &opened)
}

/// What a confirmation says, read and valid.
struct Confirmation<'a> {
    reservation: ReservationId,
    payment: PaymentId,
    payment_key: &'a str,
    transaction: &'a str,
    amount: Amount,
}

impl<'a> Confirmation<'a> {
    fn read(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<Self> {
        let reservation = body.id(mistakes, "reservationId").map(ReservationId);
        let payment = body.id(mistakes, "paymentId").map(PaymentId);
        let payment_key = body.text(mistakes, "paymentKey", 1..=200);
        let transaction = transaction(body, mistakes);
        if transaction.is_some_and(|name| name.len() > MAX_TRANSACTION_BYTES) {
            mistakes.add("transactionId", format!("at most {MAX_TRANSACTION_BYTES} bytes"));
        }
        let amount = body.integer(mistakes, "amount", AMOUNTS).map(Amount);
        Some(Self {
            reservation: reservation?,
            payment: payment?,
            payment_key: payment_key?,
            transaction: transaction?,
            amount: amount?,
        })
    }
}

/// The provider's name for the transaction; there is none when there is nothing to charge.
fn transaction<'a>(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<&'a str> {
    let is_free = body.value("amount").and_then(Value::as_i64) == Some(FREE.0);
    if is_free && body.value("transactionId").is_none_or(|name| name == "") {
        return Some("");
    }
    body.text(mistakes, "transactionId", 1..=MAX_TRANSACTION_BYTES)
}

async fn confirm(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let asked = Confirmation::read(&Object::root(&json.value, &mut mistakes), &mut mistakes);
    mistakes.check()?;
    let Some(asked) = asked else { return Err(mistakes.refuse()) };

    let buyer = ctx.buyer()?;
    let key = ctx.request_key(&request, &json.bytes)?;
    let found = own::find(&ctx, asked.payment).await?;
    if found.view().reservation != asked.reservation {
        return Err(sales::no_payment());
    }
    // Only now: nobody can have the key of a payment that is not there.
    if !ctx.app.signer.fits_payment_key(asked.payment_key, asked.payment, buyer) {
        mistakes.add("paymentKey", "not the key of this payment");
        return Err(mistakes.refuse());
    }
    let (sale, view) = match found {
        Own::Live(sale, view) => (sale, view),
        Own::Past(view, currency) if view.amount == asked.amount => return past_outcome(&ctx, &view, &currency).await,
        Own::Past(..) => return Err(sales::refused(Refusal::Rejected(Rejection::AmountMismatch))),
    };
    ctx.looked_up(sales::stored(&sale, key)).await?;
    let declines = Declines::of(&ctx, buyer);
    let starts = view.status == PaymentStatus::Opened && view.amount != FREE;
    if starts {
        check_provider(&ctx)?;
        declines.check(&ctx)?;
    }
    let command = Command::ConfirmPayment(ConfirmPayment {
        buyer,
        payment: asked.payment,
        reservation: asked.reservation,
        amount: asked.amount,
        transaction: asked.transaction.into(),
        key,
    });
    let answer = sale.submit(command, ctx.deadline).await.map_err(sales::refused)?;
    settled(&ctx, &sale, answer, starts.then_some(&declines)).await
}

/// Waits for the provider, within its time, and says what became of the payment; a charge that the request has started
/// counts among the declined ones if it was.
async fn settled(
    ctx: &Context,
    sale: &Arc<SaleHandle>,
    answer: Answer,
    started: Option<&Declines>,
) -> Result<Response, Problem> {
    let Answer { reply, settlement, .. } = answer;
    let mut view = payment_of(reply)?;
    if let Some(settlement) = settlement {
        let timeout = ctx.app.charge_timeout.saturating_sub(BEFORE_TIMEOUT.min(ctx.app.charge_timeout / 10));
        view = match tokio::time::timeout(timeout, settlement).await {
            Ok(Ok(settled)) => settled,
            // Another owner goes on with it: what became of it is not known here.
            Ok(Err(_)) if !sale.is_readable() => return Err(Problem::deadline_exceeded()),
            // The actor was rebuilt meanwhile: the committed state decides.
            Ok(Err(_)) => sale.view().payment(view.id).unwrap_or(view),
            Err(_) => view,
        };
    }
    if let Some(declines) = started {
        declines.count(ctx, &view).await;
    }
    let (confirmed, seq) = {
        let state = sale.view();
        let reservation = state.reservation(view.reservation);
        (reservation.is_some_and(|reservation| reservation.confirmed_at.is_some()), state.seq())
    };
    note(ctx, sale.event(), seq)?;
    outcome(&view, &currency(sale)?, confirmed)
}

/// The same of a payment that memory has let go of, with its reservation: as the sale would say it.
async fn past_outcome(ctx: &Context, view: &PaymentView, currency: &Currency) -> Result<Response, Problem> {
    let record = ctx.app.records.reservation(view.reservation).await?.ok_or_else(Problem::storage_unavailable)?;
    if view.status == PaymentStatus::Failed(PaymentFailure::HoldEnded) {
        let state = ReservationState::of(&record.reservation);
        return Err(sales::refused(Refusal::Rejected(Rejection::HoldExpired(state))));
    }
    outcome(view, currency, record.reservation.confirmed_at.is_some())
}

/// The answer to a payment that was confirmed: the same at every call. `was_sold` says whether
/// its seats were ever the buyer's.
fn outcome(view: &PaymentView, currency: &Currency, was_sold: bool) -> Result<Response, Problem> {
    let answer = |problem: Problem| {
        let json = serde_json::to_value(PaymentJson::new(view, currency)).unwrap_or_default();
        Err(problem.with("payment", json))
    };
    match &view.status {
        PaymentStatus::Opened | PaymentStatus::Charging => {
            response::json(StatusCode::ACCEPTED, &UnsettledJson::new(view, currency, POLL_AFTER_SECONDS))
        }
        PaymentStatus::Captured
        | PaymentStatus::Refunded { reason: RefundReason::BuyerCancelled | RefundReason::OperatorCancelled, .. } => {
            response::ok(&PaymentJson::new(&as_paid(view), currency))
        }
        PaymentStatus::Refunded { reason: RefundReason::SaleCancelled, .. } if was_sold => {
            response::ok(&PaymentJson::new(&as_paid(view), currency))
        }
        PaymentStatus::Refunded { reason: RefundReason::SaleCancelled, .. }
        | PaymentStatus::Failed(PaymentFailure::SaleCancelled) => {
            answer(sales::refused(Refusal::Rejected(Rejection::SaleCancelled)))
        }
        PaymentStatus::Refunded { reason: RefundReason::TooLate, .. } => {
            answer(sales::refused(Refusal::Rejected(Rejection::HoldExpired(ReservationState::Expired))))
        }
        PaymentStatus::Refunded { reason: RefundReason::AmountMismatch, .. }
        | PaymentStatus::Failed(PaymentFailure::AmountMismatch) => answer(sales::not_paid("AMOUNT_MISMATCH")),
        PaymentStatus::Failed(PaymentFailure::Declined(_)) => answer(sales::not_paid("DECLINED")),
        PaymentStatus::Failed(PaymentFailure::NotCharged) => answer(sales::not_paid("NOT_CHARGED")),
        // Its hold is another one now, with a payment of its own.
        PaymentStatus::Failed(PaymentFailure::HoldEnded) => answer(sales::not_paid("HOLD_CHANGED")),
    }
}

/// Whether payments can be started: an unavailable provider ends none that has been.
fn check_provider(ctx: &Context) -> Result<(), Problem> {
    if ctx.app.payments.is_unavailable() {
        let detail = "the payment provider does not answer; nothing was done";
        return Err(Problem::unavailable("PAYMENT_PROVIDER_UNAVAILABLE", detail, 30));
    }
    Ok(())
}

fn currency(sale: &SaleHandle) -> Result<Currency, Problem> {
    let view = sale.view();
    view.config().map(|config| config.currency).ok_or_else(Problem::not_found)
}

/// The payment of an answer that must have one.
fn payment_of(reply: Reply) -> Result<PaymentView, Problem> {
    match reply {
        Reply::Payment(view) => Ok(*view),
        Reply::Done | Reply::Reservation(_) | Reply::Place(_) | Reply::Steering(_) => {
            tracing::error!("a sale answered something else than a payment");
            Err(Problem::internal())
        }
    }
}
