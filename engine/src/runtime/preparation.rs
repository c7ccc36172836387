//! Working something large out beside a sale, so that no turn of it takes long: the draw of a crowd. Must never decide.

use crate::runtime::handle::SaleHandle;
use crate::sale::draw::prepare::{Preparation, Prepared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl SaleHandle {
    /// Works something out beside the sale and puts it into the committed state, and before the actor's next turn.
    pub(crate) fn work_out(self: &Arc<Self>, work: Preparation) {
        let handle = Arc::clone(self);
        self.shared.background.run(move || {
            let prepared = catch_unwind(AssertUnwindSafe(|| work.compute())).ok();
            if let Some(prepared) = &prepared {
                handle.publish(|view| view.prepare(prepared.clone()));
            }
            *handle.prepared.lock() = Some(prepared);
            handle.wake();
        });
    }

    /// What [`SaleHandle::work_out`] has come to, if it is done.
    pub(crate) fn take_prepared(&self) -> Option<Option<Prepared>> {
        self.prepared.lock().take()
    }
}
