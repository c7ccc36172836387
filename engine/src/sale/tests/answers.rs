//! What each way to an end makes of each call: a table, so that no reason gets lost between two calls. The same as
//! `docs/answers.md`, which a test of the server holds against HTTP.

use crate::id::{Epoch, PaymentId, ReservationId, Slot};
use crate::sale::tests::stage::{Stage, admin, buyer};
use crate::sale::{ChangeHold, Command, ConfirmPayment, Hold, OpenPayment, PlaceStatus, Selection};
use std::time::Duration;

/// Enter, place, hold another seat, change, release, cancel, open a payment, confirm the first one, the first payment.
type Answers = [&'static str; 9];

/// Buyer 1 has been let in at ten and holds A-1 since then, with an opened payment; then something ends.
struct Story {
    stage: Stage,
    hold: ReservationId,
    payment: PaymentId,
}

impl Story {
    fn begin(held_at: &str, token_minutes: u64) -> Self {
        let mut stage =
            Stage::with_room().rules(|config| config.admission.token = Duration::from_secs(token_minutes * 60));
        stage.buyer(1).enters();
        let hold = stage.at("10:00:00").at(held_at).buyer(1).holds(["A-1"]);
        let payment = stage.buyer(1).opens_payment(hold);
        Self { stage, hold, payment }
    }

    fn says(&self, command: &Command) -> String {
        match self.stage.sale.decide(command, self.stage.now, Epoch(1)) {
            Ok(_) => "yes".to_owned(),
            Err(rejection) => format!("{rejection:?}"),
        }
    }

    /// What every call is answered; nothing of it happens.
    fn answers(&mut self) -> Vec<String> {
        let (buyer, reservation, payment) = (buyer(1), self.hold, self.payment);
        let amount = self.stage.sale.reservation(reservation).unwrap().amount;
        let paid = self.stage.sale.payment(payment).unwrap();
        let ids = (ReservationId(self.stage.next()), PaymentId(self.stage.next()));
        let selection = Selection::These(self.stage.seats(&["A-5"]));
        let hold = Hold { reservation: ids.0, buyer, selection, slot: Some(Slot(1)), key: None };
        let change = ChangeHold { buyer, reservation, seats: self.stage.seats(&["A-7"]) };
        let open = OpenPayment { payment: ids.1, buyer, reservation, amount, key: None };
        let transaction = self.stage.sale.payment_transaction(payment).unwrap_or("sim_ok").into();
        let confirm = ConfirmPayment { buyer, payment, reservation, amount: paid.amount, transaction, key: None };
        let place = match self.stage.sale.place(buyer, self.stage.now).map(|place| place.status) {
            None => "none",
            Some(PlaceStatus::PreQueue { .. } | PlaceStatus::Waiting { .. }) => "WAITING",
            Some(PlaceStatus::Active { may_hold: true, .. }) => "ACTIVE",
            Some(PlaceStatus::Active { may_hold: false, .. }) => "ACTIVE without a token",
            Some(PlaceStatus::Expired) => "EXPIRED",
        };
        vec![
            self.says(&Command::Enter { buyer }),
            place.to_owned(),
            self.says(&Command::Hold(hold)),
            self.says(&Command::ChangeHold(change)),
            self.says(&Command::ReleaseHold { buyer, reservation }),
            self.says(&Command::CancelReservation { buyer, reservation }),
            self.says(&Command::OpenPayment(open)),
            self.says(&Command::ConfirmPayment(confirm)),
            format!("{:?}", paid.status).split(' ').next().unwrap_or_default().to_owned(),
        ]
    }
}

#[track_caller]
fn check(name: &str, mut story: Story, expected: Answers) {
    assert_eq!(story.answers(), expected, "{name}");
    let before = story.answers();
    story.stage.restarts();
    assert_eq!(story.answers(), before, "{name}, after a restart");
}

/// Held at 11:40, until 11:45; the sale is on.
fn on_sale() -> Story {
    Story::begin("11:40:00", 180)
}

const RELEASED: &str = "NotPending(Released)";

#[test]
fn while_nothing_has_ended() {
    let expected = ["yes", "ACTIVE", "yes", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Opened"];
    check("nothing", on_sale(), expected);
}

#[test]
fn when_the_sale_has_ended_by_its_time() {
    let mut pending = Story::begin("11:58:00", 180);
    pending.stage.at("12:01:00");
    let expected = [
        "yes",
        "ACTIVE without a token",
        "SaleClosed(Ended)",
        "yes",
        "yes",
        "NotCancellable(Pending)",
        "yes",
        "yes",
        "Opened",
    ];
    check("with a pending hold", pending, expected);
    let mut over = on_sale();
    over.stage.at("12:01:00");
    let expected = [
        "SaleClosed(Ended)",
        "EXPIRED",
        "SaleClosed(Ended)",
        "HoldExpired(Expired)",
        "yes",
        "NotCancellable(Expired)",
        "NotPending(Expired)",
        "HoldExpired(Expired)",
        "Failed(HoldEnded)",
    ];
    check("with an expired hold", over, expected);
    let mut paid = on_sale();
    paid.stage.buyer(1).confirms(paid.payment);
    paid.stage.captures(paid.payment).at("12:01:00");
    let expected = [
        "SaleClosed(Ended)",
        "none",
        "SaleClosed(Ended)",
        "NotPending(Confirmed)",
        "NotPending(Confirmed)",
        "yes",
        "NotPending(Confirmed)",
        "yes",
        "Captured",
    ];
    check("with a ticket", paid, expected);
}

#[test]
fn when_an_operator_has_closed_the_room() {
    let close = |story: &mut Story| {
        let change = crate::sale::SteeringChange { closed: Some(true), ..Default::default() };
        story.stage.submit(&Command::Steer { change, by: admin() }).unwrap();
    };
    let mut shops = on_sale();
    close(&mut shops);
    let expected = ["yes", "ACTIVE", "yes", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Opened"];
    check("who shops goes on", shops, expected);
    let mut left = on_sale();
    left.stage.buyer(1).leaves();
    close(&mut left);
    let expected =
        ["SaleClosed(ByOperator)", "none", "NoSlot", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Opened"];
    check("who has left does not come back", left, expected);
}

#[test]
fn when_the_event_was_cancelled() {
    const CANCELLED: &str = "SaleCancelled";
    let mut first = on_sale();
    first.stage.cancels_the_sale();
    let expected = [
        "SaleClosed(Cancelled)",
        "EXPIRED",
        CANCELLED,
        CANCELLED,
        "yes",
        "NotCancellable(Pending)",
        CANCELLED,
        CANCELLED,
        "Opened",
    ];
    check("in the first moment", first, expected);
    let mut swept = on_sale();
    swept.stage.cancels_the_sale().timers_ring();
    let expected = [
        "SaleClosed(Cancelled)",
        "EXPIRED",
        CANCELLED,
        CANCELLED,
        "yes",
        "NotCancellable(SaleCancelled)",
        CANCELLED,
        CANCELLED,
        "Failed(SaleCancelled)",
    ];
    check("swept", swept, expected);
    let mut paid = on_sale();
    paid.stage.buyer(1).confirms(paid.payment);
    paid.stage.captures(paid.payment).cancels_the_sale().timers_ring();
    let expected = [
        "SaleClosed(Cancelled)",
        "none",
        CANCELLED,
        CANCELLED,
        "yes",
        "NotCancellable(SaleCancelled)",
        CANCELLED,
        "yes",
        "Refunded",
    ];
    check("with a ticket", paid, expected);
    let mut charged = on_sale();
    charged.stage.buyer(1).confirms(charged.payment);
    charged.stage.cancels_the_sale().timers_ring();
    let expected = [
        "SaleClosed(Cancelled)",
        "EXPIRED",
        CANCELLED,
        CANCELLED,
        "PaymentInProgress",
        "NotCancellable(Pending)",
        CANCELLED,
        "yes",
        "Charging",
    ];
    check("in the middle of a charge", charged, expected);
}

#[test]
fn when_the_event_was_taken_off_the_catalogue() {
    let mut story = on_sale();
    story.stage.buyer(1).releases(story.hold);
    story.stage.submit(&Command::Retire { by: admin() }).unwrap();
    story.stage.timers_ring();
    let expected = [
        "NoSale",
        "EXPIRED",
        "NoSale",
        "NoSale",
        "yes",
        "NotCancellable(Released)",
        RELEASED,
        "HoldExpired(Released)",
        "Failed(HoldEnded)",
    ];
    check("retired", story, expected);
}

#[test]
fn when_a_hold_is_over() {
    let mut expired = on_sale();
    expired.stage.at("11:45:00");
    let expected = [
        "yes",
        "ACTIVE",
        "yes",
        "HoldExpired(Expired)",
        "yes",
        "NotCancellable(Expired)",
        "NotPending(Expired)",
        "HoldExpired(Expired)",
        "Failed(HoldEnded)",
    ];
    check("expired", expired, expected);
    let mut late = on_sale();
    late.stage.unattended_at("11:45:00");
    let expected = [
        "yes",
        "ACTIVE",
        "yes",
        "HoldExpired(Expired)",
        "yes",
        "NotCancellable(Expired)",
        "NotPending(Expired)",
        "HoldExpired(Expired)",
        "Opened",
    ];
    check("expired, and its timer is late", late, expected);
    let mut released = on_sale();
    released.stage.buyer(1).releases(released.hold);
    let expected = [
        "yes",
        "ACTIVE",
        "yes",
        RELEASED,
        "yes",
        "NotCancellable(Released)",
        RELEASED,
        "HoldExpired(Released)",
        "Failed(HoldEnded)",
    ];
    check("released", released, expected);
    let mut changed = on_sale();
    changed.stage.buyer(1).changes(changed.hold, ["B-1"]);
    let expected = ["yes", "ACTIVE", "yes", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Failed(HoldEnded)"];
    check("changed", changed, expected);
}

#[test]
fn when_a_payment_came_to_nothing() {
    for failure in ["Failed(Declined(\"no_funds\"))", "Failed(NotCharged)"] {
        let mut story = on_sale();
        story.stage.buyer(1).confirms(story.payment);
        if failure == "Failed(NotCharged)" {
            story.stage.provider_says(story.payment, crate::sale::ChargeOutcome::NotCharged);
        } else {
            story.stage.declines(story.payment);
        }
        let expected = ["yes", "ACTIVE", "yes", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", failure];
        check(failure, story, expected);
    }
    let mut unknown = on_sale();
    unknown.stage.buyer(1).confirms(unknown.payment);
    unknown.stage.provider_says(unknown.payment, crate::sale::ChargeOutcome::Unknown);
    let busy = "PaymentInProgress";
    let expected = ["yes", "ACTIVE", "yes", busy, busy, "NotCancellable(Pending)", "yes", "yes", "Charging"];
    check("unknown", unknown, expected);
}

#[test]
fn when_a_slot_is_over() {
    let mut pending = Story::begin("11:38:00", 100);
    pending.stage.at("11:41:00");
    let expected =
        ["yes", "ACTIVE without a token", "NoSlot", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Opened"];
    check("with a pending hold", pending, expected);
    let mut over = Story::begin("11:38:00", 100);
    over.stage.at("11:44:00");
    let expected = [
        "yes",
        "EXPIRED",
        "NoSlot",
        "HoldExpired(Expired)",
        "yes",
        "NotCancellable(Expired)",
        "NotPending(Expired)",
        "HoldExpired(Expired)",
        "Failed(HoldEnded)",
    ];
    check("with its hold", over, expected);
    let mut left = on_sale();
    left.stage.buyer(1).leaves();
    let expected = ["yes", "none", "NoSlot", "yes", "yes", "NotCancellable(Pending)", "yes", "yes", "Opened"];
    check("given up", left, expected);
}

#[test]
fn when_a_ticket_was_given_back() {
    let mut story = on_sale();
    story.stage.buyer(1).confirms(story.payment);
    story.stage.captures(story.payment).buyer(1).cancels(story.hold);
    let cancelled = "NotPending(Cancelled)";
    let expected =
        ["yes", "none", "NoSlot", cancelled, "yes", "NotCancellable(Cancelled)", cancelled, "yes", "Refunded"];
    check("cancelled by its buyer", story, expected);
}
