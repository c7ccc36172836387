//! The end of the line: when the sale ends, places that still wait expire, one at a time from the head. Must never end the line
//! while the sale can still admit.

use crate::sale::Sale;
use crate::sale::fact::{Fact, Facts};
use crate::sale::reply::SalePhase;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// When waiting has no purpose any more: the end of the sale, while a buyer waits.
    pub(crate) fn line_ends_at(&self) -> Option<Timestamp> {
        let waits = self.phase == SalePhase::Scheduled && self.waiting_room.line().len() > 0;
        self.config.as_ref().filter(|_| waits).map(|config| config.sale_ends_at)
    }

    /// Expires the place of the head of the line.
    pub(crate) fn end_line(&self) -> Option<Facts> {
        self.waiting_room.line().head().map(|(_, buyer)| smallvec![Fact::PlaceExpired { buyer }])
    }
}
