//! A sale of half a million reservations and a million who wait: a scan of the whole of it delays nobody. Neither the lock
//! of its view nor the journal's thread is held for longer than [`BOUND`] at a time, and another event commits meanwhile.

use super::house::{OPENING, buyer, event, until};
use onsale_engine::fakes::{FakeClock, FakeJournal, FakePayments, FakeShared, small_config, small_plan};
use onsale_engine::id::{
    BuyerId, Epoch, EventId, Ordinal, PaymentId, ReservationId, SeatIndex, Seq, Slot, TicketSerial,
};
use onsale_engine::money::Amount;
use onsale_engine::ports::{Committed, JournalError, Projection};
use onsale_engine::runtime::{Engine, Longest, Ports, Refusal, SaleHandle, Settings, Sharing};
use onsale_engine::sale::draw::{DrawSeed, cohort_root, drawn_order};
use onsale_engine::sale::{
    Command, DrawRow, Hold, PaymentRow, PaymentStatus, PaymentView, PlaceRow, PlaceState, ReservationRow,
    ReservationStatus, ReservationView, SaleConfig, SalePhase, SaleSnapshot, Selection, Steering, WaitingRoomSnapshot,
};
use onsale_engine::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use uuid::Uuid;

const WAITING: u64 = 1_000_000;
const ACTIVE: u64 = 1_000;
const RESERVATIONS: u64 = 500_000;
/// How many of them are paid.
const PAID: u64 = 100_000;
/// In processor time of the thread: what others on the machine do does not count.
const BOUND: Duration = Duration::from_millis(2);
/// A measurement that is too long is made again, so many times together, and the shortest of each kind counts: on a machine that
/// builds meanwhile three tries of a cancellation came to 2.07 ms at the least, alone they come to 0.8 to 1.9 ms.
const TRIES: usize = 8;
const BIG: u128 = 1;
const OTHER: u128 = 2;

fn somebody(number: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)))
}

/// Tables that have everything already.
struct NoTables(Seq);

impl Projection for NoTables {
    fn checkpoint(&mut self, of: EventId) -> Result<Seq, JournalError> {
        Ok(if of == event(BIG) { self.0 } else { Seq(0) })
    }
    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError> {
        Ok(vec![(event(BIG), self.0)])
    }

    fn project(&mut self, _: &[Committed]) -> Result<(), JournalError> {
        Ok(())
    }
    fn forget(&mut self, _: EventId) -> Result<(), JournalError> {
        Ok(())
    }
}

fn rules() -> SaleConfig {
    let mut config = small_config(OPENING);
    config.hold = Duration::from_secs(3600);
    config.admission.required = true;
    config.admission.capacity = 2 * WAITING;
    config.admission.draw = true;
    config.admission.absent = Duration::from_secs(24 * 3600);
    config
}

fn reservation(number: u64, at: Timestamp) -> ReservationView {
    let paid = number < PAID;
    ReservationView {
        id: ReservationId(Uuid::from_u128(u128::from(number) << 32)),
        buyer: somebody(10_000_000 + number),
        status: if paid { ReservationStatus::Confirmed } else { ReservationStatus::Pending },
        seats: [SeatIndex(number as u32)].into_iter().collect(),
        amount: Amount(90_000),
        hold_expires_at: OPENING + Duration::from_secs(7200),
        created_at: at,
        confirmed_at: paid.then_some(at),
        ticket: paid.then_some(TicketSerial(number + 1)),
        refund: None,
    }
}

fn payment(number: u64, at: Timestamp) -> PaymentRow {
    let of = reservation(number, at);
    let view = PaymentView {
        id: PaymentId(Uuid::from_u128(u128::from(number) << 32 | 1)),
        reservation: of.id,
        buyer: of.buyer,
        amount: of.amount,
        status: PaymentStatus::Captured,
        created_at: at,
        paid_at: Some(at),
    };
    PaymentRow {
        created_seq: Seq(number + 1),
        view,
        transaction: None,
        charging_until: None,
        unknown: false,
        captured: of.amount,
    }
}

