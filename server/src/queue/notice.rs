//! Why nobody is let in, or why a place is over: one code for pages, and the server's own sentence. Pure;
//! must never look anything up but what it is given.

use onsale_engine::sale::{PlaceStatus, Sale, SalePhase, Steering};
use onsale_engine::time::Timestamp;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An operator lets nobody in for now.
    Paused,
    /// Nobody is let in any more: an operator has closed the room, or the sale's time is over.
    Closed,
    /// No seat is free, but some are held and may come back.
    NoFreeSeats,
    /// No seat is free, and none is held.
    SoldOut,
    /// The event was cancelled.
    Cancelled,
}

impl Notice {
    /// API.md's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Paused => "PAUSED",
            Self::Closed => "CLOSED",
            Self::NoFreeSeats => "NO_FREE_SEATS",
            Self::SoldOut => "SOLD_OUT",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// What there is to say at one moment, to everybody of the same status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// To who waits: why nobody is let in, if nobody is.
    pub waiting: Option<Notice>,
    /// To everybody: why all places are over, if they are.
    pub over: Option<Notice>,
    /// Whether no seat is free because none is for sale, and not because they are sold.
    pub is_nothing_for_sale: bool,
}

impl Notices {
    /// What there is to say of a sale. What lasts longer is said first.
    #[must_use]
    pub fn of(sale: &Sale, steering: &Steering, now: Timestamp) -> Self {
        let over = match sale.phase() {
            SalePhase::Cancelled => Some(Notice::Cancelled),
            SalePhase::Unconfigured | SalePhase::Scheduled | SalePhase::Retired => {
                sale.config().is_some_and(|config| now >= config.sale_ends_at).then_some(Notice::Closed)
            }
        };
        let counts = sale.counts();
        let waiting = match counts.available {
            _ if steering.closed => Some(Notice::Closed),
            0 if counts.held == 0 => Some(Notice::SoldOut),
            _ if steering.paused => Some(Notice::Paused),
            0 => Some(Notice::NoFreeSeats),
            _ => None,
        };
        Self { waiting, over, is_nothing_for_sale: counts.sold == 0 }
    }

    /// What a place of that status says. Who shops continues, even if nobody else is let in.
    #[must_use]
    pub fn to(&self, status: &PlaceStatus) -> Option<Notice> {
        match status {
            PlaceStatus::PreQueue { .. } | PlaceStatus::Waiting { .. } => self.waiting,
            PlaceStatus::Active { .. } | PlaceStatus::Expired => self.over,
        }
    }

    /// The server's own sentence, where there is one.
    #[must_use]
    pub fn sentence(&self) -> Option<&'static str> {
        Some(match self.over.or(self.waiting)? {
            Notice::Cancelled => "The event was cancelled. Whatever was paid is given back.",
            Notice::Closed if self.over.is_some() => "The sale is over.",
            Notice::NoFreeSeats => {
                "There are no free seats right now: some are being paid for and may come back. Your place is kept."
            }
            Notice::SoldOut if self.is_nothing_for_sale => {
                "There are no free seats right now: none are for sale. Your place is kept."
            }
            Notice::SoldOut => "There are no free seats right now: all are sold. Your place is kept.",
            Notice::Paused | Notice::Closed => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shopper_is_sent_the_end_alone() {
        let active = PlaceStatus::Active { slot: None, expires_at: Timestamp::default(), may_hold: true };
        let paused = Notices { waiting: Some(Notice::Paused), ..Notices::default() };
        assert_eq!(paused.to(&PlaceStatus::Waiting { rank: 1 }), Some(Notice::Paused));
        assert_eq!((paused.to(&active), paused.to(&PlaceStatus::Expired)), (None, None));
        let over = Notices { waiting: Some(Notice::SoldOut), over: Some(Notice::Cancelled), ..Notices::default() };
        for status in [active, PlaceStatus::Expired] {
            assert_eq!(over.to(&status).map(Notice::word), Some("CANCELLED"));
        }
        assert!(over.sentence().is_some_and(|text| text.contains("cancelled")) && paused.sentence().is_none());
    }
}
