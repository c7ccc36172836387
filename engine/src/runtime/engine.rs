//! The face of the engine: starts it, stops it, and passes on what is asked of its parts. Must never do a part's work.

use crate::id::{EventId, EventTag};
use crate::limits::{REBUILDS_AT_ONCE, STOP_WAITS};
use crate::ports::{JournalReader, ReadError};
use crate::runtime::actor::Host;
use crate::runtime::answer::Refusal;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::background::Background;
use crate::runtime::claims::Claims;
use crate::runtime::copier::{self, CopyHealth, Sharing};
use crate::runtime::find::{self, Found};
use crate::runtime::handle::SaleHandle;
use crate::runtime::health::{Health, JournalHealth};
use crate::runtime::parts::{Parts, Works, assemble};
#[cfg(feature = "fakes")]
use crate::runtime::probe::Probe;
use crate::runtime::service::Service;
use crate::runtime::settings::{Ports, Settings, StartError};
use crate::runtime::snapshots;
use crate::runtime::start::Recovered;
use crate::runtime::supervision::supervised;
use crate::sale::SaleSummary;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// A running engine; clones are the same one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
    threads: Arc<Threads>,
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
        let (parts, mut works) = assemble(host, background, ports, settings);
        let (storage, tables) = (&mut *works.journal.storage, &mut works.projector);
        let (recovered, mut unverified) = parts.serving.recover_events(storage, tables)?;
        let engine = Self { parts: Arc::new(parts), threads: Arc::default() };
        begin(&engine, works)?;
        let parts = &engine.parts;
        for Recovered { handle, sale, epoch, from_snapshot } in recovered {
            parts.serving.serve(&handle, sale, epoch, 0);
            if from_snapshot {
                unverified.push(handle.event());
            }
        }
        parts.serving.verify_behind(unverified, Arc::clone(&parts.behind), &parts.on_fatal)?;
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
