//! After a crash, a restart, a panic: everything that was answered is there, behind the same route.

use super::house::{House, OPENING, buyer, event, reservation, until};
use onsale_engine::fakes::small_plan;
use onsale_engine::id::{Ordinal, SeatIndex, Seq};
use onsale_engine::limits::{LOST_ORDINALS, ORDINAL_BLOCK};
use onsale_engine::money::Amount;
use onsale_engine::ports::records::Records;
use onsale_engine::runtime::Refusal;
use onsale_engine::sale::{Command, Fact, PaymentStatus, PlaceStatus, ReservationStatus, SalePhase};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_crash_loses_nothing_that_was_answered() {
    let house = House::open();
    let held = house.hold(1, &[3, 4]);
    let bought = house.buy(2, &[10]);
    let released = house.hold(3, &[20]);
    house.ask(Command::ReleaseHold { buyer: buyer(3), reservation: released.id }).unwrap();
    let lost = house.hang_on(&[30]);
    let house = house.crash();
    let view = house.sale.view();
    assert_eq!(view.reservation(held.id), Some(held));
    assert_eq!(view.payment(bought.id), Some(bought.clone()));
    assert_eq!(view.reservation(bought.reservation).unwrap().status, ReservationStatus::Confirmed);
    assert_eq!(view.reservation(released.id).unwrap().status, ReservationStatus::Cancelled);
    assert_eq!(
        view.seats_held(),
        [SeatIndex(3), SeatIndex(4)],
        "and nothing more: nobody was answered about the other"
    );
    drop((view, lost));
    house.hold(4, &[30]);
}

#[test]
fn ordinals_are_not_issued_twice_across_a_crash() {
    let house = House::with_room();
    house.ask(Command::Enter { buyer: buyer(1) }).unwrap();
    until("the first is let in", || house.is_active(1));
    let house = house.crash();
    assert!(house.is_active(1));
    house.ask(Command::Enter { buyer: buyer(2) }).unwrap();
    let ordinal = |entry: &onsale_engine::sale::Entry| match entry.fact {
        Fact::Entered { ordinal, .. } => Some(ordinal),
        _ => None,
    };
    let issued: Vec<Ordinal> = house.entries().iter().filter_map(ordinal).collect();
    assert_eq!(issued, [Ordinal(1), Ordinal(ORDINAL_BLOCK + LOST_ORDINALS + 1)]);
}

#[test]
fn a_sale_goes_on_from_a_snapshot() {
    let settings = onsale_engine::runtime::Settings { snapshot_every: 10, ..Default::default() };
    let house = House::with_settings(settings, Arc::default(), |_| ());
    let holds: Vec<_> = (0..25).map(|seat| house.hold(seat, &[seat as u32])).collect();
    let reader: &dyn onsale_engine::ports::JournalReader = &house.journal;
    until("a snapshot is kept", || reader.snapshot(event(1)).unwrap().is_some_and(|kept| kept.seq >= Seq(20)));
    let before = house.sale.view().snapshot();
    let house = house.crash();
    assert_eq!(house.sale.view().snapshot(), before);
    assert!(holds.iter().all(|hold| house.sale.view().reservation(hold.id).is_some()));
    house.hold(1, &[40]);
}

#[test]
fn a_panicked_actor_is_rebuilt_behind_its_route() {
    let house = House::open();
    let held = house.hold(1, &[3]);
    house.sale.panic_in_next_turn();
    until("it is rebuilt", || house.engine.health().rebuilds == 1);
    let sale = Arc::clone(&house.sale);
    until("it serves again", || house.ask(house.hold_of(2, &[4])).is_ok() || sale.view().counts().held == 2);
    assert_eq!(house.sale.view().reservation(held.id), Some(held));
    let epochs: Vec<u64> = house.entries().iter().map(|entry| entry.epoch.0).collect();
    assert!(epochs.is_sorted() && epochs.last() > epochs.first(), "{epochs:?}");
}

