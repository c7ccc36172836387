//! Ordinals: where buyers joined the line. They are reserved in the journal in blocks of [`ORDINAL_BLOCK`] before use, and each
//! start begins a new block, so none is issued twice: neither after a crash nor by a node that lost the event. Must never
//! issue an ordinal that a lost part of the journal may have issued.

use crate::id::{Epoch, Ordinal};
use crate::limits::{LOST_ORDINALS, ORDINAL_BLOCK};
use crate::sale::queue::waiting_room::WaitingRoom;

impl WaitingRoom {
    pub(crate) fn block_epoch(&self) -> Epoch {
        self.block_epoch
    }

    /// The block that must be reserved before an ordinal can be used in this epoch, if one must.
    ///
    /// The first block of an epoch leaves a gap before it: should the journal have been restored from an older copy, the
    /// ordinals that are lost with the rest of it fit there, and none is issued again.
    pub(crate) fn missing_block(&self, epoch: Epoch) -> Option<(Ordinal, Ordinal)> {
        let usable = self.block_epoch == epoch && self.next != 0 && self.next <= self.reserved;
        (!usable).then(|| self.block_after(Ordinal(self.reserved), epoch))
    }

    /// The block that must be reserved before this ordinal, which a ticket shows to have been issued, can be used.
    pub(crate) fn missing_block_past(&self, ordinal: Ordinal, epoch: Epoch) -> Option<(Ordinal, Ordinal)> {
        let past = Ordinal(ordinal.0.max(self.reserved));
        match self.missing_block(epoch) {
            Some((first, _)) if ordinal < first => self.missing_block(epoch),
            None if ordinal < self.next_ordinal() => None,
            Some(_) | None => Some(self.block_after(past, epoch)),
        }
    }

    #[expect(clippy::arithmetic_side_effects, reason = "64 bits: a start takes a million ordinals at most")]
    fn block_after(&self, past: Ordinal, epoch: Epoch) -> (Ordinal, Ordinal) {
        let gap = if self.block_epoch == epoch { 0 } else { LOST_ORDINALS };
        (Ordinal(past.0 + gap + 1), Ordinal(past.0 + gap + ORDINAL_BLOCK))
    }

    /// The sale was made in this epoch: its first block needs no gap for what may be lost.
    pub(crate) fn made_in(&mut self, epoch: Epoch) {
        self.block_epoch = epoch;
    }

    /// The ordinal that the next buyer to enter gets, if its block is reserved.
    pub(crate) fn next_ordinal(&self) -> Ordinal {
        Ordinal(self.next)
    }

    pub(crate) fn reserve(&mut self, first: Ordinal, last: Ordinal, epoch: Epoch) {
        if self.block_epoch != epoch {
            self.lost_from = self.next.max(1);
            if let Some(crowd) = self.crowd.get_mut() {
                crowd.lost = None;
            }
        }
        (self.next, self.reserved, self.block_epoch) = (first.0, last.0, epoch);
    }
}
