//! Places through the runtime: one event for each buyer, a buyer who polls stays, and admission goes by the clock.

use super::house::{House, OPENING, buyer, until};
use onsale_engine::id::EventId;
use onsale_engine::ports::Clock as _;
use onsale_engine::runtime::{Refusal, SaleHandle};
use onsale_engine::sale::{Command, Fact, PlaceStatus};
use std::sync::Arc;
use std::time::Duration;

/// Two events whose rooms are open and whose sales begin in a minute.
fn two_rooms() -> (House, Arc<SaleHandle>) {
    let later = |config: &mut onsale_engine::sale::SaleConfig| {
        config.admission.required = true;
        config.sale_starts_at = OPENING + Duration::from_secs(60);
    };
    let house = House::with(later);
    let other = house.another(2, later);
    (house, other)
}

fn enter(house: &House, sale: &Arc<SaleHandle>, who: u64) -> Result<(), Refusal> {
    house.run(sale.ask(Command::Enter { buyer: buyer(who) }, house.soon())).map(drop)
}

fn claimed(house: &House, who: u64) -> Option<EventId> {
    house.engine.claims().of(buyer(who))
}

#[test]
fn a_buyer_waits_in_one_event_at_a_time() {
    let (house, other) = two_rooms();
    enter(&house, &house.sale, 1).unwrap();
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere));
    enter(&house, &house.sale, 1).unwrap();
    house.ask(Command::Leave { buyer: buyer(1) }).unwrap();
    until("the claim is given back", || claimed(&house, 1).is_none());
    enter(&house, &other, 1).unwrap();
    assert_eq!(claimed(&house, 1), Some(other.event()));
}

#[test]
fn a_refused_entry_claims_nobody() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.admission.room_opens_at = Some(OPENING + Duration::from_secs(60));
    });
    assert!(matches!(enter(&house, &house.sale, 1), Err(Refusal::Rejected(_))));
    assert_eq!(claimed(&house, 1), None);
}

#[test]
fn claims_are_there_again_after_a_crash() {
    let (house, _) = two_rooms();
    enter(&house, &house.sale, 1).unwrap();
    let house = house.crash();
    let other = house.engine.sale(super::house::event(2)).unwrap();
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere));
}

#[test]
fn where_no_admission_is_required_nobody_is_claimed() {
    let house = House::open();
    let other = house.another(2, |_| ());
    enter(&house, &house.sale, 1).unwrap();
    enter(&house, &other, 1).unwrap();
    assert_eq!(claimed(&house, 1), None);
}

#[test]
fn a_purchase_ends_the_claim() {
    let house = House::with_room();
    enter(&house, &house.sale, 1).unwrap();
    until("let in", || house.is_active(1));
    assert_eq!(claimed(&house, 1), Some(house.sale.event()));
    house.buy(1, &[3]);
    until("the claim is given back", || claimed(&house, 1).is_none());
    assert_eq!(house.place(1), None);
}

#[test]
fn a_slot_that_ends_ends_the_claim() {
    let house = House::with_room();
    enter(&house, &house.sale, 1).unwrap();
    until("let in", || house.is_active(1));
    house.clock.advance(Duration::from_secs(600));
    until("the slot ends", || house.written(|fact| matches!(fact, Fact::SlotExpired { .. })) == 1);
    until("the claim is given back", || claimed(&house, 1).is_none());
    assert_eq!(house.place(1).unwrap().status, PlaceStatus::Expired);
}

/// Slots of a day, and a sale of a minute: its end lets everybody go, and those who pay go on until they have paid.
#[test]
fn the_end_of_a_sale_ends_every_claim() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.admission.active_limit = Some(2);
        config.admission.token = Duration::from_secs(24 * 3600);
        config.sale_ends_at = OPENING + Duration::from_secs(60);
    });
    let other = house.another(2, |config| config.admission.required = true);
    for who in 1..=4 {
        enter(&house, &house.sale, who).unwrap();
    }
    house.clock.advance(Duration::from_millis(100));
    until("two are let in", || house.is_active(1) && house.is_active(2));
    let held = house.hold(2, &[3]);
    house.clock.advance(Duration::from_secs(60));
    for who in [1, 3, 4] {
        until("the claim is given back", || claimed(&house, who).is_none());
        enter(&house, &other, who).unwrap();
        assert_eq!(claimed(&house, who), Some(other.event()));
    }
    assert_eq!(house.written(|fact| matches!(fact, Fact::SlotExpired { .. })), 1);
    assert_eq!(house.written(|fact| matches!(fact, Fact::PlaceExpired { .. })), 2);
    assert_eq!(enter(&house, &other, 2), Err(Refusal::QueuedElsewhere), "a hold is pending");
    let payment = house.open_payment(&held);
    let answer = house.ask(house.confirm_of(&payment)).unwrap();
    house.run(answer.settlement.unwrap()).unwrap();
    until("the claim is given back", || claimed(&house, 2).is_none());
    enter(&house, &other, 2).unwrap();
}

