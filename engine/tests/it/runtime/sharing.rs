//! Engines that share claims and copies with one another, and what becomes of them without.

use super::house::{House, OPENING, buyer, event, until};
use onsale_engine::fakes::FakeShared;
use onsale_engine::id::EventId;
use onsale_engine::ports::shared::{SharedClaims, Standing};
use onsale_engine::runtime::{Refusal, SaleHandle, Sharing};
use onsale_engine::sale::{Command, PlaceState, SaleConfig};
use std::sync::Arc;
use std::time::Duration;

/// A room that is open while its sale is not.
fn later(config: &mut SaleConfig) {
    config.admission.required = true;
    config.sale_starts_at = OPENING + Duration::from_secs(60);
}

/// A node with a room of its own, which the others do not serve.
fn node(shared: &FakeShared, number: u128) -> (House, Arc<SaleHandle>) {
    let house = House::open();
    let sharing = Sharing { claims: Arc::new(shared.clone()), copies: Arc::new(shared.clone()) };
    house.run(async { house.engine.share(sharing) });
    let room = house.another(number, later);
    (house, room)
}

fn enter(house: &House, sale: &Arc<SaleHandle>, who: u64) -> Result<(), Refusal> {
    house.run(sale.ask(Command::Enter { buyer: buyer(who) }, house.soon())).map(drop)
}

fn leave(house: &House, sale: &Arc<SaleHandle>, who: u64) {
    house.run(sale.ask(Command::Leave { buyer: buyer(who) }, house.soon())).unwrap();
}

/// Whether the copy of a room has everybody in it, each where they stand.
fn is_copied(shared: &FakeShared, room: &SaleHandle) -> bool {
    let view = room.view();
    let places = view.places();
    let live = places.iter().filter_map(|place| match place.state {
        PlaceState::Waiting => Some((place.buyer, Standing::Waiting(place.ordinal))),
        PlaceState::Active { slot, expires_at, .. } => Some((place.buyer, Standing::Active(slot, expires_at))),
        PlaceState::Expired { .. } => None,
    });
    let live: std::collections::BTreeMap<_, _> = live.collect();
    shared.copy(room.event()).is_some_and(|copy| copy.places == live && copy.counts == view.counts())
}

#[test]
fn a_buyer_waits_in_one_event_on_all_nodes() {
    let shared = FakeShared::default();
    let ((one, here), (other, there)) = (node(&shared, 11), node(&shared, 12));
    enter(&one, &here, 1).unwrap();
    assert_eq!(enter(&other, &there, 1), Err(Refusal::QueuedElsewhere));
    assert_eq!(other.engine.claims().of(buyer(1)), None, "a refused entry claims nobody");
    enter(&one, &here, 1).unwrap();
    enter(&other, &there, 2).unwrap();
    leave(&one, &here, 1);
    until("given back", || shared.claimed(buyer(1)).is_none());
    enter(&other, &there, 1).unwrap();
    assert_eq!(enter(&one, &here, 1), Err(Refusal::QueuedElsewhere));
}

#[test]
fn a_claim_whose_end_was_never_reported_does_not_bind_a_node_that_knows_better() {
    let shared = FakeShared::default();
    let (house, room) = node(&shared, 11);
    let stale = house.another(12, later);
    house.run(shared.claim(buyer(1), stale.event(), None)).unwrap();
    enter(&house, &room, 1).unwrap();
    assert_eq!(shared.claimed(buyer(1)), Some(room.event()));
    // Of an event that it does not serve it knows nothing.
    house.run(shared.claim(buyer(2), EventId(uuid::Uuid::from_u128(7)), None)).unwrap();
    assert_eq!(enter(&house, &room, 2), Err(Refusal::QueuedElsewhere));
}

#[test]
fn copies_follow_and_are_made_again_after_a_loss() {
    let shared = FakeShared::default();
    let (house, room) = node(&shared, 11);
    for who in 1..=30 {
        enter(&house, &room, who).unwrap();
    }
    until("copied", || is_copied(&shared, &room));
    leave(&house, &room, 7);
    until("copied again", || is_copied(&shared, &room));
    shared.wipe();
    until("made again", || is_copied(&shared, &room) && shared.copy(event(1)).is_some());
    assert_eq!(shared.claimed(buyer(8)), Some(room.event()));
    let health = house.engine.copies().unwrap();
    assert!(health.writes > 0 && health.whole >= 2, "{health:?}");
}

#[test]
fn without_the_others_it_goes_on_and_they_hear_of_it_later() {
    let shared = FakeShared::default();
    let ((one, here), (other, there)) = (node(&shared, 11), node(&shared, 12));
    shared.go(true);
    enter(&one, &here, 1).unwrap();
    assert_eq!(enter(&one, &one.another(13, later), 1), Err(Refusal::QueuedElsewhere), "its own claim stands");
    enter(&other, &there, 2).unwrap();
    leave(&other, &there, 2);
    until("noticed", || one.engine.copies().is_some_and(|health| health.failures > 0));
    shared.go(false);
    until("the copy and the claim are written", || {
        is_copied(&shared, &here) && shared.claimed(buyer(1)) == Some(here.event())
    });
    assert_eq!(enter(&other, &there, 1), Err(Refusal::QueuedElsewhere));
    enter(&one, &here, 2).unwrap();
}
