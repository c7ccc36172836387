//! Events that are over leave memory and come back as they were, whatever happens in between.

use super::house::{House, buyer, event, reservation, until};
use onsale_engine::id::{PaymentId, ReservationId, SeatIndex, Seq};
use onsale_engine::runtime::{Found, Refusal, SaleHandle, Settings};
use onsale_engine::sale::{
    Command, Fact, Hold, PaymentStatus, RequestKey, ReservationStatus, SalePhase, SaleSnapshot, SaleSummary, Selection,
    SteeringChange,
};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A keyed hold, which the key's answer is remembered of.
fn keyed_hold(house: &House) -> Command {
    let selection = Selection::These([SeatIndex(20)].into_iter().collect());
    let key = Some(RequestKey { scope: 7, body: 8 });
    let reservation = ReservationId(house.uuid());
    Command::Hold(Hold { reservation, buyer: buyer(2), selection, slot: None, key })
}

/// A second event at which somebody bought and somebody held with a key; its sale is over. Callers ask it through
/// the engine: nobody holds its route.
struct Over {
    house: House,
    bought: ReservationId,
    payment: PaymentId,
    held: ReservationId,
    before: SaleSnapshot,
}

impl Over {
    fn with(settings: Settings) -> Self {
        let mut house = House::with_settings(settings, Arc::default(), |_| ());
        let first = Arc::clone(&house.sale);
        house.sale = house.another(2, |config| config.sale_ends_at = config.sale_starts_at + DAY / 2);
        let payment = house.buy(1, &[3, 4]);
        let held = reservation(house.ask(keyed_hold(&house)).unwrap()).id;
        house.ask(Command::ReleaseHold { buyer: buyer(2), reservation: held }).unwrap();
        house.clock.advance(DAY * 3 / 4);
        let before = house.sale.view().snapshot();
        house.sale = first;
        Self { house, bought: payment.reservation, payment: payment.id, held, before }
    }

    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn unload(&self) {
        until("the event is unloaded", || self.house.engine.unload(event(2)).unwrap());
        assert!(self.house.engine.sale(event(2)).is_none());
    }
}

fn load(house: &House) -> Arc<SaleHandle> {
    house.run(house.engine.load(event(2))).expect("it is loaded").expect("it is known")
}

fn summary(house: &House) -> Option<Arc<SaleSummary>> {
    match house.engine.find(event(2)) {
        Some(Found::Unloaded(summary)) => Some(summary),
        Some(Found::Loaded(_)) | None => None,
    }
}

fn steer(message: &str) -> Command {
    let change = SteeringChange { message: Some(Some(message.into())), ..SteeringChange::default() };
    Command::Steer { change, by: buyer(1000) }
}

#[test]
fn an_event_that_is_over_leaves_memory_and_comes_back_as_it_was() {
    let over = Over::new();
    over.unload();
    let house = &over.house;
    let known = summary(house).unwrap();
    assert_eq!((known.seq, known.phase), (over.before.seq, SalePhase::Scheduled));
    assert_eq!((known.counts().sold, known.counts().total, known.admitted_total), (2, 50, 0));
    assert_eq!((house.engine.health().loaded, house.engine.health().unloaded), (1, 1));
    assert_eq!(house.engine.event_of(event(2).tag()), Some(event(2)));

    let sale = load(house);
    assert!(summary(house).is_none());
    assert_eq!(sale.view().snapshot(), over.before);
    assert_eq!(sale.view().reservation(over.bought).unwrap().status, ReservationStatus::Confirmed);
    let again = reservation(house.run(sale.ask(keyed_hold(house), house.soon())).unwrap());
    assert_eq!(again.id, over.held, "the key is still answered");
    let cancel = Command::CancelReservation { buyer: buyer(1), reservation: over.bought };
    house.run(sale.ask(cancel, house.soon())).unwrap();
    until("the money is back", || house.payments.balance() == 0);
    let refunded = || sale.view().payment(over.payment).map(|payment| payment.status);
    until("and that is written", || matches!(refunded(), Some(PaymentStatus::Refunded { settled: true, .. })));

    let changed = sale.view().snapshot();
    drop(sale);
    over.unload();
    assert_eq!(summary(house).unwrap().counts().sold, 0);
    assert_eq!(load(house).view().snapshot(), changed);
}

