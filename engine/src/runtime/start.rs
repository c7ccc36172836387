//! What a start reads: epochs, live events and summaries, and how far the tables are. One query where there could be one for
//! each event. Must never serve: that begins when all of it was read.

use crate::id::{Epoch, EventId};
use crate::limits::{JOURNAL_RETRY_MAX, START_WAITS};
use crate::ports::{Journal, JournalError, ReadError};
use crate::runtime::handle::SaleHandle;
use crate::runtime::projector::{ProjectError, Projector};
use crate::runtime::recovery::{Recovery, recover, recover_all};
use crate::runtime::serve::Serving;
use crate::runtime::settings::StartError;
use crate::runtime::supervision::{OnFatal, supervised};
use crate::sale::{Sale, SaleSummary};
use hashbrown::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// An event that was read, and can be served.
pub(super) struct Recovered {
    pub(super) handle: Arc<SaleHandle>,
    pub(super) sale: Sale,
    pub(super) epoch: Epoch,
    pub(super) from_snapshot: bool,
}

/// What is known of events that are over.
type Summaries = Vec<(EventId, SaleSummary)>;

impl From<JournalError> for StartError {
    fn from(error: JournalError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// Whether asking again may help.
trait MayPass: std::fmt::Display {
    fn may_pass(&self) -> bool;
}

impl MayPass for ReadError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl MayPass for JournalError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::NotDone(_) | Self::Unknown(_))
    }
}

/// Asks the storage again for a while when it does not answer: a database that is just coming back must not end the start.
fn waited<T, E: MayPass>(mut ask: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let until = Instant::now() + START_WAITS;
    loop {
        match ask() {
            Err(error) if error.may_pass() && Instant::now() < until => {
                tracing::warn!(%error, "the storage does not answer the start; it is asked again");
                std::thread::sleep(JOURNAL_RETRY_MAX);
            }
            outcome => return outcome,
        }
    }
}

impl Serving {
    /// Reads every event that is not over, and brings the tables of all up to date; also answers the events of which no
    /// more than a summary was read, whose journals are still to be verified.
    pub(super) fn recover_events(
        self: &Arc<Self>,
        journal: &mut dyn Journal,
        projector: &mut Projector,
    ) -> Result<(Vec<Recovered>, Vec<EventId>), StartError> {
        let (live, over) = self.split_events()?;
        let known = waited(|| projector.checkpoints())?;
        let epochs = waited(|| journal.raise_epochs(&live))?;
        let mut recovered = Vec::with_capacity(live.len());
        for ((event, epoch), found) in live.iter().zip(epochs).zip(recover_all(&*self.reader, &live)) {
            let found = match found {
                Err(ReadError::Unavailable(_)) => waited(|| recover(&*self.reader, *event)),
                other => other,
            };
            let Recovery { sale, snapshot, traces } = match found {
                Ok(found) => found,
                Err(error) => {
                    self.unreadable(error)?;
                    continue;
                }
            };
            match projector.bring_to(*event, sale.seq(), known.get(event).copied()) {
                Ok(()) => {
                    let handle = self.route(*event, sale.clone());
                    *handle.money_traces.lock() = traces;
                    let from_snapshot = snapshot.is_some();
                    recovered.push(Recovered { handle, sale, epoch, from_snapshot });
                }
                Err(error) => self.not_projected(error)?,
            }
        }
        let mut unverified = Vec::with_capacity(over.len());
        for (event, summary) in over {
            match projector.bring_to(event, summary.seq, known.get(&event).copied()) {
                Ok(()) => self.know(event, summary),
                Err(error) => self.not_projected(error)?,
            }
            unverified.push(event);
        }
        Ok((recovered, unverified))
    }

    /// The events that have to be recovered, and those of which a summary says everything.
    fn split_events(&self) -> Result<(Vec<EventId>, Summaries), StartError> {
        let storage = |error: ReadError| StartError::Storage(error.to_string());
        let mut live = waited(|| self.reader.events()).map_err(storage)?;
        let over = waited(|| self.reader.summaries()).map_err(storage)?;
        let known: HashSet<EventId> = over.iter().map(|(event, _)| *event).collect();
        live.retain(|event| !known.contains(event));
        Ok((live, over))
    }

    /// An event that is over and is not read into memory at the start.
    fn know(&self, event: EventId, summary: SaleSummary) {
        self.shared.routes.know(event);
        self.shared.unloaded.put(event, summary);
    }

    /// At the start: a damaged event is not served, a storage that does not answer ends the start.
    fn unreadable(self: &Arc<Self>, error: ReadError) -> Result<(), StartError> {
        match error {
            ReadError::Damaged { event, seq, reason } => {
                self.damaged(event, &format!("seq {}: {reason}", seq.0));
                Ok(())
            }
            ReadError::Unavailable(_) => Err(StartError::Storage(error.to_string())),
        }
    }

    fn not_projected(self: &Arc<Self>, error: ProjectError) -> Result<(), StartError> {
        match error {
            ProjectError::Read(error) => self.unreadable(error),
            ProjectError::Write(error) => Err(StartError::Storage(error.to_string())),
        }
    }

    /// Checks what lies before the snapshots that sales were started from, or behind the summaries, without holding up the
    /// start: one event after the other.
    pub(super) fn verify_behind(
        self: &Arc<Self>,
        events: Vec<EventId>,
        behind: Arc<dyn Fn() + Send + Sync>,
        on_fatal: &OnFatal,
    ) -> std::io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let serving = Arc::clone(self);
        let verify = move || {
            behind();
            for event in events {
                if serving.shared.is_stopping() {
                    return;
                }
                if let Err(ReadError::Damaged { event, seq, reason }) = serving.reader.verify(event) {
                    serving.damaged(event, &format!("seq {}: {reason}", seq.0));
                }
            }
        };
        supervised("onsale-verify", on_fatal, verify).map(drop)
    }
}
