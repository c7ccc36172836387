//! What status reads show: expired places, sales without admission, ranks before a draw.

use crate::sale::PlaceStatus;
use crate::sale::tests::stage::Stage;

#[test]
fn an_expired_place_is_shown_for_ten_minutes() {
    let mut stage = Stage::crowd();
    stage.buyer(1).goes_silent();
    stage.at("09:39:59.999999");
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
    stage.at("09:40:00");
    assert_eq!(stage.buyer(1).place(), None);
    stage.buyer(4).enters();
    assert_eq!(stage.buyer(1).place(), None);
    assert_eq!(stage.sale.snapshot().room.places.len(), 3, "and then forgotten");
}

#[test]
fn where_admission_is_not_required_everyone_is_in() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    let PlaceStatus::Active { slot: None, .. } = stage.buyer(1).enters() else { panic!("not let in") };
    assert_eq!(stage.sale.steering().unwrap().active, 0, "and counts nowhere");
    stage.buyer(1).without_token().holds(["A-1"]);
}

#[test]
fn with_a_draw_no_rank_is_shown_before_the_opening() {
    let mut stage = Stage::with_room().rules(|config| config.admission.draw = true);
    assert_eq!(stage.buyer(1).enters(), PlaceStatus::PreQueue { rank: None });
}
