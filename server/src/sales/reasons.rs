//! The words and sentences of refusals that have several causes under one code: `reason` is for clients, the sentence for
//! people. Must never carry what only one buyer may know.

use onsale_engine::sale::{Closed, ReservationState, Unavailable};

/// A word for clients and a sentence for people.
type Reason = (&'static str, &'static str);

pub(super) fn closed(closed: Closed) -> Reason {
    match closed {
        Closed::Ended => ("ENDED", "the sale is over"),
        Closed::ByOperator => ("CLOSED", "nobody is let in any more"),
        Closed::Cancelled => ("CANCELLED", "the event was cancelled"),
    }
}

pub(super) fn state(state: ReservationState) -> Reason {
    match state {
        ReservationState::Pending => ("PENDING", "it is held and not paid"),
        ReservationState::Confirmed => ("CONFIRMED", "it is paid"),
        ReservationState::Released => ("RELEASED", "the hold was given back"),
        ReservationState::Cancelled => ("CANCELLED", "it was cancelled"),
        ReservationState::SaleCancelled => ("SALE_CANCELLED", "its event was cancelled"),
        ReservationState::Expired => ("EXPIRED", "the time of the hold was over"),
    }
}

pub(super) fn unavailable(reason: Unavailable) -> Reason {
    match reason {
        Unavailable::Taken => ("TAKEN", "some of the seats are not free"),
        Unavailable::NoBlock => {
            ("NO_BLOCK", "that many free seats are not side by side; see longestBlock and alternative")
        }
        Unavailable::SoldOut => ("SOLD_OUT", "there is no free seat"),
    }
}

/// Of a payment that was not made, by its `reason`.
pub(super) fn not_paid(reason: &str) -> &'static str {
    match reason {
        "DECLINED" => "the card was declined; the seats stay held until the hold expires",
        "NOT_CHARGED" => "the provider has charged nothing; the seats stay held until the hold expires",
        "AMOUNT_MISMATCH" => {
            "the provider took another amount, which is given back; the seats stay held until the hold expires"
        }
        _ => "the hold was changed since; open a payment of what it costs now",
    }
}