/// A large sale, shortly before its draw.
fn large(at: Timestamp) -> SaleSnapshot {
    let (config, seed) = (rules(), DrawSeed([7; 32]));
    let waits = |number| PlaceRow { buyer: somebody(number), ordinal: Ordinal(number), state: PlaceState::Waiting };
    let shops = |number| PlaceRow {
        buyer: somebody(WAITING + number),
        ordinal: Ordinal(WAITING + number),
        state: PlaceState::Active {
            slot: Slot(number),
            expires_at: OPENING + Duration::from_secs(3600),
            holds_made: 0,
        },
    };
    let used = WAITING + ACTIVE;
    SaleSnapshot {
        seq: Seq(3_000_000),
        at,
        phase: SalePhase::Scheduled,
        steering: Some(Steering::initial(&config.admission)),
        config: Some(config),
        plan: Some(small_plan(RESERVATIONS as usize / 100 + 10, 100)),
        tickets: PAID,
        reservations: (0..RESERVATIONS)
            .map(|number| ReservationRow { created_seq: Seq(number + 1), view: reservation(number, at) })
            .collect(),
        payments: (0..PAID).map(|number| payment(number, at)).collect(),
        schedule: None,
        unmatched: Vec::new(),
        keys: Vec::new(),
        room: WaitingRoomSnapshot {
            next: used + 1,
            reserved: used,
            block_epoch: Epoch(1),
            used: vec![(Ordinal(1), Ordinal(used))],
            lost_from: 1,
            admitted_total: ACTIVE,
            places: (1..=WAITING).map(waits).chain((1..=ACTIVE).map(shops)).collect(),
            ..WaitingRoomSnapshot::default()
        },
        made_at: at,
        draw: Some(DrawRow { seed, commitment: seed.commitment(), cohort: None, drawn: false }),
    }
}

struct Hall {
    engine: Engine,
    clock: FakeClock,
    journal: FakeJournal,
    tokio: Runtime,
    big: Arc<SaleHandle>,
    other: Arc<SaleHandle>,
    serial: AtomicU64,
}

impl Hall {
    fn open() -> Self {
        let before = OPENING - Duration::from_secs(60);
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (journal, clock) = (FakeJournal::default(), FakeClock::at(before));
        let snapshot = large(before);
        let tables = NoTables(snapshot.seq);
        journal.begin_with(event(BIG), snapshot);
        let ports = Ports {
            journal: Box::new(journal.clone()),
            reader: Arc::new(journal.clone()),
            projection: Box::new(tables),
            payments: Arc::new(FakePayments::default()),
            clock: Arc::new(clock.clone()),
        };
        let settings = Settings { snapshot_every: 1000, ..Settings::default() };
        let engine = Engine::start(ports, settings, tokio.handle().clone()).unwrap();
        let big = engine.sale(event(BIG)).unwrap();
        let other = tokio.block_on(async {
            let other = engine.open(event(OTHER)).await.unwrap();
            let config = Box::new(small_config(before));
            let make = Command::Configure { config, plan: small_plan(5, 10), by: buyer(1) };
            other.ask(make, OPENING + BOUND).await.unwrap();
            // Its opening is past when it is asked for seats.
            clock.advance(Duration::from_secs(1));
            other
        });
        Self { engine, clock, journal, tokio, big, other, serial: AtomicU64::new(1) }
    }

    fn ask(&self, sale: &Arc<SaleHandle>, command: Command) -> Result<(), Refusal> {
        self.tokio.block_on(sale.ask(command, OPENING + Duration::from_secs(600))).map(drop)
    }

