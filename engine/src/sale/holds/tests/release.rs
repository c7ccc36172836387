//! Releasing a hold.

use crate::sale::tests::stage::Stage;
use crate::sale::{Rejection, ReservationState, ReservationStatus};

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn releasing_again_is_no_mistake() {
    let mut stage = on_sale();
    let (hold, late) = (stage.buyer(1).holds(["A-1"]), stage.buyer(1).holds(["A-2"]));
    stage.buyer(1).releases(hold);
    stage.shows("A", ".h........");
    stage.buyer(1).releases(hold);
    stage.at("10:05:00").buyer(1).releases(late);
    assert_eq!((stage.status(hold), stage.status(late)), (ReservationStatus::Cancelled, ReservationStatus::Expired));
    let paid = stage.buyer(1).holds(["A-3"]);
    stage.buyer(1).pays(paid);
    stage.buyer(1).cannot_release(paid).because(Rejection::NotPending(ReservationState::Confirmed));
}
