//! The parts of an engine, made from its ports and settings, each handed what it needs of the others. The only file that knows every
//! part. Must never start anything.

use crate::limits::TURNS_DURING_COMMIT;
use crate::ports::{Committed, Journal};
use crate::runtime::actor::Host;
use crate::runtime::background::Background;
use crate::runtime::batch::OpenBatch;
use crate::runtime::commit::JournalThread;
use crate::runtime::copier::CopierFront;
use crate::runtime::deliver::Deliverer;
use crate::runtime::effects::Effects;
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::journal_status::JournalStatus;
use crate::runtime::load::load_on_request;
use crate::runtime::probe::Probe;
use crate::runtime::projector::{Projector, ProjectorFront};
use crate::runtime::publish::Publisher;
use crate::runtime::rebuild::Rebuilder;
use crate::runtime::rebuild_queue::RebuildQueue;
use crate::runtime::routes::Routes;
use crate::runtime::serve::Serving;
use crate::runtime::settings::{Ports, Settings};
use crate::runtime::snapshots::Snapshots;
use crate::runtime::supervision::OnFatal;
use crate::runtime::timekeeper::Timekeeper;
use crate::runtime::turn::TurnContext;
use crate::runtime::unload::Unloader;
use crate::runtime::unloaded::Unloaded;
use crate::runtime::unmatched::UnmatchedOutcomes;
use crate::runtime::wake::CommitGate;
use crossbeam::channel::Receiver;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a running engine consists of, but for what its threads own.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) serving: Arc<Serving>,
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) timekeeper: Arc<Timekeeper>,
    pub(crate) rebuilder: Rebuilder,
    pub(crate) unloader: Unloader,
    pub(crate) effects: Arc<Effects>,
    pub(crate) projector: Arc<ProjectorFront>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) copier: Arc<OnceLock<Arc<CopierFront>>>,
    pub(crate) unmatched: Arc<UnmatchedOutcomes>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) behind: Arc<dyn Fn() + Send + Sync>,
    pub(crate) on_fatal: OnFatal,
}

/// What threads work through.
pub(crate) struct Works {
    pub(crate) journal: JournalThread,
    pub(crate) projector: Projector,
    pub(crate) committed: Receiver<Committed>,
    pub(crate) ordered: Receiver<Arc<SaleHandle>>,
    pub(crate) unloaded_after: Duration,
}

/// What everything ends with when the storage is lost, or a thread that everything rests on: the process must end.
fn fatal(status: &Arc<JournalStatus>, on_fatal: OnFatal) -> OnFatal {
    let status = Arc::clone(status);
    Arc::new(move |reason| {
        status.ends_fatally();
        tracing::error!(reason, "nothing more can be committed, and nothing more is answered");
        on_fatal(reason);
    })
}

/// Makes every part; nothing is read, and nothing runs.
pub(crate) fn assemble(
    host: Arc<dyn Host>,
    background: Background,
    ports: Ports,
    settings: Settings,
) -> (Parts, Works) {
    let Ports { journal, reader, projection, payments, clock } = ports;
    let effects = Arc::new(Effects::new(payments, background.runtime().clone(), settings.charge_timeout));
    let status = Arc::new(JournalStatus::new(settings.commit_stall));
    let gate = Arc::new(CommitGate::new(TURNS_DURING_COMMIT));
    let batch = Arc::new(OpenBatch::new(Arc::clone(&gate)));
    let on_fatal = fatal(&status, settings.on_fatal);
    let shared = Arc::new(Shared {
        clock,
        stopping: AtomicBool::new(false),
        journal: status,
        gate,
        claims: Arc::default(),
        routes: Routes::default(),
        unloaded: Arc::new(Unloaded::default()),
        background,
        probe: Probe::default(),
    });
    let (projector, committed) = ProjectorFront::new(settings.projection_lag_max);
    let (snapshots, ordered) = Snapshots::new(settings.snapshot_every);
    let (projector, rebuilds) = (Arc::new(projector), Arc::new(RebuildQueue::default()));
    let timekeeper = Arc::new(Timekeeper::default());
    let tables = Projector::new(projection, Arc::clone(&reader), &projector, may_rest(&projector, &shared));
    let turns = Arc::new(TurnContext {
        batch: Arc::clone(&batch),
        timekeeper: Arc::clone(&timekeeper),
        rebuilds: Arc::clone(&rebuilds),
        draw_seed: settings.draw_seed,
    });
    let serving = Arc::new(Serving {
        shared: Arc::clone(&shared),
        turns,
        batch: Arc::clone(&batch),
        effects: Arc::clone(&effects),
        reader,
        host: Arc::clone(&host),
    });
    load_on_request(&serving);
    let parts = Parts {
        rebuilder: Rebuilder { serving: Arc::clone(&serving), queue: Arc::clone(&rebuilds) },
        unloader: Unloader { serving: Arc::clone(&serving), projector: Arc::clone(&projector), rebuilds },
        shared,
        serving,
        batch,
        timekeeper,
        effects,
        projector,
        snapshots: Arc::new(snapshots),
        copier: Arc::default(),
        unmatched: Arc::default(),
        host,
        behind: settings.behind,
        on_fatal,
    };
    let (journal, unloaded_after) = (parts.journal_thread(journal), settings.unloaded_after);
    (parts, Works { journal, projector: tables, committed, ordered, unloaded_after })
}

/// Whether tables may rest: answers come first. Holds nothing that holds a sale.
fn may_rest(projector: &Arc<ProjectorFront>, shared: &Shared) -> Box<dyn Fn() -> bool + Send> {
    let (projector, journal, clock) = (Arc::clone(projector), Arc::clone(&shared.journal), Arc::clone(&shared.clock));
    Box::new(move || projector.may_rest(journal.is_busy(clock.now())))
}

impl Parts {
    /// The end of the pipeline, which the journal's thread owns.
    fn journal_thread(&self, storage: Box<dyn Journal>) -> JournalThread {
        let publisher = Publisher {
            shared: Arc::clone(&self.shared),
            effects: Arc::clone(&self.effects),
            rebuilds: Arc::clone(&self.rebuilder.queue),
            unmatched: Arc::clone(&self.unmatched),
        };
        let deliverer = Deliverer {
            shared: Arc::clone(&self.shared),
            effects: Arc::clone(&self.effects),
            snapshots: Arc::clone(&self.snapshots),
            copier: Arc::clone(&self.copier),
            projector: Arc::clone(&self.projector),
        };
        JournalThread {
            storage,
            shared: Arc::clone(&self.shared),
            batch: Arc::clone(&self.batch),
            projector: Arc::clone(&self.projector),
            publisher,
            deliverer,
            on_fatal: Arc::clone(&self.on_fatal),
        }
    }
}