#[test]
fn a_caller_that_holds_a_route_keeps_the_event_in_memory() {
    let over = Over::new();
    let listener = load(&over.house);
    until("all that is written is in the tables", || over.house.engine.health().projection_lag == 0);
    assert!(!over.house.engine.unload(event(2)).unwrap());
    drop(listener);
    over.unload();
}

#[test]
fn commands_that_come_while_the_event_leaves_are_taken_once() {
    const ROUNDS: usize = 100;
    let over = Over::new();
    let house = &over.house;
    for round in 0..ROUNDS {
        until("all that is written is in the tables", || house.engine.health().projection_lag == 0);
        let begin = Arc::new(std::sync::Barrier::new(2));
        let (engine, both) = (house.engine.clone(), Arc::clone(&begin));
        let unloads = std::thread::spawn(move || {
            both.wait();
            // Somebody comes in the moment in which the event leaves, a little earlier or later in each round.
            engine.unload(event(2)).unwrap()
        });
        begin.wait();
        (0..round * 20).for_each(|_| std::hint::spin_loop());
        let answer = house.run(async {
            let sale = house.engine.load(event(2)).await.unwrap().unwrap();
            sale.ask(steer(&format!("message {round}")), house.soon()).await
        });
        answer.unwrap();
        unloads.join().unwrap();
    }
    let entries = house.journal.entries(event(2));
    let steered = entries.iter().filter(|entry| matches!(entry.fact, Fact::Steered { .. })).count();
    assert_eq!(steered, ROUNDS);
    let before = load(house).view().snapshot();
    over.unload();
    assert_eq!(load(house).view().snapshot(), before);
}

#[test]
fn those_who_ask_at_the_same_time_share_one_load() {
    let over = Over::new();
    over.unload();
    let (house, before) = (&over.house, over.house.journal.reads_and_raises());
    let sales: Vec<_> = house.run(async {
        let asks: Vec<_> = (0..50)
            .map(|_| {
                let engine = house.engine.clone();
                tokio::spawn(async move { engine.load(event(2)).await.unwrap().unwrap() })
            })
            .collect();
        let mut sales = Vec::new();
        for ask in asks {
            sales.push(ask.await.unwrap());
        }
        sales
    });
    assert!(sales.iter().all(|sale| Arc::ptr_eq(sale, &sales[0])));
    let after = house.journal.reads_and_raises();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    assert_eq!(house.engine.health().loads, 1);
}

#[test]
fn a_start_reads_no_event_that_was_unloaded() {
    let over = Over::new();
    over.unload();
    let before = over.house.journal.crashed();
    let house = over.house.on(before);
    assert_eq!(house.journal.reads_and_raises(), (1, 1), "the one in memory alone");
    assert_eq!(summary(&house).unwrap().seq, over.before.seq);
    assert_eq!(load(&house).view().snapshot(), over.before);
    assert_eq!(house.journal.reads_and_raises(), (2, 2));
    // It was loaded, so its user may have written: the next start does not trust the summary.
    let house = house.on(house.journal.crashed());
    assert!(summary(&house).is_none());
    assert_eq!(house.engine.sale(event(2)).unwrap().view().snapshot(), over.before);
}

#[test]
fn a_crash_between_any_two_steps_loses_nothing() {
    let over = Over::new();
    let house = &over.house;
    house.journal.watch_writes();
    over.unload();
    let sale = load(house);
    house.run(sale.ask(steer("a word"), house.soon())).unwrap();
    let steered = sale.view().snapshot();
    drop(sale);
    over.unload();
    let left = house.journal.left_by_crashes();
    // Snapshot, summary, epoch, fact, snapshot, summary.
    assert_eq!(left.len(), 6);
    for (number, journal) in left.into_iter().enumerate() {
        let expected = if number < 3 { &over.before } else { &steered };
        let after = house.on(journal);
        let known = summary(&after);
        assert_eq!(known.is_some(), [1, 5].contains(&number), "write {number}");
        assert!(known.is_none_or(|known| known.seq == expected.seq));
        assert_eq!(load(&after).view().snapshot(), *expected, "write {number}");
        after.stop();
    }
}

