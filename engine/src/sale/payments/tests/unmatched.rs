//! What a provider may say of a payment, at every state that the payment may be in: money that moved is accounted for, or
//! recorded for an operator to look into, once.

use crate::id::PaymentId;
use crate::limits::UNMATCHED_KEPT;
use crate::money::Amount;
use crate::sale::tests::stage::Stage;
use crate::sale::{ChargeOutcome, Command, Fact, MoneyMoved, PaymentStatus, Sale};

/// States of a payment of 100.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Unknown,
    Opened,
    Charging,
    Captured,
    Declined,
    NotCharged,
    HoldEnded,
    RefundOwed,
    Refunded,
}

const STATES: [State; 9] = [
    State::Unknown,
    State::Opened,
    State::Charging,
    State::Captured,
    State::Declined,
    State::NotCharged,
    State::HoldEnded,
    State::RefundOwed,
    State::Refunded,
];

fn payment_in(state: State) -> (Stage, PaymentId) {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = match state {
        State::Unknown => PaymentId(stage.next()),
        State::Opened | State::HoldEnded => stage.buyer(1).opens_payment(hold),
        _ => stage.buyer(1).starts_paying(hold),
    };
    match state {
        State::Unknown | State::Opened | State::Charging => {}
        State::Captured => drop(stage.captures(payment)),
        State::Declined => drop(stage.declines(payment)),
        State::NotCharged => drop(stage.provider_says(payment, ChargeOutcome::NotCharged)),
        State::HoldEnded => stage.buyer(1).releases(hold),
        State::RefundOwed | State::Refunded => {
            stage.captures(payment);
            stage.buyer(1).cancels(hold);
            if state == State::Refunded {
                stage.refunds(payment);
            }
        }
    }
    (stage, payment)
}

/// What follows from a command: the names of its facts, or of the refusal.
fn follows(stage: &mut Stage, command: &Command) -> Vec<String> {
    let before = stage.journal.len();
    let name = |printed: String| printed.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    match stage.submit(command) {
        Ok(_) => stage.journal[before..].iter().map(|entry| name(format!("{:?}", entry.fact))).collect(),
        Err(no) => vec![name(format!("{no:?}"))],
    }
}

/// The table: what the provider says, and what follows in each state of [`STATES`]. An unmatched outcome is the fact that
/// an accountant sees; nothing at all is a repeat, or says that no money moved.
#[test]
fn every_outcome_in_every_state() {
    const CONFIRMED: &str = "PaymentCaptured ReservationConfirmed";
    const GIVEN_BACK: &str = "PaymentCaptured RefundOrdered";
    const UNMATCHED: &str = "OutcomeUnmatched";
    const NONE: &str = "";
    const NOT_FOUND: &str = "PaymentNotFound";
    const FAILED: &str = "PaymentFailed";
    let captured = |amount| Some(ChargeOutcome::Captured { amount: Amount(amount) });
    let table: [(Option<ChargeOutcome>, [&str; 9]); 6] = [
        // The same amount: the hold is paid, late money finds its seats or goes back, the rest are repeats.
        (captured(100), [UNMATCHED, CONFIRMED, CONFIRMED, NONE, CONFIRMED, CONFIRMED, GIVEN_BACK, NONE, NONE]),
        // Another amount: given back where nothing was taken before, else a second charge.
        (
            captured(99),
            [UNMATCHED, GIVEN_BACK, GIVEN_BACK, UNMATCHED, GIVEN_BACK, GIVEN_BACK, GIVEN_BACK, UNMATCHED, UNMATCHED],
        ),
        (
            Some(ChargeOutcome::Declined { reason: "no_funds".into() }),
            [NOT_FOUND, FAILED, FAILED, NONE, NONE, NONE, NONE, NONE, NONE],
        ),
        (Some(ChargeOutcome::NotCharged), [NOT_FOUND, FAILED, FAILED, NONE, NONE, NONE, NONE, NONE, NONE]),
        (Some(ChargeOutcome::Unknown), [NOT_FOUND, NONE, "PaymentUnknown", NONE, NONE, NONE, NONE, NONE, NONE]),
        // A refund: where one is owed it is settled, and where none is nobody ordered it.
        (None, [UNMATCHED, UNMATCHED, UNMATCHED, UNMATCHED, UNMATCHED, UNMATCHED, UNMATCHED, "PaymentRefunded", NONE]),
    ];
    for (outcome, expected) in table {
        for (state, expected) in STATES.into_iter().zip(expected) {
            let (mut stage, payment) = payment_in(state);
            let command = match &outcome {
                Some(outcome) => Command::SettleCharge { payment, outcome: outcome.clone() },
                None => Command::SettleRefund { payment },
            };
            assert_eq!(follows(&mut stage, &command).join(" "), expected, "{outcome:?} while {state:?}");
            let again = if expected == NOT_FOUND { NOT_FOUND } else { NONE };
            assert_eq!(follows(&mut stage, &command).join(" "), again, "{outcome:?} after {state:?}, once more");
            stage.restarts();
            assert_eq!(follows(&mut stage, &command).join(" "), again, "{outcome:?} after a restart");
            stage.sale = Sale::from_snapshot(stage.sale.snapshot());
            assert_eq!(follows(&mut stage, &command).join(" "), again, "{outcome:?} after a restart from a snapshot");
        }
    }
}

#[test]
fn what_is_unmatched_is_listed_with_its_amount() {
    let (mut stage, payment) = payment_in(State::Captured);
    let second = MoneyMoved::Captured { amount: Amount(250) };
    stage.provider_says(payment, ChargeOutcome::Captured { amount: Amount(250) });
    stage.submit(&Command::SettleRefund { payment }).unwrap();
    let listed: Vec<_> = stage.sale.unmatched().into_iter().map(|row| (row.payment, row.moved)).collect();
    assert_eq!(listed, [(payment, second), (payment, MoneyMoved::Refunded)]);
    assert_eq!(stage.payment(payment), PaymentStatus::Captured, "the payment itself stays as it is");
}

#[test]
fn no_more_is_remembered_than_a_bound() {
    let mut stage = Stage::theatre();
    let moved = MoneyMoved::Refunded;
    let payments: Vec<PaymentId> = (0..=UNMATCHED_KEPT).map(|_| PaymentId(stage.next())).collect();
    for payment in &payments {
        stage.happens(Fact::OutcomeUnmatched { payment: *payment, moved });
    }
    assert_eq!(stage.sale.unmatched().len(), UNMATCHED_KEPT);
    assert_eq!(stage.sale.unmatched()[0].payment, payments[1]);
}