    /// Does something while another event commits one hold after the other, and says what that has cost them.
    fn meanwhile(&self, what: &str, work: impl FnOnce()) -> Longest {
        let (over, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let longest = std::thread::scope(|scope| {
            scope.spawn(|| self.commit_until(&over, &times));
            until("the other event commits", || !times.lock().unwrap().is_empty());
            self.engine.probe().start();
            work();
            let longest = self.engine.probe().longest();
            over.store(true, Ordering::Release);
            longest
        });
        let (p99, most) = as_met(&times.into_inner().unwrap());
        eprintln!("{what}: {longest:?}; commits of the other event: p99 {p99:?}, longest {most:?}");
        longest
    }

    fn commit_until(&self, over: &AtomicBool, times: &Mutex<Vec<Duration>>) {
        while !over.load(Ordering::Acquire) {
            let number = self.serial.fetch_add(1, Ordering::Relaxed);
            let (id, buyer) = (ReservationId(Uuid::from_u128(u128::from(number))), buyer(5));
            let selection = Selection::These([SeatIndex(7)].into_iter().collect());
            let began = Instant::now();
            let hold = Command::Hold(Hold { reservation: id, buyer, selection, slot: None, key: None });
            self.ask(&self.other, hold).unwrap();
            times.lock().unwrap().push(began.elapsed());
            self.ask(&self.other, Command::ReleaseHold { buyer, reservation: id }).unwrap();
        }
    }

    /// Somebody enters the large sale and leaves it: two facts.
    fn come_and_go(&self) {
        self.ask(&self.big, Command::Enter { buyer: buyer(9) }).unwrap();
        self.ask(&self.big, Command::Leave { buyer: buyer(9) }).unwrap();
    }

    fn snapshot_is_kept(&self) {
        let seq = || self.journal.newest_snapshot(event(BIG));
        let before = seq();
        while seq() == before {
            self.come_and_go();
        }
    }
}

/// The 99th percentile and the longest, as commands that come every millisecond would meet them: while one waits for long, so
/// do all that come meanwhile.
fn as_met(times: &[Duration]) -> (Duration, Duration) {
    let every = Duration::from_millis(1);
    let later = |time: Duration| std::iter::successors(Some(time), move |left| left.checked_sub(every));
    let mut met: Vec<Duration> = times.iter().copied().flat_map(later).collect();
    met.sort_unstable();
    (met[met.len() * 99 / 100], met[met.len() - 1])
}

/// Whether every piece was short in one of a few tries: a virtual processor that is taken away counts as the thread's time.
fn assert_short(what: &str, mut attempt: impl FnMut() -> Longest) {
    let mut least = attempt();
    for _ in 1..TRIES {
        if least.read.max(least.write).max(least.journal) <= BOUND {
            break;
        }
        let again = attempt();
        least.read = least.read.min(again.read);
        least.write = least.write.min(again.write);
        least.journal = least.journal.min(again.journal);
    }
    assert!(least.read.max(least.write).max(least.journal) <= BOUND, "{what}: {least:?}");
}

#[test]
fn walks_over_a_whole_sale_hold_up_nobody() {
    let hall = Hall::open();
    let short = |what: &str, work: &dyn Fn()| assert_short(what, || hall.meanwhile(what, work));
    short("nothing", &|| (0..200).for_each(|_| hall.come_and_go()));
    short("a snapshot", &|| hall.snapshot_is_kept());
    short("a reading of the metrics", &|| assert_eq!(hall.big.copy().check_invariants(), Vec::<String>::new()));
    short("seats of the map", &|| {
        let view = hall.big.view();
        assert_eq!(view.seats_held().len() + view.seats_sold().len(), RESERVATIONS as usize);
    });
    let shared = FakeShared::default();
    let sharing = Sharing { claims: Arc::new(shared.clone()), copies: Arc::new(shared.clone()) };
    hall.tokio.block_on(async { hall.engine.share(sharing) });
    short("a copy for other nodes", &|| {
        shared.wipe();
        until("copied", || shared.places_of(event(BIG)) >= WAITING as usize);
        hall.come_and_go();
    });
    short("a cancellation", &|| {
        hall.ask(&hall.big, Command::CancelSale { by: buyer(1) }).unwrap();
        let before = hall.big.view().seq();
        until("it is being cleared", || hall.big.view().seq().0 > before.0 + 5_000);
    });
    hall.tokio.block_on(hall.engine.stop());
}

#[test]
fn a_draw_of_a_million_holds_up_nobody() {
    // There is one draw in a sale, so each try needs one.
    assert_short("a draw", || {
        let hall = Hall::open();
        let longest = hall.meanwhile("a draw", || {
            hall.clock.set(OPENING);
            hall.ask(&hall.big, Command::Enter { buyer: buyer(10) }).unwrap();
            hall.ask(&hall.big, Command::Leave { buyer: somebody(3) }).unwrap();
            until("drawn", || hall.big.view().draw().unwrap().view().seed.is_some());
        });
        let cohort: Vec<BuyerId> = (1..=WAITING).map(somebody).collect();
        let order = drawn_order(&DrawSeed([7; 32]), cohort_root(cohort.iter().copied()), &cohort);
        let expected = order.into_iter().map(|at| cohort[at as usize]).filter(|who| *who != somebody(3));
        let copy = hall.big.copy();
        let admitted = WAITING as usize - copy.waiting().count();
        assert!(expected.chain([buyer(10)]).skip(admitted).eq(copy.waiting()), "the line is in the drawn order");
        hall.tokio.block_on(hall.engine.stop());
        longest
    });
}

#[test]
fn a_rebuilt_sale_replaces_the_large_one_at_once() {
    let hall = Hall::open();
    assert_short("a rebuild", || {
        let before = hall.engine.health().rebuilds;
        hall.meanwhile("a rebuild", || {
            hall.big.panic_in_next_turn();
            until("rebuilt", || hall.engine.health().rebuilds > before);
            // Answered by the actor that was rebuilt.
            until("served", || hall.ask(&hall.big, Command::Enter { buyer: buyer(9) }).is_ok());
        })
    });
    hall.tokio.block_on(hall.engine.stop());
}