#[test]
fn nothing_that_is_pending_leaves_memory() {
    let mut house = House::open();
    let first = Arc::clone(&house.sale);
    house.sale = house.another(2, |config| config.sale_ends_at = config.sale_starts_at + DAY / 2);
    let open = house.open_payment(&house.hold(1, &[3]));
    let bought = house.buy(2, &[10]);
    house.payments.keep_refunds_waiting();
    let sale = std::mem::replace(&mut house.sale, first);
    let unloads = || house.engine.unload(event(2)).unwrap();
    house.clock.advance(DAY / 2 - Duration::from_secs(1));
    until("the hold has ended", || sale.view().counts().held == 0);
    assert_eq!(open.reservation, sale.view().payment(open.id).unwrap().reservation);
    let end = sale.view().seq();
    drop(sale);
    until("all that is written is in the tables", || house.engine.health().projection_lag == 0);
    assert!(!unloads(), "it has not ended");
    house.clock.advance(Duration::from_secs(1));
    let cancel = Command::CancelReservation { buyer: buyer(2), reservation: bought.reservation };
    let sale = load(&house);
    house.run(sale.ask(cancel, house.soon())).unwrap();
    assert!(sale.view().seq() > end);
    drop(sale);
    until("a refund is asked for", || house.payments.refunds_at_once().0 == 1);
    assert!(!unloads(), "money is owed");
    house.payments.release_refunds();
    until("the money is back and the event unloaded", unloads);
}

#[test]
fn what_cannot_be_loaded_is_not_served() {
    let over = Over::new();
    over.unload();
    let house = &over.house;
    house.journal.set_unreadable(true);
    let refused = house.run(house.engine.load(event(2))).err();
    assert_eq!(refused, Some(Refusal::StorageUnavailable));
    house.journal.set_unreadable(false);
    assert!(summary(house).is_some(), "it is known all the same");
    assert_eq!(load(house).view().snapshot(), over.before);
    over.unload();

    // The snapshot is good and what lies behind it is not: damage that only the whole journal shows is found by a start.
    let snapshotless = house.journal.crashed();
    snapshotless.forget_snapshots(event(2));
    snapshotless.damage(event(2), Seq(2));
    let house = house.on(snapshotless);
    until("the damage is found behind the start", || !house.engine.health().damaged.is_empty());
    let sale = load(&house);
    assert_eq!(house.run(sale.ask(steer("x"), house.soon())).err(), Some(Refusal::Unserved));
    assert!(summary(&house).is_none(), "nothing is said of it any more");
}

#[test]
fn an_event_that_another_owner_changed_is_read_again() {
    let over = Over::new();
    over.unload();
    let house = &over.house;
    let rival = house.rival();
    let theirs = house.run(rival.load(event(2))).unwrap().unwrap();
    house.run(theirs.ask(steer("theirs"), house.soon())).unwrap();
    house.engine.lose(event(2));
    assert!(house.engine.is_unloaded_elsewhere(event(2)), "its summary may be old");
    let sale = load(house);
    assert!(!house.engine.is_unloaded_elsewhere(event(2)));
    assert_eq!(sale.view().snapshot(), theirs.view().snapshot());
    let fenced = house.run(theirs.ask(steer("too late"), house.soon())).err();
    assert_eq!(fenced, Some(Refusal::StorageUnavailable));
    house.run(rival.stop());
}

#[test]
fn a_quiet_event_leaves_memory_by_itself() {
    let unloaded_after = Duration::from_millis(20);
    let over = Over::with(Settings { unloaded_after, ..Settings::default() });
    until("the event has left memory", || summary(&over.house).is_some());
    assert!(over.house.engine.find(event(1)).is_some_and(|found| matches!(found, Found::Loaded(_))));
    assert_eq!(load(&over.house).view().snapshot(), over.before);
    until("and again", || summary(&over.house).is_some());
}

#[test]
fn an_unloaded_event_takes_less_than_a_kilobyte() {
    let over = Over::new();
    over.unload();
    let known = summary(&over.house).unwrap();
    // Beside the summary: its id in two maps, its tag, and the counters of its `Arc`.
    let beside = 4 * 16 + 2 * 8 + 2 * 8;
    assert!(known.bytes() + beside < 640, "{} bytes", known.bytes());
}
