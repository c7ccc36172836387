//! A house with one sale (more if a test asks for them) on a running engine, with its fakes at hand.

use onsale_engine::fakes::{FakeClock, FakeJournal, FakePayments, FakeProjection, small_config, small_plan};
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::runtime::{Answer, Engine, Ports, Refusal, SaleHandle, Settings};
use onsale_engine::sale::{
    Command, ConfirmPayment, Entry, Fact, Hold, OpenPayment, PaymentView, PlaceStatus, PlaceView, Reply,
    ReservationView, SaleConfig, Selection,
};
use onsale_engine::time::Timestamp;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// When everything begins; the sale is open.
pub const OPENING: Timestamp = Timestamp::from_secs(1_780_000_000);
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct House {
    pub engine: Engine,
    pub clock: FakeClock,
    pub journal: FakeJournal,
    pub projection: FakeProjection,
    pub payments: FakePayments,
    pub fatal: Arc<AtomicU64>,
    pub sale: Arc<SaleHandle>,
    settings: Settings,
    tokio: Arc<Runtime>,
    serial: AtomicU64,
}

pub fn event(number: u128) -> EventId {
    EventId(Uuid::from_u128(0xeee0 + number))
}

pub fn buyer(number: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(number) + 1))
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < TIMEOUT, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(
    journal: &FakeJournal,
    projection: &FakeProjection,
    payments: &FakePayments,
    clock: &FakeClock,
    settings: &Settings,
    tokio: &Runtime,
) -> Engine {
    let ports = Ports {
        journal: Box::new(journal.clone()),
        reader: Arc::new(journal.clone()),
        projection: Box::new(projection.clone()),
        payments: Arc::new(payments.clone()),
        clock: Arc::new(clock.clone()),
    };
    Engine::start(ports, settings.clone(), tokio.handle().clone()).expect("a start")
}

impl House {
    /// Five rows of ten, open, without a waiting room.
    pub fn open() -> Self {
        Self::with(|_| ())
    }

    pub fn with_room() -> Self {
        Self::with(|config| config.admission.required = true)
    }

