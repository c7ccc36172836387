//! A charge whose outcome is not known.

use crate::sale::tests::stage::Stage;
use crate::sale::{ChargeOutcome, PaymentFailure, PaymentStatus};

#[test]
fn an_unknown_outcome_is_a_state_and_a_capture_settles_it() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.payment(payment), PaymentStatus::Charging);
    let seq = stage.sale.seq();
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.sale.seq(), seq, "it is recorded once");
    assert_eq!(stage.sale.open_money().0.len(), 1);
    stage.captures(payment).shows("A", "ss........");
    assert_eq!(stage.sale.open_money().0.len(), 0);
}

#[test]
fn an_unknown_outcome_that_was_no_charge_frees_the_hold_for_another() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Unknown).provider_says(payment, ChargeOutcome::NotCharged);
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::NotCharged));
    stage.buyer(1).pays(hold);
}
