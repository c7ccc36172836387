//! Every bound of the engine, in one place, with what it protects. Relations between bounds are asserted below.

use std::time::Duration;

/// The largest `maxHoldsPerSlot`: a bound for what an operator may allow, far beyond what a shopper needs.
pub const MAX_HOLDS_PER_SLOT: u16 = 10_000;
/// `maxHoldsPerSlot` unless an event says otherwise: enough for a buyer who changes their mind every twenty seconds of a slot of
/// ten minutes. Also the limit of every sale whose rules are older than it.
pub const HOLDS_PER_SLOT: u16 = 30;
/// Declined charges of one hold; after them it is not charged again. Enough for typing errors and a second card, too few to
/// try stolen cards one after the other.
pub const DECLINES_PER_HOLD: u16 = 5;
/// Unmatched outcomes that a sale remembers to recognise their repeats; the oldest is forgotten first.
pub const UNMATCHED_KEPT: usize = 1000;
/// Seats in one hold at the most; also the largest `maxSeatsPerBuyer`.
pub const MAX_SEATS_PER_HOLD: usize = 100;
/// Seats of one event that are blocked one by one; whole categories are taken out of the sale by having no price. A list of
/// as many is a fact of 400 kB at the most.
pub const MAX_BLOCKED_SEATS: usize = 100_000;
/// Seats that an operator blocks and frees with one request: 40 kB of the journal, and one answer that names each of them.
pub const BLOCKED_AT_ONCE: usize = 10_000;
/// Lengths of free runs that the best-seats index distinguishes; longer blocks are searched among these.
pub const INDEXED_RUN: usize = 16;
/// Price categories of one plan.
pub const MAX_CATEGORIES: usize = 256;
/// Seats of one plan.
pub const MAX_SEATS: usize = 10_000_000;
/// Places reserved in the journal at a time, before any of them is used.
pub const ORDINAL_BLOCK: u64 = 4096;
/// Ordinals left unused before the first block of an epoch: as many entries may an older copy of a journal have lost, and
/// still nobody's ordinal is issued again.
pub const LOST_ORDINALS: u64 = 1 << 20;
/// Reads of the waiting room that polling may cost in a second, all buyers of an event together.
pub const POLLS_PER_SECOND: u64 = 10_000;
/// The shortest pause between two polls, unless absence has to be noticed earlier.
pub const POLL_MIN: Duration = Duration::from_secs(2);
/// The longest: beyond it people think that the page has died.
pub const POLL_MAX: Duration = Duration::from_secs(15);
/// A waiting buyer's polls within the time after which silence counts as absence.
pub const POLLS_BEFORE_ABSENT: u64 = 3;
/// How many poll intervals admission waits for the tickets of buyers whom an older journal has lost.
pub const POLLS_WAITED_FOR_LOST: u32 = 2;
/// The largest `capacity` of a waiting room.
pub const MAX_CAPACITY: u64 = 10_000_000;
/// The largest `ratePerSecond`.
pub const MAX_RATE_PER_SECOND: u32 = 100_000;
/// How far behind its due time an admission may be and still count from it; what is later than this is lost rate.
pub const MAX_ADMISSION_LAG: Duration = Duration::from_secs(1);
/// How long an `EXPIRED` place is shown before it is forgotten.
pub const EXPIRED_SHOWN_FOR: Duration = Duration::from_secs(600);
/// Ended reservations that stay in memory for each event; older ones are read from the projection.
pub const ENDED_RESERVATIONS_KEPT: usize = 20_000;
/// How long an idempotency key is remembered.
pub const KEY_REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Idempotency keys remembered for each event; beyond them the oldest is forgotten early.
pub const KEYS_KEPT: usize = 2_000_000;
/// Rows of expired places, or of old keys, that one fact drops at the most. They count as gone all the same.
pub const FORGOTTEN_AT_ONCE: usize = 16;
/// How long a charge whose outcome is unknown keeps its hold beyond the timeout of the provider.
pub const CHARGE_GRACE: Duration = Duration::from_secs(60);
/// The longest that a provider may be waited for; the configured timeout is at most this.
pub const CHARGE_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// How long a started charge keeps its hold from expiring.
pub const CHARGE_KEEPS_HOLD_FOR: Duration = Duration::from_secs(CHARGE_TIMEOUT_MAX.as_secs() + CHARGE_GRACE.as_secs());
/// Bytes of a provider's transaction id.
pub const MAX_TRANSACTION_BYTES: usize = 200;
/// Bytes of an operator's message to everyone waiting.
pub const MAX_MESSAGE_BYTES: usize = 500;

