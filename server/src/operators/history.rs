//! A reservation's history: what happened to it, when and by whom, read from the facts themselves. The tables keep where
//! in the journal they are, so it takes one read for each fact, also for an event that is not in memory. Must never scan
//! a journal.

use crate::http::{Context, Problem};
use crate::reservations::{Terms, ticket_number};
use crate::time::rfc3339;
use onsale_adapters::payment_failure;
use onsale_adapters::stored::FactKind;
use onsale_engine::id::{EventId, PaymentId, ReservationId, Seq};
use onsale_engine::money::Amount;
use onsale_engine::ports::ReadError;
use onsale_engine::sale::{Entry, Fact, PaymentFailure, PaymentStatus, Seats};
use onsale_engine::trace::Scope;
use serde::Serialize;

/// Facts in a history: the latest. Nearly all reservations have fewer than ten.
const MOST_FACTS: usize = 500;
/// Administrators' actions that are searched for the cancellation of the whole sale: the latest.
const MOST_READ: u64 = 1000;

/// See the module.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoryJson {
    story: Vec<StepJson>,
    /// Since when the story is known; null when nothing of it is.
    story_from: Option<String>,
    /// Whether it begins with the beginning.
    story_is_whole: bool,
}

/// Something that happened.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepJson {
    seq: u64,
    at: String,
    what: String,
    /// `BUYER`, `OPERATOR`, `PROVIDER` or `SYSTEM`.
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// A stable code of why.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seat_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_number: Option<String>,
}

/// The story of a reservation of that event.
///
/// # Errors
/// 503 when tables or journal do not answer, 500 when the journal is damaged there.
pub(super) async fn of(ctx: &Context, event: EventId, id: ReservationId, terms: &Terms) -> Result<StoryJson, Problem> {
    let mut seqs = ctx.app.search.story(id).await?;
    let is_cut = seqs.len() > MOST_FACTS;
    seqs.drain(..seqs.len().saturating_sub(MOST_FACTS));
    let engine = ctx.app.engine.clone();
    let read = tokio::task::spawn_blocking(Scope::carry(move || {
        let entries = engine.facts(event, &seqs)?;
        let may_be_swept = |fact: &Fact| matches!(fact, Fact::HoldReleased { .. } | Fact::ReservationCancelled { .. });
        let cancelled = match entries.iter().any(|entry| may_be_swept(&entry.fact)) {
            true => engine.audit(event, 0, MOST_READ)?.0,
            false => Vec::new(),
        };
        let cancelled = cancelled.into_iter().find(|entry| matches!(entry.fact, Fact::SaleCancelled { .. }));
        Ok((entries, cancelled.map(|entry| entry.seq)))
    }));
    let read = read.await.map_err(|error| Problem::internal().because(error))?;
    let (entries, cancelled) = read.map_err(|error: ReadError| match error {
        ReadError::Damaged { .. } => Problem::internal().because(error),
        ReadError::Unavailable(_) => Problem::storage_unavailable().because(error),
    })?;
    let begins = entries.first().is_some_and(|first| matches!(first.fact, Fact::SeatsHeld { .. }));
    Ok(StoryJson {
        story_from: entries.first().map(|first| rfc3339(first.at)),
        story_is_whole: begins && !is_cut,
        story: entries.iter().map(|entry| step(entry, terms, cancelled)).collect(),
    })
}

/// Describes one fact; `cancelled` is where the whole sale was, whose sweep releases and cancels as buyers do.
fn step(entry: &Entry, terms: &Terms, cancelled: Option<Seq>) -> StepJson {
    let is_swept = cancelled.is_some_and(|cancelled| entry.seq > cancelled);
    let by_buyer = if is_swept { "SYSTEM" } else { "BUYER" };
    let describer = Describer { terms, swept: is_swept.then(|| "SALE_CANCELLED".to_owned()) };
    let step = describer.fact(&entry.fact, by_buyer);
    StepJson { seq: entry.seq.0, at: rfc3339(entry.at), ..step }
}

struct Describer<'a> {
    terms: &'a Terms,
    swept: Option<String>,
}