    pub fn with(rules: impl FnOnce(&mut SaleConfig)) -> Self {
        let fatal = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&fatal);
        let settings = Settings {
            charge_timeout: Duration::from_millis(40),
            snapshot_every: 1000,
            on_fatal: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
            ..Settings::default()
        };
        Self::with_settings(settings, fatal, rules)
    }

    pub fn with_settings(settings: Settings, fatal: Arc<AtomicU64>, rules: impl FnOnce(&mut SaleConfig)) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = Arc::new(tokio.expect("a runtime"));
        let (journal, projection) = (FakeJournal::default(), FakeProjection::default());
        let (payments, clock) = (FakePayments::default(), FakeClock::at(OPENING));
        let engine = start(&journal, &projection, &payments, &clock, &settings, &tokio);
        let sale = made(&engine, &tokio, event(1), rules);
        let serial = AtomicU64::new(0);
        Self { engine, clock, journal, projection, payments, fatal, sale, settings, tokio, serial }
    }

    /// Another sale in the same house.
    pub fn another(&self, number: u128, rules: impl FnOnce(&mut SaleConfig)) -> Arc<SaleHandle> {
        made(&self.engine, &self.tokio, event(number), rules)
    }

    /// The machine dies as it is; another one starts with what the journal has.
    pub fn crash(self) -> Self {
        let journal = self.journal.crashed();
        self.journal.release();
        self.start_on(journal, FakeProjection::default())
    }

    /// Stops, and starts with an older copy of the journal beside the tables as they are.
    pub fn put_back(self, copy: FakeJournal) -> Self {
        self.stop();
        let projection = self.projection.clone();
        self.start_on(copy, projection)
    }

    /// Stops in order and starts again.
    pub fn restart(self) -> Self {
        self.stop();
        let (journal, projection) = (self.journal.clone(), self.projection.clone());
        self.start_on(journal, projection)
    }

    fn start_on(self, journal: FakeJournal, projection: FakeProjection) -> Self {
        let engine = start(&journal, &projection, &self.payments, &self.clock, &self.settings, &self.tokio);
        let sale = engine.sale(event(1)).expect("a route");
        Self {
            engine,
            journal,
            projection,
            sale,
            clock: self.clock.clone(),
            payments: self.payments.clone(),
            fatal: Arc::clone(&self.fatal),
            settings: self.settings.clone(),
            tokio: Arc::clone(&self.tokio),
            serial: AtomicU64::new(self.serial.load(Ordering::Relaxed)),
        }
    }

    /// Another house, on what a crash has left.
    pub fn on(&self, left: FakeJournal) -> Self {
        let (payments, projection) = (self.payments.clone(), FakeProjection::default());
        let engine = start(&left, &projection, &payments, &self.clock, &self.settings, &self.tokio);
        let sale = engine.sale(event(1)).expect("a route");
        Self {
            engine,
            journal: left,
            projection,
            sale,
            payments,
            clock: self.clock.clone(),
            fatal: Arc::clone(&self.fatal),
            settings: self.settings.clone(),
            tokio: Arc::clone(&self.tokio),
            serial: AtomicU64::new(self.serial.load(Ordering::Relaxed)),
        }
    }

    /// Another process that owns the same journal.
    pub fn rival(&self) -> Engine {
        start(&self.journal, &FakeProjection::default(), &self.payments, &self.clock, &self.settings, &self.tokio)
    }

    pub fn stop(&self) {
        self.tokio.block_on(self.engine.stop());
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.tokio.block_on(future)
    }

    pub fn soon(&self) -> Timestamp {
        onsale_engine::ports::Clock::now(&self.clock) + TIMEOUT
    }

    /// Asks and waits.
    pub fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        self.run(self.sale.ask(command, self.soon()))
    }

    /// Asks, and somebody else waits.
    pub fn asking(&self, command: Command) -> JoinHandle<Result<Answer, Refusal>> {
        let (sale, deadline) = (Arc::clone(&self.sale), self.soon());
        self.tokio.spawn(async move { sale.ask(command, deadline).await })
    }

    /// Asks with this timeout, and another thread waits.
    pub fn asking_for(&self, timeout: Duration, command: Command) -> JoinHandle<Result<Answer, Refusal>> {
        let deadline = onsale_engine::ports::Clock::now(&self.clock) + timeout;
        let sale = Arc::clone(&self.sale);
        self.tokio.spawn(async move { sale.ask(command, deadline).await })
    }

    pub fn uuid(&self) -> Uuid {
        Uuid::from_u128(0xffff_0000 + u128::from(self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn hold_of(&self, who: u64, seats: &[u32]) -> Command {
        let selection = Selection::These(seats.iter().map(|seat| SeatIndex(*seat)).collect());
        let slot = match self.place(who).map(|place| place.status) {
            Some(PlaceStatus::Active { slot, .. }) => slot,
            _ => None,
        };
        Command::Hold(Hold { reservation: ReservationId(self.uuid()), buyer: buyer(who), selection, slot, key: None })
    }

    #[track_caller]
    pub fn hold(&self, who: u64, seats: &[u32]) -> ReservationView {
        reservation(self.ask(self.hold_of(who, seats)).expect("a hold"))
    }

    pub fn open_payment(&self, hold: &ReservationView) -> PaymentView {
        let (payment, reservation) = (PaymentId(self.uuid()), hold.id);
        let open = OpenPayment { payment, buyer: hold.buyer, reservation, amount: hold.amount, key: None };
        payment_of(self.ask(Command::OpenPayment(open)).expect("an opened payment"))
    }

    pub fn confirm_of(&self, payment: &PaymentView) -> Command {
        Command::ConfirmPayment(ConfirmPayment {
            buyer: payment.buyer,
            payment: payment.id,
            reservation: payment.reservation,
            amount: payment.amount,
            transaction: "t".into(),
            key: None,
        })
    }

    /// Holds, opens, confirms, and waits for the outcome.
    pub fn buy(&self, who: u64, seats: &[u32]) -> PaymentView {
        let payment = self.open_payment(&self.hold(who, seats));
        let answer = self.ask(self.confirm_of(&payment)).expect("a confirmation");
        self.run(answer.settlement.expect("a charge")).expect("an outcome")
    }

    pub fn place(&self, who: u64) -> Option<PlaceView> {
        let now = onsale_engine::ports::Clock::now(&self.clock);
        self.sale.view().place(buyer(who), now)
    }

    pub fn is_active(&self, who: u64) -> bool {
        matches!(self.place(who).map(|place| place.status), Some(PlaceStatus::Active { .. }))
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.journal.entries(self.sale.event())
    }

    /// How many such facts are in the journal.
    pub fn written(&self, wanted: impl Fn(&Fact) -> bool) -> usize {
        self.entries().iter().filter(|entry| wanted(&entry.fact)).count()
    }

    pub fn holds_written(&self) -> usize {
        self.written(|fact| matches!(fact, Fact::SeatsHeld { .. }))
    }

    /// The journal hangs in the middle of a write of somebody's hold.
    pub fn hang_on(&self, seats: &[u32]) -> JoinHandle<Result<Answer, Refusal>> {
        self.journal.hang();
        let waiting = self.asking(self.hold_of(99, seats));
        until("a write hangs", || self.journal.hanging_writes() == 1);
        waiting
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.journal.release();
        if !std::thread::panicking() {
            let broken: Vec<String> =
                self.engine.sales().iter().flat_map(|sale| sale.view().check_invariants()).collect();
            assert_eq!(broken, Vec::<String>::new());
        }
    }
}

fn made(engine: &Engine, tokio: &Runtime, id: EventId, rules: impl FnOnce(&mut SaleConfig)) -> Arc<SaleHandle> {
    let mut config = small_config(OPENING);
    rules(&mut config);
    let make = Command::Configure { config: Box::new(config), plan: small_plan(5, 10), by: buyer(1000) };
    tokio.block_on(async {
        let sale = engine.open(id).await.expect("a route");
        sale.ask(make, OPENING + TIMEOUT).await.expect("a sale");
        sale
    })
}

pub fn reservation(answer: Answer) -> ReservationView {
    match answer.reply {
        Reply::Reservation(view) => *view,
        other => panic!("{other:?}"),
    }
}

pub fn payment_of(answer: Answer) -> PaymentView {
    match answer.reply {
        Reply::Payment(view) => *view,
        other => panic!("{other:?}"),
    }
}

/// The price of a seat in the front half.
pub const VIP: Amount = Amount(150_000);
