//! Whether a sale is served here, and by which epoch its event is owned. Must never let a turn of a lost epoch be committed or
//! answered.

use crate::id::Epoch;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

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

impl Service {
    /// Whether commands are taken, now or when the actor is rebuilt.
    pub(crate) fn takes_commands(self) -> bool {
        matches!(self, Self::Serving | Self::Rebuilding)
    }

    /// Whether the sale is not served again before the next start.
    pub(crate) fn is_given_up(self) -> bool {
        matches!(self, Self::Quarantined | Self::Damaged)
    }
}

/// By which epoch the event is owned here, if it is.
#[derive(Default)]
struct Owner {
    epoch: Option<Epoch>,
    /// How often it was lost.
    losses: u64,
}

/// See the module.
pub(crate) struct Ownership {
    service: AtomicU8,
    /// Another owner has raised the epoch since the view was read from the journal.
    view_is_old: AtomicBool,
    owner: Mutex<Owner>,
}

impl Ownership {
    pub(crate) fn new() -> Self {
        let service = AtomicU8::new(Service::Serving as u8);
        Self { service, view_is_old: AtomicBool::new(false), owner: Mutex::default() }
    }

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

    pub(crate) fn set(&self, service: Service) {
        self.service.store(service as u8, Ordering::SeqCst);
    }

    /// Moves from one state to another; false, and nothing changed, when it was not in the first.
    pub(crate) fn change(&self, from: Service, to: Service) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.service.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Whether the view has every committed fact.
    pub(crate) fn view_is_current(&self) -> bool {
        !self.view_is_old.load(Ordering::Acquire)
    }

    /// How often the event was lost to another owner; for [`Ownership::own`].
    pub(crate) fn losses(&self) -> u64 {
        self.owner.lock().losses
    }

    /// From now on turns of that epoch are committed; false when the event was lost again since `losses` were counted.
    pub(crate) fn own(&self, epoch: Epoch, losses: u64) -> bool {
        let mut owner = self.owner.lock();
        let is_ours = owner.losses == losses;
        if is_ours {
            owner.epoch = Some(epoch);
            self.view_is_old.store(false, Ordering::Release);
        }
        is_ours
    }

    /// Another owner has the event: no turn is committed or answered until it is owned again.
    pub(crate) fn disown(&self) {
        // Also an event that is given up, because this came too often, is not read any more.
        self.view_is_old.store(true, Ordering::Release);
        let mut owner = self.owner.lock();
        owner.epoch = None;
        owner.losses += 1;
    }

    /// Whether turns of that epoch may be committed and answered.
    pub(crate) fn is_owned_by(&self, epoch: Epoch) -> bool {
        self.owner.lock().epoch == Some(epoch)
    }
}