/// What is read without the view's lock is what the view says.
fn stands_as_seen(house: &House, phase: SalePhase, price: i64) {
    let (view, standing) = (house.sale.view(), house.sale.info().unwrap());
    assert_eq!((view.phase(), house.sale.phase(), standing.phase), (phase, phase, phase));
    assert_eq!((view.config(), standing.config.prices[0]), (Some(&*standing.config), Some(Amount(price))));
    assert!(Arc::ptr_eq(&standing.plan, view.plan().unwrap()));
}

#[test]
fn what_stands_beside_the_view_follows_it() {
    let house = House::with(|config| config.sale_starts_at = OPENING + Duration::from_secs(3600));
    stands_as_seen(&house, SalePhase::Scheduled, 150_000);
    let mut config = house.sale.view().config().unwrap().clone();
    config.prices[0] = Some(Amount(200_000));
    let configure = Command::Configure { config: Box::new(config), plan: small_plan(6, 10), by: buyer(1000) };
    house.ask(configure).unwrap();
    stands_as_seen(&house, SalePhase::Scheduled, 200_000);
    assert_eq!(house.sale.info().unwrap().plan.capacity(), 60);
    house.sale.panic_in_next_turn();
    until("it is rebuilt", || house.engine.health().rebuilds == 1);
    until("it serves again", || house.ask(Command::CancelSale { by: buyer(1000) }).is_ok());
    stands_as_seen(&house, SalePhase::Cancelled, 200_000);
    let house = house.crash();
    stands_as_seen(&house, SalePhase::Cancelled, 200_000);
    house.ask(Command::Retire { by: buyer(1000) }).unwrap();
    stands_as_seen(&house, SalePhase::Retired, 200_000);
}

#[test]
fn what_was_handed_to_the_journal_before_a_panic_is_in() {
    let house = House::open();
    let waiting = house.hang_on(&[3]);
    house.sale.panic_in_next_turn();
    until("it is being rebuilt", || house.engine.health().rebuilds == 1);
    house.journal.release();
    let view = reservation(house.run(waiting).unwrap().unwrap());
    until("it serves again", || house.ask(house.hold_of(2, &[4])).is_ok());
    assert_eq!(house.sale.view().reservation(view.id).unwrap().status, ReservationStatus::Pending);
    assert_eq!(house.sale.view().seats_held(), [SeatIndex(3), SeatIndex(4)]);
}

#[test]
fn an_actor_that_fails_three_times_in_a_minute_is_quarantined() {
    let house = House::open();
    house.hold(1, &[3]);
    for times in 1..=3 {
        house.sale.panic_in_next_turn();
        until("it fails", || house.engine.health().rebuilds == times);
        until("it serves or is given up", || times == 3 || house.ask(Command::Leave { buyer: buyer(1) }).is_ok());
    }
    until("it is quarantined", || house.engine.health().quarantined == [event(1)]);
    assert_eq!(house.ask(house.hold_of(2, &[4])).unwrap_err(), Refusal::Unserved);
    assert_eq!(house.sale.view().seats_held(), [SeatIndex(3)], "reads go on");
}

#[test]
fn panics_over_a_longer_time_are_forgiven() {
    let house = House::open();
    for times in 1..=4 {
        house.sale.panic_in_next_turn();
        until("it fails", || house.engine.health().rebuilds == times);
        until("it serves again", || house.ask(Command::Leave { buyer: buyer(1) }).is_ok());
        house.clock.advance(Duration::from_secs(45));
    }
    assert!(house.engine.health().quarantined.is_empty());
}

#[test]
fn an_owner_that_has_been_replaced_cannot_write() {
    let house = House::open();
    house.hold(1, &[3]);
    let rival = house.rival();
    let refused = house.ask(house.hold_of(2, &[4])).unwrap_err();
    assert_eq!(refused, Refusal::StorageUnavailable, "certainly not done");
    assert_eq!(house.holds_written(), 1);
    assert_eq!(rival.sale(event(1)).unwrap().view().seats_held(), [SeatIndex(3)]);
    house.run(rival.stop());
}

