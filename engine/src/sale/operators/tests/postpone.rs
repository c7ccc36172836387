//! Postponing an event, and moving the end of cancelling with the venue's clocks: what follows, for whom, and how often.

use crate::id::ReservationId;
use crate::money::Amount;
use crate::sale::tests::stage::{Stage, admin, time};
use crate::sale::{
    Closed, Command, Fact, MoveCancellation, Postpone, Rejection, Reply, RescheduleCause, ReservationStatus, SalePhase,
};
use crate::time::Timestamp;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// From tonight to a day later than the story's, its sale as long as before.
fn postponement() -> Postpone {
    Postpone {
        starts_at: time("44:00:00"),
        ends_at: time("46:00:00"),
        sale_ends_at: time("12:00:00"),
        midnight: time("24:00:00"),
        cancellable_for: 10 * HOUR,
        by: admin(),
        reason: "flood".into(),
    }
}

fn postpone(stage: &mut Stage, to: Postpone) -> Result<Reply, Rejection> {
    stage.submit(&Command::Postpone(Box::new(to)))
}

fn midnight_moves(stage: &mut Stage, midnight: Timestamp, even_if_bought: bool) -> Result<Reply, Rejection> {
    let to = MoveCancellation { midnight, even_if_bought, by: admin(), reason: None };
    stage.submit(&Command::MoveCancellation(to))
}

fn closes_at(stage: &Stage) -> Timestamp {
    stage.sale.config().unwrap().cancellation_closes_at
}

/// Who was notified, in order.
fn notified(stage: &Stage) -> Vec<ReservationId> {
    let facts = stage.journal.iter().map(|entry| &entry.fact);
    facts
        .filter_map(|fact| match fact {
            Fact::HolderNotified { reservation, .. } => Some(*reservation),
            _ => None,
        })
        .collect()
}

#[test]
fn everyone_with_a_ticket_is_notified_once_and_may_cancel_for_a_while() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    let seats = ["A-1", "A-2", "A-3", "A-4", "A-5"];
    let held: Vec<ReservationId> =
        seats.iter().zip(1..).map(|(seat, number)| stage.buyer(number).holds([*seat])).collect();
    // The second is only held, the fourth has cancelled.
    for number in [1, 3, 4, 5] {
        stage.buyer(number).pays(held[number as usize - 1]);
    }
    stage.buyer(4).cancels(held[3]);
    postpone(&mut stage, postponement()).unwrap();
    // One each turn; a restart in between skips nobody and notifies nobody twice.
    assert_eq!(stage.step().len(), 1);
    stage.restarts();
    stage.buyer(3).cancels(held[2]);
    stage.timers_ring();
    assert_eq!(
        notified(&stage),
        [held[0], held[2], held[4]],
        "who has cancelled since is left out by what is written of it"
    );
    assert_eq!(stage.sale.schedule().unwrap().next, None);
    // Who pays now was not notified: the hold was made before, the ticket after it.
    stage.buyer(2).pays(held[1]);
    stage.timers_ring();
    assert_eq!(notified(&stage).len(), 3);
}

#[test]
fn said_again_it_changes_nothing() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.buyer(1).pays(hold);
    postpone(&mut stage, postponement()).unwrap();
    stage.timers_ring();
    let facts = stage.journal.len();
    stage.at("11:00:00");
    postpone(&mut stage, postponement()).unwrap();
    stage.timers_ring();
    assert_eq!((stage.journal.len(), closes_at(&stage)), (facts, time("24:00:00")));
    // Other times are another postponement, and everyone is notified again.
    postpone(&mut stage, Postpone { ends_at: time("47:00:00"), ..postponement() }).unwrap();
    stage.timers_ring();
    assert_eq!(notified(&stage), [hold, hold]);
}

#[test]
fn cancelling_is_possible_for_a_while_but_never_beyond_the_start() {
    let check = |at: &str, starts: &str, midnight: &str, expected: &str| {
        let mut stage = Stage::theatre();
        stage.at(at);
        let to = Postpone { starts_at: time(starts), midnight: time(midnight), ..postponement() };
        postpone(&mut stage, to).unwrap();
        assert_eq!(closes_at(&stage), time(expected), "{at} {starts} {midnight}");
    };
    check("10:00:00", "44:00:00", "24:00:00", "24:00:00");
    // Midnight is near: ten hours from now.
    check("20:00:00", "44:00:00", "24:00:00", "30:00:00");
    // And the start is nearer.
    check("20:00:00", "26:00:00", "24:00:00", "26:00:00");

    // Also where the old window had closed: at 18:00 of the story's day.
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.buyer(1).pays(hold);
    stage.at("19:00:00").buyer(1).cannot_cancel(hold).because(Rejection::CancellationClosed);
    postpone(&mut stage, postponement()).unwrap();
    stage.at("28:59:59").buyer(1);
    assert_eq!(stage.buyer(1).cancels(hold), Amount(100));
    let late = stage.at("29:00:00").sale.config().unwrap().cancellation_closes_at;
    assert_eq!(late, time("29:00:00"));
}

