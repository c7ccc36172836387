//! Absence: a waiting buyer without a heartbeat loses the place.

use crate::sale::PlaceStatus;
use crate::sale::tests::stage::Stage;

#[test]
fn an_absent_buyer_is_expired_and_joins_at_the_end() {
    let mut stage = Stage::crowd();
    stage.buyer(1).goes_silent();
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
    assert_eq!(stage.buyer(2).rank(), Some(1));
    stage.buyer(1).enters();
    assert_eq!(stage.buyer(1).rank(), Some(3));
    stage.at("10:00:00.5").buyer(2).goes_silent();
    assert!(stage.buyer(2).is_active(), "who shops is not absent");
}
