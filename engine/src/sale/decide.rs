//! Deciding: a command and the state give facts, or a reason why not. Dispatches each command to its rule, which only reads,
//! checks refusals in the order of [`Rejection`], and must succeed past the last check. Must never hold a rule itself.

use crate::id::{BuyerId, Epoch, PaymentId, ReservationId};
use crate::sale::Sale;
use crate::sale::command::Command;
use crate::sale::fact::Facts;
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentView, Reply, ReservationView};
use crate::time::Timestamp;

/// What a command leads to.
#[derive(Debug, PartialEq)]
pub struct Decision {
    /// What happens; nothing for a command that changes nothing.
    pub facts: Facts,
    /// What to answer once that has happened.
    pub outcome: Outcome,
}

/// What to answer, looked up after the facts were applied.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// There is nothing to say.
    Done,
    /// This reservation.
    Reservation(ReservationId),
    /// This payment.
    Payment(PaymentId),
    /// This buyer's place.
    Place(BuyerId),
    /// What operators steer.
    Steering,
    /// This reservation, as it was.
    Remembered(Box<ReservationView>),
    /// This payment, as it was.
    RememberedPayment(Box<PaymentView>),
}

impl Decision {
    pub(crate) fn done(facts: Facts) -> Self {
        Self { facts, outcome: Outcome::Done }
    }

    pub(crate) fn nothing(outcome: Outcome) -> Self {
        Self { facts: Facts::new(), outcome }
    }
}

impl Sale {
    /// Decides a command at `now`, for the owner of `epoch`.
    ///
    /// # Errors
    /// The first reason of [`Rejection`] that applies.
    pub fn decide(&self, command: &Command, now: Timestamp, epoch: Epoch) -> Result<Decision, Rejection> {
        match command {
            Command::Hold(hold) => self.decide_hold(hold, now),
            Command::ChangeHold(change) => self.decide_change(change, now),
            Command::ReleaseHold { buyer, reservation } => self.decide_release(*buyer, *reservation, now),
            Command::CancelReservation { buyer, reservation } => self.decide_cancellation(*buyer, *reservation, now),
            Command::CancelByOperator(cancel) => self.decide_operator_cancel(cancel, now),
            Command::OpenPayment(open) => self.decide_opening(open, now),
            Command::ConfirmPayment(confirm) => self.decide_charge(confirm, now),
            Command::Enter { buyer } => self.decide_entry(*buyer, now, epoch),
            Command::Restore { buyer, ordinal } => self.decide_restore(*buyer, *ordinal, now, epoch),
            Command::CommitDraw { seed } => Ok(self.decide_draw_commitment(*seed)),
            Command::Leave { buyer } => Ok(self.decide_leave(*buyer)),
            Command::ExpireAbsent { buyer } => Ok(self.decide_absence(*buyer)),
            Command::Tick => Ok(self.decide_due(now)),
            Command::SettleCharge { payment, outcome } => self.decide_settlement(*payment, outcome),
            Command::SettleRefund { payment } => Ok(self.decide_refund_outcome(*payment)),
            Command::Configure { config, plan, by } => self.decide_configuration(config, plan, *by, now),
            Command::Reconfigure { config, plan, seen, by } => {
                self.decide_reconfiguration(config, plan, seen, *by, now)
            }
            Command::Steer { change, by } => self.decide_steering(change, *by),
            Command::BlockSeats { change, by } => self.decide_blocking(change, *by),
            Command::Postpone(postpone) => self.decide_postponement(postpone, now),
            Command::MoveCancellation(to) => self.decide_cancellation_move(to),
            Command::CancelSale { by } => self.decide_sale_cancellation(*by),
            Command::Retire { by } => self.decide_retirement(*by),
        }
    }

    /// The answer to a decision whose facts have been applied.
    #[must_use]
    pub fn answer(&self, outcome: Outcome, now: Timestamp) -> Reply {
        match outcome {
            Outcome::Done => Reply::Done,
            Outcome::Reservation(id) => {
                self.reservation(id).map_or(Reply::Done, |view| Reply::Reservation(Box::new(view)))
            }
            Outcome::Payment(id) => self.payment(id).map_or(Reply::Done, |view| Reply::Payment(Box::new(view))),
            Outcome::Place(buyer) => self.place(buyer, now).map_or(Reply::Done, Reply::Place),
            Outcome::Steering => self.steering().map_or(Reply::Done, |view| Reply::Steering(Box::new(view))),
            Outcome::Remembered(view) => Reply::Reservation(view),
            Outcome::RememberedPayment(view) => Reply::Payment(view),
        }
    }
}
