//! How many seats one buyer may have.

use crate::sale::Rejection;
use crate::sale::tests::stage::Stage;

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn the_limit_counts_all_pending_and_confirmed_seats_of_a_buyer() {
    let mut stage = on_sale();
    stage
        .buyer(1)
        .cannot_hold(["A-1", "A-2", "A-3", "A-4", "A-5"])
        .because(Rejection::SeatLimitExceeded { limit: 4, has: 0 });
    let paid = stage.buyer(1).holds(["A-1", "A-2"]);
    stage.buyer(1).pays(paid);
    let pending = stage.buyer(1).holds(["B-1"]);
    stage.buyer(1).cannot_hold(["B-2", "B-3"]).because(Rejection::SeatLimitExceeded { limit: 4, has: 3 });
    stage.buyer(1).cannot_hold_best("R", 2).because(Rejection::SeatLimitExceeded { limit: 4, has: 3 });
    stage
        .buyer(1)
        .cannot_change(pending, ["B-1", "B-2", "B-3"])
        .because(Rejection::SeatLimitExceeded { limit: 4, has: 2 });
    stage.buyer(1).changes(pending, ["B-2", "B-3"]);
    stage.buyer(2).holds(["A-5", "A-6", "A-7", "A-8"]);
    stage.buyer(1).releases(pending);
    stage.buyer(1).cancels(paid);
    stage.buyer(1).holds(["A-1", "A-2", "B-1", "B-2"]);
}

#[test]
fn an_expired_hold_counts_no_more() {
    let mut stage = on_sale();
    stage.buyer(1).holds(["A-1", "A-2", "A-3", "A-4"]);
    stage.at("10:05:00").buyer(1).holds(["A-5", "A-6", "A-7", "A-8"]);
}