#[test]
fn a_cancelled_sale_ends_every_claim() {
    let house = House::with_room();
    let other = house.another(2, |config| config.admission.required = true);
    enter(&house, &house.sale, 1).unwrap();
    until("let in", || house.is_active(1));
    house.hold(1, &[3]);
    enter(&house, &house.sale, 2).unwrap();
    house.ask(Command::CancelSale { by: buyer(1000) }).unwrap();
    for who in [1, 2] {
        until("the claim is given back", || claimed(&house, who).is_none());
        enter(&house, &other, who).unwrap();
    }
}

#[test]
fn a_buyer_who_polls_stays_and_one_who_does_not_goes() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.sale_starts_at = OPENING + Duration::from_secs(3600);
    });
    enter(&house, &house.sale, 1).unwrap();
    enter(&house, &house.sale, 2).unwrap();
    house.clock.advance(Duration::from_secs(200));
    house.sale.heartbeat(buyer(2), house.clock.now());
    house.clock.advance(Duration::from_secs(100));
    until("the silent one goes", || house.place(1).unwrap().status == PlaceStatus::Expired);
    assert_eq!(house.place(2).unwrap().status, PlaceStatus::PreQueue { rank: Some(1) });
    house.clock.advance(Duration::from_secs(200));
    until("the other one too, in time", || house.place(2).unwrap().status == PlaceStatus::Expired);
}

#[test]
fn who_comes_back_is_not_measured_by_the_place_before() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.sale_starts_at = OPENING + Duration::from_secs(3600);
    });
    enter(&house, &house.sale, 1).unwrap();
    house.clock.advance(Duration::from_secs(299));
    house.ask(Command::Leave { buyer: buyer(1) }).unwrap();
    enter(&house, &house.sale, 1).unwrap();
    // The first place would have been given up now; asking makes the sale look at its clock.
    house.clock.advance(Duration::from_secs(1));
    house.ask(Command::Leave { buyer: buyer(9) }).unwrap();
    assert_eq!(house.place(1).unwrap().status, PlaceStatus::PreQueue { rank: Some(1) });
    house.clock.advance(Duration::from_secs(299));
    until("now it is over", || house.place(1).unwrap().status == PlaceStatus::Expired);
}

#[test]
fn after_a_restart_absence_counts_from_zero() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.sale_starts_at = OPENING + Duration::from_secs(3600);
    });
    enter(&house, &house.sale, 1).unwrap();
    house.clock.advance(Duration::from_secs(299));
    let house = house.crash();
    house.clock.advance(Duration::from_secs(299));
    house.ask(Command::Leave { buyer: buyer(9) }).unwrap();
    assert_eq!(house.place(1).unwrap().status, PlaceStatus::PreQueue { rank: Some(1) });
    house.clock.advance(Duration::from_secs(1));
    until("now it is over", || house.place(1).unwrap().status == PlaceStatus::Expired);
}

#[test]
fn admission_keeps_its_rate_by_the_clock() {
    let house = House::with_room();
    for who in 0..35 {
        enter(&house, &house.sale, who).unwrap();
    }
    let active = || house.sale.view().steering().unwrap().active;
    for second in 1..=3_u64 {
        for _ in 0..10 {
            house.clock.advance(Duration::from_millis(100));
            house.ask(Command::Leave { buyer: buyer(99) }).unwrap();
        }
        let now = active();
        assert!((10 * second..=10 * second + 1).contains(&now), "{now} after {second} s");
    }
}

#[test]
fn who_watches_sees_every_commit() {
    let house = House::open();
    let mut changed = house.sale.changed();
    let before = *changed.borrow_and_update();
    house.hold(1, &[3]);
    house.run(changed.changed()).unwrap();
    assert_eq!(*changed.borrow_and_update(), before.next());
}
