//! The engine: makes every part and hands each what it needs, starts and stops the threads, and is the face of it all. The only
//! file that knows every part. Must never do a part's work.

use crate::id::{EventId, EventTag};
use crate::limits::{REBUILDS_AT_ONCE, STOP_WAITS, TURNS_DURING_COMMIT};
use crate::ports::{Committed, JournalReader, ReadError};
use crate::runtime::actor::Host;
use crate::runtime::answer::Refusal;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::background::Background;
use crate::runtime::batch::OpenBatch;
use crate::runtime::claims::Claims;
use crate::runtime::commit::JournalThread;
use crate::runtime::copier::{self, CopierFront, CopyHealth, Sharing};
use crate::runtime::deliver::Deliverer;
use crate::runtime::effects::Effects;
use crate::runtime::find::{self, Found};
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::health::{Health, JournalHealth};
use crate::runtime::journal_status::JournalStatus;
use crate::runtime::load::load_on_request;
use crate::runtime::probe::Probe;
use crate::runtime::projector::{Projector, ProjectorFront};
use crate::runtime::publish::Publisher;
use crate::runtime::rebuild::Rebuilder;
use crate::runtime::rebuild_queue::RebuildQueue;
use crate::runtime::routes::Routes;
use crate::runtime::serve::Serving;
use crate::runtime::service::Service;
use crate::runtime::settings::{Ports, Settings, StartError};
use crate::runtime::snapshots::{self, Snapshots};
use crate::runtime::start::Recovered;
use crate::runtime::supervision::{OnFatal, supervised};
use crate::runtime::timekeeper::Timekeeper;
use crate::runtime::turn::TurnContext;
use crate::runtime::unload::Unloader;
use crate::runtime::unloaded::Unloaded;
use crate::runtime::unmatched::UnmatchedOutcomes;
use crate::runtime::wake::CommitGate;
use crate::sale::SaleSummary;
use crossbeam::channel::Receiver;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// The parts of a running engine, each of which was handed what it needs of the others.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) serving: Arc<Serving>,
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) timekeeper: Arc<Timekeeper>,
    pub(crate) rebuilder: Rebuilder,
    unloader: Unloader,
    effects: Arc<Effects>,
    projector: Arc<ProjectorFront>,
    snapshots: Arc<Snapshots>,
    copier: Arc<OnceLock<Arc<CopierFront>>>,
    unmatched: Arc<UnmatchedOutcomes>,
    host: Arc<dyn Host>,
    behind: Arc<dyn Fn() + Send + Sync>,
    on_fatal: OnFatal,
}

/// A running engine; clones are the same one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
    threads: Arc<Threads>,
}

/// What threads work through.
pub(crate) struct Works {
    pub(crate) journal: JournalThread,
    pub(crate) projector: Projector,
    pub(crate) committed: Receiver<Committed>,
    pub(crate) ordered: Receiver<Arc<SaleHandle>>,
    pub(crate) unloaded_after: Duration,
}

#[derive(Default)]
struct Threads {
    journal: Mutex<Option<JoinHandle<()>>>,
    projector: Mutex<Option<JoinHandle<()>>>,
    timekeeper: Mutex<Option<JoinHandle<()>>>,
    snapshots: Mutex<Option<JoinHandle<()>>>,
    rebuilds: Mutex<Vec<JoinHandle<()>>>,
    unloader: Mutex<Option<JoinHandle<()>>>,
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

impl Engine {
    /// Recovers every event, catches the projections up, and serves. Blocks until then; must not be called on a
    /// tokio worker.
    ///
    /// # Errors
    /// See [`StartError`]. A damaged journal is no error of the start: its event is not served.
    pub fn start(ports: Ports, settings: Settings, tokio: tokio::runtime::Handle) -> Result<Self, StartError> {
        let host = Arc::new(Arbiters::start(settings.arbiters)?);
        let background = Background::new(tokio, true);
        Self::start_on(host, background, ports, settings, |engine, works| engine.spawn_threads(works))
    }