#[test]
fn holds_and_payments_go_on_and_the_sale_may_end_later() {
    let mut stage = Stage::theatre();
    let held = stage.at("11:59:00").buyer(1).holds(["A-1"]);
    let paying = stage.buyer(2).holds(["A-2"]);
    let payment = stage.buyer(2).starts_paying(paying);
    postpone(&mut stage, Postpone { sale_ends_at: time("40:00:00"), ..postponement() }).unwrap();
    stage.captures(payment);
    stage.at("12:01:00").buyer(1).pays(held);
    assert_eq!(
        (stage.status(held), stage.status(paying)),
        (ReservationStatus::Confirmed, ReservationStatus::Confirmed)
    );
    // Both were confirmed after the postponement, and knew of it.
    assert_eq!(notified(&stage), []);
    stage.buyer(3).holds(["A-3"]);

    // After the end of the sale, which opens again.
    let mut stage = Stage::theatre();
    stage.at("13:00:00").buyer(1).cannot_hold(["A-1"]).because(Rejection::SaleClosed(Closed::Ended));
    postpone(&mut stage, Postpone { sale_ends_at: time("40:00:00"), ..postponement() }).unwrap();
    stage.buyer(1).holds(["A-1"]);
}

#[test]
fn a_sale_that_is_cancelled_is_not_postponed_and_notifies_nobody() {
    let mut stage = Stage::theatre();
    for (buyer, seat) in [(1, "A-1"), (2, "A-2")] {
        let hold = stage.at("10:00:00").buyer(buyer).holds([seat]);
        stage.buyer(buyer).pays(hold);
    }
    postpone(&mut stage, postponement()).unwrap();
    stage.cancels_the_sale().timers_ring();
    assert_eq!((notified(&stage), stage.sale.phase()), (Vec::new(), SalePhase::Cancelled));
    let again = postpone(&mut stage, Postpone { ends_at: time("48:00:00"), ..postponement() });
    assert_eq!(again.unwrap_err(), Rejection::SaleCancelled);
    assert_eq!(midnight_moves(&mut stage, time("17:00:00"), true).unwrap_err(), Rejection::SaleCancelled);
    assert_eq!(Stage::theatre().sale.next_deadline(), None);
}

#[test]
fn midnight_moves_unless_somebody_has_bought() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    midnight_moves(&mut stage, time("17:00:00"), false).unwrap();
    assert_eq!(closes_at(&stage), time("17:00:00"));
    let facts = stage.journal.len();
    midnight_moves(&mut stage, time("17:00:00"), false).unwrap();
    assert_eq!(stage.journal.len(), facts, "it is so already");
    // A hold is enough; what is so already is no change, even if seats are sold.
    stage.buyer(1).holds(["A-1"]);
    assert_eq!(midnight_moves(&mut stage, time("16:00:00"), false).unwrap_err(), Rejection::HasReservations);
    midnight_moves(&mut stage, time("17:00:00"), false).unwrap();
    midnight_moves(&mut stage, time("16:00:00"), true).unwrap();
    assert_eq!(closes_at(&stage), time("16:00:00"));
    assert_eq!(notified(&stage), []);
    let last = &stage.journal.last().unwrap().fact;
    assert!(matches!(last, Fact::Rescheduled { cause: RescheduleCause::TimeZone, .. }), "{last:?}");
}

#[test]
fn what_a_postponement_allows_outlasts_the_clocks() {
    let mut stage = Stage::theatre();
    stage.at("20:00:00");
    postpone(&mut stage, postponement()).unwrap();
    assert_eq!(closes_at(&stage), time("30:00:00"));
    midnight_moves(&mut stage, time("23:00:00"), false).unwrap();
    assert_eq!(closes_at(&stage), time("30:00:00"));
    midnight_moves(&mut stage, time("31:00:00"), false).unwrap();
    assert_eq!(closes_at(&stage), time("31:00:00"));
    midnight_moves(&mut stage, time("99:00:00"), false).unwrap();
    assert_eq!(closes_at(&stage), time("44:00:00"), "not beyond the start");
}

#[test]
fn rules_that_are_set_again_say_all_times() {
    let mut stage = Stage::theatre();
    postpone(&mut stage, postponement()).unwrap();
    assert!(stage.sale.schedule().is_some());
    stage.reconfigures(|config| config.cancellation_closes_at = time("15:00:00")).unwrap();
    assert_eq!((stage.sale.schedule(), closes_at(&stage)), (None, time("15:00:00")));
}

#[test]
fn a_snapshot_without_the_postponement_is_another_one() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    postpone(&mut stage, postponement()).unwrap();
    let whole = stage.sale.snapshot();
    let mut without = whole.clone();
    assert_eq!(whole, without);
    without.schedule = None;
    assert_ne!(whole, without);
}