#[test]
fn a_damaged_journal_is_not_served_and_the_others_are() {
    let house = House::open();
    house.another(2, |_| ());
    house.hold(1, &[3]);
    house.journal.damage(event(1), Seq(2));
    let house = house.crash();
    assert_eq!(house.engine.health().damaged.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [event(1)]);
    assert_eq!(house.ask(house.hold_of(2, &[4])).unwrap_err(), Refusal::Unserved);
    let other = house.engine.sale(event(2)).unwrap();
    assert!(house.run(other.ask(house.hold_of(2, &[4]), house.soon())).is_ok());
}

#[test]
fn a_charge_that_was_ordered_before_a_crash_is_asked_about_after_it() {
    let house = House::open();
    house.payments.will_hang();
    let payment = house.open_payment(&house.hold(1, &[3]));
    let answer = house.ask(house.confirm_of(&payment)).unwrap();
    until("the charge is ordered", || house.payments.charge_calls(payment.id) == 1);
    drop(answer);
    let house = house.crash();
    until("nothing was taken, and the sale knows", || {
        matches!(house.sale.view().payment(payment.id).unwrap().status, PaymentStatus::Failed(_))
    });
    assert_eq!(house.payments.balance(), 0);
}

#[test]
fn the_projection_catches_up_and_skips_nothing() {
    let house = House::open();
    house.projection.fail_not_done(3);
    let hold = house.hold(1, &[3]);
    let bought = house.buy(2, &[10]);
    let last = house.sale.view().seq();
    until("it is written", || Records::checkpoint(&house.projection, event(1)) == last);
    let record = house.run(house.projection.reservation(hold.id)).unwrap().unwrap();
    assert_eq!(record.reservation, hold);
    assert_eq!(house.run(house.projection.payment(bought.id)).unwrap(), Some(bought));
    let house = house.crash();
    assert_eq!(Records::checkpoint(&house.projection, event(1)), last, "a start catches up before it serves");
}

#[test]
fn a_place_outlives_a_restart() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.sale_starts_at = super::house::OPENING + Duration::from_secs(60);
    });
    for who in 1..=3 {
        house.ask(Command::Enter { buyer: buyer(who) }).unwrap();
    }
    let house = house.restart();
    assert_eq!(house.place(3).unwrap().status, PlaceStatus::PreQueue { rank: Some(3) });
    house.ask(Command::Enter { buyer: buyer(4) }).unwrap();
    assert_eq!(house.place(4).unwrap().status, PlaceStatus::PreQueue { rank: Some(4) });
}

#[test]
fn an_older_journal_is_served_and_the_tables_forget_what_it_does_not_know() {
    let house = House::open();
    let other = house.another(2, |_| ());
    let known = house.hold(1, &[3]);
    let elsewhere = house.run(other.ask(house.hold_of(7, &[9]), house.soon())).map(reservation).unwrap();
    let copy = house.journal.crashed();
    let lost = house.hold(2, &[4]);
    let last = house.sale.view().seq();
    until("it is written", || Records::checkpoint(&house.projection, event(1)) == last);
    let house = house.put_back(copy);
    assert!(house.engine.health().damaged.is_empty());
    let found = |id| house.run(house.projection.reservation(id)).unwrap().map(|record| record.reservation);
    assert_eq!((found(known.id), found(lost.id)), (Some(known), None));
    assert_eq!(found(elsewhere.id), Some(elsewhere), "another event's tables stay");
    let again = house.hold(3, &[4]);
    let last = house.sale.view().seq();
    until("it is written", || Records::checkpoint(&house.projection, event(1)) == last);
    assert_eq!(found(again.id), Some(again));
}

#[test]
fn a_storage_that_does_not_answer_at_first_does_not_end_a_start() {
    let house = House::open();
    let held = house.hold(1, &[3]);
    let copy = house.journal.crashed();
    copy.fail_reads(2);
    let house = house.put_back(copy);
    assert_eq!(house.sale.view().reservation(held.id), Some(held));
    house.hold(2, &[4]);
}