/// Commands that one actor may have taken and not yet answered; beyond them the answer is `Overloaded`.
pub const IN_FLIGHT_PER_SALE: usize = 16_384;
/// Commands handled in one turn of an actor before it looks at its other lanes again.
pub const COMMANDS_PER_TURN: usize = 512;
/// Charges that a provider is asked for at once; one that finds no slot within the provider's timeout is not made.
pub const CHARGES_AT_ONCE: usize = 4096;
/// Refunds, and questions about charges, that a provider is asked for at once; others wait in a list.
pub const RECONCILED_AT_ONCE: usize = 64;
/// Steps of passing time (expiries, admissions) taken in one turn.
pub const STEPS_PER_TURN: usize = 128;
/// Buyers whose draw is worked out within a turn: half a millisecond. That of more is worked out beside the sale.
pub const DRAWN_IN_A_TURN: u64 = 1024;
/// Facts in one batch of the journal; more wait for the next, so that the views follow in a millisecond or two.
pub const FACTS_PER_BATCH: usize = 2048;
/// Facts brought into a read view under one lock, up to the end of the decision that they belong to: a fraction of a
/// millisecond.
pub const FACTS_PER_LOCK: usize = 256;
/// Turns of actors that buyers' commands begin while a batch is being committed; further ones wait for its end.
pub const TURNS_DURING_COMMIT: u32 = 2;
/// From a commit that answers so many on, the journal counts as busy for [`JOURNAL_BUSY_FOR`].
pub const BUSY_ANSWERS: usize = 16;
/// How long what is written behind steps back after a commit of [`BUSY_ANSWERS`].
pub const JOURNAL_BUSY_FOR: Duration = Duration::from_millis(100);
/// How long a commit may go without an answer before the journal counts as failed and nothing that writes is decided; until
/// then commands wait, behind permits and deadlines. Disks of laptops and network volumes stall for a second at times.
pub const COMMIT_STALL: Duration = Duration::from_secs(2);
/// The shortest [`COMMIT_STALL`] that may be configured.
pub const COMMIT_STALL_MIN: Duration = Duration::from_millis(250);
/// The longest: beyond it most requests have passed their deadline.
pub const COMMIT_STALL_MAX: Duration = Duration::from_secs(30);
/// How long a stopping engine waits for commands in flight.
pub const STOP_WAITS: Duration = Duration::from_secs(10);
/// How long a start asks a storage again that does not answer.
pub const START_WAITS: Duration = Duration::from_secs(10);
/// Rebuilds of actors, of different events, that run at the same time.
pub const REBUILDS_AT_ONCE: usize = 2;
/// The first pause before a failed batch is tried again; it doubles up to [`JOURNAL_RETRY_MAX`].
pub const JOURNAL_RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between tries of a failed batch.
pub const JOURNAL_RETRY_MAX: Duration = Duration::from_secs(1);
/// Rebuilds of one actor within [`REBUILD_WINDOW`] after which the event is quarantined.
pub const REBUILDS_BEFORE_QUARANTINE: usize = 3;
/// See [`REBUILDS_BEFORE_QUARANTINE`].
pub const REBUILD_WINDOW: Duration = Duration::from_secs(60);
/// An event that is over and has nothing pending leaves memory when nobody has asked for it for so long, or up to half as
/// long again.
pub const UNLOADED_AFTER: Duration = Duration::from_secs(120);
/// Events that are loaded at the same time when somebody asks for them; others wait. Each reads a snapshot into memory.
pub const LOADS_AT_ONCE: usize = 4;
/// Threads that recover events at a start.
pub const RECOVERIES_AT_ONCE: usize = 4;
/// Facts after which a snapshot of an event is taken.
pub const FACTS_PER_SNAPSHOT: u64 = 200_000;
/// Facts written behind in one transaction: others who write to the same tables wait for no more than this.
pub const FACTS_PER_PROJECTION: usize = 4096;
/// Facts that may be committed and not yet written behind: what three sold-out arenas write. From there on the projector
/// takes no rest, and commits wait for it.
pub const PROJECTION_LAG_MAX: u64 = 500_000;
/// Tables that have not moved for so long count as failing, and no commit waits for them; nor once they have failed.
pub const PROJECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Batches between the journal and the projector; when full, the projector reads the journal instead.
pub const PROJECTION_HANDOFF: usize = 1024;
/// Batches between the journal and the copier; when full, every copy is written again.
pub const COPY_HANDOFF: usize = 4096;
/// Buyers and holds of one event that are noted for the next write of its copy; with more it is written whole.
pub const COPY_NOTES: usize = 20_000;
/// Copies are written again this often though nothing seems lost, and so are the claims of everyone with a place.
pub const COPIED_AGAIN_AFTER: Duration = Duration::from_secs(20 * 60);
/// How long a claim or a copy lives that is not written again.
pub const COPIES_LIVE: Duration = Duration::from_secs(3600);

const _: () = assert!(HOLDS_PER_SLOT <= MAX_HOLDS_PER_SLOT);
const _: () = assert!(BLOCKED_AT_ONCE <= MAX_BLOCKED_SEATS);
const _: () = assert!(MAX_BLOCKED_SEATS <= MAX_SEATS);
const _: () = assert!(INDEXED_RUN <= MAX_SEATS_PER_HOLD);
const _: () = assert!(COMMANDS_PER_TURN <= IN_FLIGHT_PER_SALE);
const _: () = assert!(STEPS_PER_TURN <= FACTS_PER_BATCH);
const _: () = assert!(FACTS_PER_LOCK <= FACTS_PER_BATCH);
const _: () = assert!(JOURNAL_RETRY_MIN.as_millis() <= JOURNAL_RETRY_MAX.as_millis());
const _: () = assert!(2 * COPIED_AGAIN_AFTER.as_secs() < COPIES_LIVE.as_secs());
const _: () = assert!(COMMIT_STALL_MIN.as_millis() <= COMMIT_STALL.as_millis());
const _: () = assert!(COMMIT_STALL.as_millis() <= COMMIT_STALL_MAX.as_millis());
const _: () = assert!(MAX_SEATS < u32::MAX as usize);
const _: () = assert!(POLL_MIN.as_secs() <= POLL_MAX.as_secs());
const _: () = assert!(ORDINAL_BLOCK <= LOST_ORDINALS);
const _: () = assert!(MAX_CATEGORIES <= u16::MAX as usize);
