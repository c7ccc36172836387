//! The way to an actor, wherever it lives. Must never be waited for.

use crate::id::{Epoch, Seq};
use std::sync::mpsc;

/// An actor's mailbox. One virtual call for each wake, of which there is one for all commands of a turn.
pub(crate) trait Mailbox: Send + Sync {
    /// Something may wait in the lanes, or time may have passed.
    fn wake(&self);

    /// The event shall leave memory, if its sale is at `seq` and nothing waits. The reply is dropped if it does not, else the
    /// epoch that nobody writes with any more is sent when the actor is gone.
    fn release(&self, seq: Seq, reply: mpsc::SyncSender<Epoch>);
}
