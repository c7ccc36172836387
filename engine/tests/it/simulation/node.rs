//! One node: the real engine without threads of its own, and a tokio runtime in which time stands still until the world
//! moves it. Dropping a node is a crash: those who wait are not answered.

use super::chance::Chance;
use super::journal::Storage;
use super::provider::Provider;
use onsale_engine::fakes::{FakeClock, FakeProjection};
use onsale_engine::id::EventId;
use onsale_engine::runtime::{ByHand, Engine, NextStep, Ports, SaleHandle, Settings};
use onsale_engine::sale::draw::DrawSeed;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

/// Facts after which a snapshot is ordered.
const SNAPSHOT_EVERY: u64 = 25;

pub struct Node {
    /// First, so that it is dropped first: a process that dies answers nobody.
    runtime: Runtime,
    pub hands: ByHand,
    pub engine: Engine,
    /// Of this start of it.
    pub id: u64,
    must_end: Arc<AtomicBool>,
}

impl Node {
    pub fn start(id: u64, storage: &Storage, provider: &Provider, clock: &FakeClock, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ports = Ports {
            journal: Box::new(storage.port(id)),
            reader: Arc::new(storage.journal.clone()),
            projection: Box::new(FakeProjection::default()),
            payments: Arc::new(provider.clone()),
            clock: Arc::new(clock.clone()),
        };
        let must_end = Arc::new(AtomicBool::new(false));
        let (ends, chance) = (Arc::clone(&must_end), Mutex::new(Chance::of(seed)));
        let settings = Settings {
            snapshot_every: SNAPSHOT_EVERY,
            projection_lag_max: u64::MAX,
            on_fatal: Arc::new(move |_| ends.store(true, Ordering::SeqCst)),
            draw_seed: Arc::new(move |_| draw_seed(&mut chance.lock().unwrap())),
            ..Settings::default()
        };
        let (engine, hands) = Engine::by_hand(ports, settings, runtime.handle().clone()).unwrap();
        Self { runtime, hands, engine, id, must_end }
    }

    /// Whether the process must end.
    pub fn must_end(&self) -> bool {
        self.must_end.load(Ordering::SeqCst)
    }

    pub fn sale(&self, event: EventId) -> Arc<SaleHandle> {
        self.engine.sale(event).unwrap()
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(task).abort_handle()
    }

    /// Tasks that are ready run, and those that they wake.
    pub fn run_tasks(&self) {
        self.runtime.block_on(async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
    }

    /// Time passes for its tasks.
    pub fn advance(&self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// One of the actors that were woken takes its turn; false when none was.
    pub fn turn(&self, chance: &mut Chance) -> bool {
        let woken = self.hands.woken();
        let actor = chance.pick(&woken);
        actor.map(|actor| self.hands.turn(*actor)).is_some()
    }

    /// Everything that can be done without waiting is done, in the usual order. The journal works.
    pub fn work_off(&mut self, chance: &mut Chance) {
        for _ in 0..10_000 {
            self.run_tasks();
            self.hands.ring_timers();
            if self.turn(chance) {
                continue;
            }
            if self.hands.next_step() != NextStep::Nothing {
                self.hands.step();
            } else if !self.hands.rebuild() && !self.hands.take_snapshot() && self.hands.woken().is_empty() {
                self.run_tasks();
                if self.hands.woken().is_empty() {
                    return;
                }
            }
        }
        panic!("it never comes to an end: {:?}", self.hands);
    }
}

fn draw_seed(chance: &mut Chance) -> DrawSeed {
    let bits: [u64; 4] = std::array::from_fn(|_| chance.next());
    let mut seed = [0; 32];
    seed.chunks_mut(8).zip(bits).for_each(|(bytes, bits)| bytes.copy_from_slice(&bits.to_be_bytes()));
    DrawSeed(seed)
}