impl Describer<'_> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "any other fact of a reservation is described by its name")]
    fn fact(&self, fact: &Fact, by_buyer: &'static str) -> StepJson {
        match fact {
            Fact::SeatsHeld { seats, amount, .. } => self.seats(happened("HELD", "BUYER"), seats, *amount),
            Fact::HoldChanged { seats, amount, .. } => self.seats(happened("CHANGED", "BUYER"), seats, *amount),
            Fact::HoldReleased { .. } => StepJson { code: self.swept.clone(), ..happened("RELEASED", by_buyer) },
            Fact::HoldExpired { .. } => happened("EXPIRED", "SYSTEM"),
            Fact::ReservationCancelled { refund, .. } => {
                StepJson { code: self.swept.clone(), amount: Some(refund.0), ..happened("CANCELLED", by_buyer) }
            }
            Fact::CancelledByOperator { refund, .. } => {
                StepJson { amount: Some(refund.0), ..by_operator(fact, "CANCELLED") }
            }
            Fact::ReleasedByOperator { .. } => by_operator(fact, "RELEASED"),
            Fact::ReservationConfirmed { payment, seats, ticket, .. } => StepJson {
                seat_ids: Some(self.seat_ids(seats)),
                ticket_number: Some(ticket_number(self.terms.event.tag(), *ticket)),
                ..of_payment("CONFIRMED", "SYSTEM", *payment)
            },
            _ => of_money(fact),
        }
    }

    fn seats(&self, step: StepJson, seats: &Seats, amount: Amount) -> StepJson {
        StepJson { seat_ids: Some(self.seat_ids(seats)), amount: Some(amount.0), ..step }
    }

    fn seat_ids(&self, seats: &Seats) -> Vec<String> {
        let plan = &self.terms.plan;
        seats.iter().filter(|seat| plan.has(**seat)).map(|seat| plan.seat_id(*seat).to_owned()).collect()
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "any other fact of a reservation is described by its name")]
fn of_money(fact: &Fact) -> StepJson {
    match fact {
        Fact::PaymentOpened { payment, amount, .. } => {
            StepJson { amount: Some(amount.0), ..of_payment("PAYMENT_OPENED", "BUYER", *payment) }
        }
        Fact::PaymentStarted { payment, transaction } => {
            let transaction_id = Some(transaction.to_string());
            StepJson { transaction_id, ..of_payment("PAYMENT_STARTED", "BUYER", *payment) }
        }
        Fact::PaymentUnknown { payment } => of_payment("PAYMENT_UNKNOWN", "PROVIDER", *payment),
        Fact::PaymentCaptured { payment, amount } => {
            StepJson { amount: Some(amount.0), ..of_payment("PAYMENT_CAPTURED", "PROVIDER", *payment) }
        }
        Fact::PaymentFailed { payment, reason } => {
            let by_provider = matches!(reason, PaymentFailure::Declined(_) | PaymentFailure::NotCharged);
            let by = if by_provider { "PROVIDER" } else { "SYSTEM" };
            let code = payment_failure(&PaymentStatus::Failed(reason.clone()));
            StepJson { code, ..of_payment("PAYMENT_FAILED", by, *payment) }
        }
        Fact::RefundOrdered { payment, amount, reason } => {
            let code = payment_failure(&PaymentStatus::Refunded { reason: *reason, settled: false });
            StepJson { code, amount: Some(amount.0), ..of_payment("REFUND_ORDERED", "SYSTEM", *payment) }
        }
        Fact::PaymentRefunded { payment } => of_payment("REFUND_SETTLED", "PROVIDER", *payment),
        other => happened(&FactKind::of(other).name().to_uppercase(), "SYSTEM"),
    }
}

fn happened(what: &str, by: &'static str) -> StepJson {
    StepJson { what: what.to_owned(), by, ..StepJson::default() }
}

fn of_payment(what: &str, by: &'static str, payment: PaymentId) -> StepJson {
    StepJson { payment_id: Some(payment.to_string()), ..happened(what, by) }
}

fn by_operator(fact: &Fact, what: &str) -> StepJson {
    let operator_id = fact.by_operator().map(|by| by.to_string());
    let reason = fact.reason_of_operator().map(str::to_owned);
    StepJson { operator_id, reason, ..happened(what, "OPERATOR") }
}