    /// Starts with its actors on `host`; `begin` gets what would each have a thread.
    pub(crate) fn start_on(
        host: Arc<dyn Host>,
        background: Background,
        ports: Ports,
        settings: Settings,
        begin: impl FnOnce(&Self, Works) -> std::io::Result<()>,
    ) -> Result<Self, StartError> {
        let Ports { mut journal, reader, projection, payments, clock } = ports;
        let runtime = background.runtime().clone();
        let gate = Arc::new(CommitGate::new(TURNS_DURING_COMMIT));
        let status = Arc::new(JournalStatus::new(settings.commit_stall));
        let shared = Arc::new(Shared {
            clock,
            stopping: AtomicBool::new(false),
            journal: Arc::clone(&status),
            gate: Arc::clone(&gate),
            claims: Arc::default(),
            routes: Routes::default(),
            unloaded: Arc::new(Unloaded::default()),
            background,
            probe: Probe::default(),
        });
        let on_fatal = fatal(&status, settings.on_fatal);
        let (projector, committed) = ProjectorFront::new(settings.projection_lag_max);
        let (snapshots, ordered) = Snapshots::new(settings.snapshot_every);
        let (projector, snapshots) = (Arc::new(projector), Arc::new(snapshots));
        let effects = Arc::new(Effects::new(payments, runtime, settings.charge_timeout));
        let (batch, timekeeper) = (Arc::new(OpenBatch::new(gate)), Arc::new(Timekeeper::default()));
        let (rebuilds, unmatched) = (Arc::new(RebuildQueue::default()), Arc::new(UnmatchedOutcomes::default()));
        let copier: Arc<OnceLock<Arc<CopierFront>>> = Arc::default();
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
            reader: Arc::clone(&reader),
            host: Arc::clone(&host),
        });
        load_on_request(&serving);
        let (others, behind_whom) = (Arc::clone(&projector), (Arc::clone(&status), Arc::clone(&shared.clock)));
        let may_rest = move || others.may_rest(behind_whom.0.is_busy(behind_whom.1.now()));
        let mut tables = Projector::new(projection, reader, &projector, Box::new(may_rest));
        let (recovered, mut unverified) = serving.recover_events(&mut *journal, &mut tables)?;
        let publisher = Publisher {
            shared: Arc::clone(&shared),
            effects: Arc::clone(&effects),
            rebuilds: Arc::clone(&rebuilds),
            unmatched: Arc::clone(&unmatched),
        };
        let deliverer = Deliverer {
            shared: Arc::clone(&shared),
            effects: Arc::clone(&effects),
            snapshots: Arc::clone(&snapshots),
            copier: Arc::clone(&copier),
            projector: Arc::clone(&projector),
        };
        let journal = JournalThread {
            storage: journal,
            shared: Arc::clone(&shared),
            batch: Arc::clone(&batch),
            projector: Arc::clone(&projector),
            publisher,
            deliverer,
            on_fatal: Arc::clone(&on_fatal),
        };
        let parts = Parts {
            shared,
            serving: Arc::clone(&serving),
            batch,
            timekeeper,
            rebuilder: Rebuilder { serving: Arc::clone(&serving), queue: Arc::clone(&rebuilds) },
            unloader: Unloader { serving: Arc::clone(&serving), projector: Arc::clone(&projector), rebuilds },
            effects,
            projector,
            snapshots,
            copier,
            unmatched,
            host,
            behind: settings.behind,
            on_fatal,
        };
        let engine = Self { parts: Arc::new(parts), threads: Arc::default() };
        let unloaded_after = settings.unloaded_after;
        begin(&engine, Works { journal, projector: tables, committed, ordered, unloaded_after })?;
        for Recovered { handle, sale, epoch, from_snapshot } in recovered {
            serving.serve(&handle, sale, epoch, 0);
            if from_snapshot {
                unverified.push(handle.event());
            }
        }
        serving.verify_behind(unverified, Arc::clone(&engine.parts.behind), &engine.parts.on_fatal)?;
        Ok(engine)
    }

    fn spawn_threads(&self, works: Works) -> std::io::Result<()> {
        let Works { mut journal, projector, committed, ordered, unloaded_after } = works;
        let fatal = &self.parts.on_fatal;
        journal.storage.on_fatal(Arc::clone(fatal));
        *self.threads.journal.lock() = Some(supervised("onsale-journal", fatal, move || journal.run())?);
        let parts = Arc::clone(&self.parts);
        let run = move || {
            (parts.behind)();
            projector.run(&committed, &parts.projector);
        };
        *self.threads.projector.lock() = Some(supervised("onsale-projector", fatal, run)?);
        let parts = Arc::clone(&self.parts);
        let run = move || {
            parts.timekeeper.run(&parts.shared.clock, |event| {
                if let Some(sale) = parts.shared.routes.get(event) {
                    sale.wake();
                }
            });
        };
        *self.threads.timekeeper.lock() = Some(supervised("onsale-time", fatal, run)?);
        let (reader, behind) = (Arc::clone(&self.parts.serving.reader), Arc::clone(&self.parts.behind));
        let run = move || {
            behind();
            snapshots::run(&ordered, &*reader);
        };
        *self.threads.snapshots.lock() = Some(supervised("onsale-snapshots", fatal, run)?);
        for number in 0..REBUILDS_AT_ONCE {
            let parts = Arc::clone(&self.parts);
            let thread = supervised(format!("onsale-rebuild-{number}"), fatal, move || parts.rebuilder.run())?;
            self.threads.rebuilds.lock().push(thread);
        }
        let parts = Arc::clone(&self.parts);
        let run = move || {
            (parts.behind)();
            parts.unloader.run(unloaded_after);
        };
        *self.threads.unloader.lock() = Some(supervised("onsale-unload", fatal, run)?);
        Ok(())
    }

    /// The route to an event's sale, if that is in memory.
    #[must_use]
    pub fn sale(&self, event: EventId) -> Option<Arc<SaleHandle>> {
        find::served(&self.parts.shared, event)
    }

    /// The route to an event's sale, which is read into memory again if it has left it; none if there is no such event.
    /// Costs what [`Engine::sale`] does for one that is in memory. Cancel safe.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`] and [`Refusal::Unserved`].
    pub async fn load(&self, event: EventId) -> Result<Option<Arc<SaleHandle>>, Refusal> {
        match self.sale(event) {
            Some(sale) => Ok(Some(sale)),
            None => find::load(&self.parts.shared, event).await,
        }
    }

    /// The event that a reservation's or a payment's id names.
    #[must_use]
    pub fn event_of(&self, tag: EventTag) -> Option<EventId> {
        self.parts.shared.routes.event_of(tag)
    }

    /// What is known of an event; one that is not in memory stays outside, and one that is does not count as asked for.
    #[must_use]
    pub fn find(&self, event: EventId) -> Option<Found> {
        find::find(&self.parts.shared, event)
    }

    /// Whether another node is known to have taken an event that is not in memory here: its summary may be old.
    #[must_use]
    pub fn is_unloaded_elsewhere(&self, event: EventId) -> bool {
        self.parts.shared.unloaded.is_elsewhere(event)
    }

    /// Every event that is not in memory.
    #[must_use]
    pub fn unloaded(&self) -> Vec<(EventId, Arc<SaleSummary>)> {
        self.parts.shared.unloaded.all()
    }

    /// Takes an event out of memory if it is over, has nothing pending and nobody uses it, as happens by itself when it is
    /// quiet; whether it did. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`]; the event stays in memory then.
    pub fn unload(&self, event: EventId) -> Result<bool, ReadError> {
        self.parts.unloader.unload(event)
    }

    /// The route of every event that is in memory.
    #[must_use]
    pub fn sales(&self) -> Vec<Arc<SaleHandle>> {
        self.parts.shared.routes.all()
    }

    /// A route and an actor for an event that has no facts yet; the same one when it has a route already.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`] and [`Refusal::Unserved`].
    pub async fn open(&self, event: EventId) -> Result<Arc<SaleHandle>, Refusal> {
        if let Some(handle) = self.load(event).await? {
            return Ok(handle);
        }
        if self.parts.shared.is_stopping() {
            return Err(Refusal::Unserved);
        }
        let batch = Arc::clone(&self.parts.batch);
        let raised = tokio::task::spawn_blocking(move || batch.raise_epoch(event)).await;
        let epoch = match raised {
            Ok(Ok(epoch)) => epoch,
            Ok(Err(_)) | Err(_) => return Err(Refusal::StorageUnavailable),
        };
        Ok(self.parts.serving.serve_new(event, epoch))
    }

    /// Which event each buyer is in.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.parts.shared.claims
    }

    /// Another node has taken the event: it is not served until it can be had back.
    pub fn lose(&self, event: EventId) {
        match self.find(event) {
            Some(Found::Loaded(sale)) => self.parts.rebuilder.queue.fenced(&sale),
            Some(Found::Unloaded(_)) => self.parts.shared.unloaded.lose(event),
            None => {}
        }
    }

    /// How long one holder keeps others waiting.
    #[cfg(feature = "fakes")]
    #[must_use]
    pub fn probe(&self) -> &Probe {
        &self.parts.shared.probe
    }

    /// Changes whenever the tables that are written behind may have moved.
    #[must_use]
    pub fn tables_moved(&self) -> tokio::sync::watch::Receiver<()> {
        self.parts.projector.moves()
    }

    /// How the engine is.
    #[must_use]
    pub fn health(&self) -> Health {
        let (parts, shared) = (&self.parts, &self.parts.shared);
        let (facts, batches) = shared.journal.committed();
        let mut health = Health {
            journal: shared.journal.health(shared.clock.now()),
            damaged: Vec::new(),
            quarantined: Vec::new(),
            elsewhere: Vec::new(),
            facts,
            batches,
            projection_lag: parts.projector.lag(),
            rebuilds: parts.rebuilder.queue.count(),
            unmatched_outcomes: parts.unmatched.count(),
            loaded: shared.routes.count(),
            unloaded: shared.unloaded.count(),
            loads: shared.unloaded.loads(),
        };
        shared.routes.each(|sale| match sale.service() {
            Service::Damaged => health.damaged.push((sale.event(), sale.damage.lock().clone().unwrap_or_default())),
            Service::Quarantined => health.quarantined.push(sale.event()),
            Service::Elsewhere => health.elsewhere.push(sale.event()),
            Service::Serving | Service::Rebuilding | Service::Unloaded => {}
        });
        health
    }

    /// From now on claims are shared with other nodes, and copies are written for them. Once only. Must be called on
    /// the runtime, before commands come.
    pub fn share(&self, sharing: Sharing) {
        let shared = &self.parts.shared;
        let (front, copier) = copier::make(sharing.copies);
        if self.parts.copier.set(front).is_ok() {
            shared.claims.share(sharing.claims, shared.background.runtime());
            tokio::spawn(copier.run(Arc::clone(shared)));
        }
    }

    /// How far copies are behind; none when nothing is shared.
    #[must_use]
    pub fn copies(&self) -> Option<CopyHealth> {
        self.parts.copier.get().map(|copier| copier.health())
    }

    pub(crate) fn reader(&self) -> &dyn JournalReader {
        &*self.parts.serving.reader
    }

    /// Takes no more commands, lets those in flight finish, and writes everything out.
    pub async fn stop(&self) {
        let shared = &self.parts.shared;
        shared.stopping.store(true, Ordering::Release);
        shared.unloaded.stop();
        let _ = tokio::time::timeout(STOP_WAITS, shared.unloaded.end_loads()).await;
        let until = tokio::time::Instant::now() + STOP_WAITS;
        while shared.routes.any(|sale| sale.in_flight() > 0)
            && shared.journal.health(shared.clock.now()) == JournalHealth::Good
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.parts.effects.stop();
        let (parts, threads) = (Arc::clone(&self.parts), Arc::clone(&self.threads));
        let stop = move || {
            join(&threads.unloader);
            parts.timekeeper.stop();
            parts.host.stop();
            parts.rebuilder.queue.stop();
            parts.batch.stop();
            join(&threads.journal);
            threads.rebuilds.lock().drain(..).for_each(|thread| drop(thread.join()));
            parts.projector.close();
            join(&threads.projector);
            parts.snapshots.close();
            join(&threads.snapshots);
            join(&threads.timekeeper);
            parts.shared.routes.clear();
        };
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    if let Some(thread) = thread.lock().take() {
        let _ = thread.join();
    }
}
