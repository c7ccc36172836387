//! Whether a sale is served here, and by which epoch its event is owned. Must never let a turn of a lost epoch be committed or
//! answered.

use crate::id::Epoch;
use crate::runtime::answer::Refusal;
use crate::runtime::handle::SaleHandle;
use std::sync::atomic::Ordering;

/// Whether a sale is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Service {
    Serving,
    Rebuilding,
    Quarantined,
    Damaged,
    /// Another owner has raised the event's epoch; what this node knows of it is old.
    Elsewhere,
    /// The sale has left memory, and this route leads nowhere: commands go to the one that the event has then.
    Unloaded,
}

/// By which epoch the event is owned here, if it is.
#[derive(Default)]
pub(super) struct Ownership {
    epoch: Option<Epoch>,
    /// How often it was lost.
    losses: u64,
}

impl SaleHandle {
    pub(crate) fn service(&self) -> Service {
        match self.service.load(Ordering::SeqCst) {
            0 => Service::Serving,
            1 => Service::Rebuilding,
            2 => Service::Quarantined,
            3 => Service::Damaged,
            4 => Service::Elsewhere,
            _ => Service::Unloaded,
        }
    }

    pub(crate) fn set_service(&self, service: Service) {
        self.service.store(service as u8, Ordering::SeqCst);
        if !self.is_served() {
            self.refuse_all(&Refusal::Unserved);
            self.drop_outcomes_if_lost();
        }
    }

    /// Moves from one state to another; false, and nothing changed, when it was not in the first.
    pub(crate) fn change_service(&self, from: Service, to: Service) -> bool {
        let (from, to) = (from as u8, to as u8);
        let changed = self.service.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if changed && !self.is_served() {
            self.refuse_all(&Refusal::Unserved);
            self.lanes.outcomes.clear();
        }
        changed
    }

    /// How often the event was lost to another owner; for [`SaleHandle::own`].
    pub(crate) fn losses(&self) -> u64 {
        self.ownership.lock().losses
    }

    /// From now on turns of that epoch are committed; false when the event was lost again since `losses` were counted.
    pub(crate) fn own(&self, epoch: Epoch, losses: u64) -> bool {
        let mut ownership = self.ownership.lock();
        let is_ours = ownership.losses == losses;
        if is_ours {
            ownership.epoch = Some(epoch);
            self.view_is_old.store(false, Ordering::Release);
        }
        is_ours
    }

    /// Another owner has the event: no turn is committed or answered until it is owned again.
    pub(crate) fn disown(&self) {
        // Also an event that is given up, because this came too often, is not read any more.
        self.view_is_old.store(true, Ordering::Release);
        let mut ownership = self.ownership.lock();
        ownership.epoch = None;
        ownership.losses += 1;
    }

    /// Whether turns of that epoch may be committed and answered.
    pub(crate) fn is_owned_by(&self, epoch: Epoch) -> bool {
        self.ownership.lock().epoch == Some(epoch)
    }

    pub(super) fn is_served(&self) -> bool {
        matches!(self.service(), Service::Serving | Service::Rebuilding)
    }
}
