//! The ports: what the engine needs of the outside, in its own words. Adapters implement them; fakes that a test
//! can make fail are in `fakes`. An error answers two questions: did it certainly not happen, may it be retried.

pub mod accounts;
pub mod catalogue;
pub mod notices;
pub mod records;
pub mod rows;
pub mod search;
pub mod shared;

use crate::id::{BuyerId, Epoch, EventId, PaymentId, PlanHash, Seq};
use crate::money::{Amount, Currency};
use crate::plan::Plan;
use crate::sale::{ChargeOutcome, Entry, SaleSnapshot, SaleSummary};
use crate::time::Timestamp;
use crate::trace::TraceContext;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future, for the ports that answer later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a store did not answer: nothing was changed, it may be asked again.
#[derive(Debug, thiserror::Error)]
#[error("the storage did not answer: {0}")]
pub struct StoreError(pub String);

/// The answer to a request with an idempotency key, for routes that no sale owns; kept for a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Hash of buyer, route and key.
    pub scope: u128,
    /// Hash of the request's body.
    pub body: u128,
    /// The answer's status.
    pub status: u16,
    /// The answer's `Location`, if it had one.
    pub location: Option<String>,
    /// The answer's JSON.
    pub json: String,
    /// When it was given.
    pub at: Timestamp,
}

/// The wall clock at start plus monotonic time: never falls while the process lives.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Facts of one event on their way into the journal, in order and without gaps.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The event.
    pub event: EventId,
    /// The fact in its place.
    pub entry: Entry,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events whose entries were not written, because another owner has raised their epoch. All else is durable.
    pub fenced: Vec<EventId>,
}

/// Why the journal did not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Certainly not done, may be retried: a full disk, a lost connection before the commit.
    #[error("not done: {0}")]
    NotDone(String),
    /// Unknown whether done; a retry finds out, because a repeated batch is recognised.
    #[error("unknown whether done: {0}")]
    Unknown(String),
    /// Another node owns the events: certainly not done, and not before that node is gone.
    #[error("not done: another node owns the events")]
    Elsewhere,
    /// The storage has lost its authority (an I/O error on a sync): answer nobody and exit.
    #[error("storage failed: {0}")]
    Fatal(String),
}

/// The writing side of the journal: one for each storage, owned by the journal's thread. Calls block.
pub trait Journal: Send + 'static {
    /// Makes the batch durable, all or nothing for each event that is not fenced. Repeating a batch whose outcome
    /// was unknown succeeds if it is the same batch. On return it is synced.
    ///
    /// # Errors
    /// See [`JournalError`].
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError>;

    /// Makes this process the owner of the event's journal from now on: what comes with the old epoch fails.
    ///
    /// # Errors
    /// See [`JournalError`]; [`JournalError::Elsewhere`] while another node lives that owns the events.
    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError>;

    /// Sets what is called, with the reason, should a thread of the storage's own panic: then nothing can be committed, also
    /// where nobody commits just now. A storage without such threads has nothing to do.
    fn on_fatal(&mut self, call: Arc<dyn Fn(&str) + Send + Sync>) {
        drop(call);
    }

    /// The same for many events, at a start: one journey where each would take one. In the order of `events`.
    ///
    /// # Errors
    /// See [`Journal::raise_epoch`]; some of the epochs may be raised then.
    fn raise_epochs(&mut self, events: &[EventId]) -> Result<Vec<Epoch>, JournalError> {
        events.iter().map(|event| self.raise_epoch(*event)).collect()
    }
}

/// Why an event's journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A row does not fit its chain, cannot be decoded, or is missing: the event must not be served.
    #[error("the journal of event {event} is damaged at seq {seq}: {reason}", seq = seq.0)]
    Damaged {
        /// The event.
        event: EventId,
        /// The row.
        seq: Seq,
        /// What is wrong with it.
        reason: String,
    },
    /// The storage did not answer; may be retried.
    #[error("the journal could not be read: {0}")]
    Unavailable(String),
}

/// The reading side of the journal. Calls block.
pub trait JournalReader: Send + Sync + 'static {
    /// Every event that has a journal.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn events(&self) -> Result<Vec<EventId>, ReadError>;

    /// The newest good snapshot of an event, if there is one.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; a damaged snapshot is skipped, and an older one answered, or none.
    fn snapshot(&self, event: EventId) -> Result<Option<SaleSnapshot>, ReadError>;

    /// Hands every entry after `after` to `each`, in order, its chain checked.
    ///
    /// # Errors
    /// See [`ReadError`]; what came before the damage has been handed out.
    fn replay(&self, event: EventId, after: Seq, each: &mut dyn FnMut(Entry)) -> Result<(), ReadError>;

    /// Checks the chain of an event's whole journal, also what lies before its snapshot; answers how many rows.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn verify(&self, event: EventId) -> Result<u64, ReadError>;

    /// What administrators have done to an event ([`crate::sale::Fact::by_operator`]), newest first, each row's chain
    /// checked; and how much there is of it.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn by_operators(&self, event: EventId, skip: u64, limit: u64) -> Result<(Vec<Entry>, u64), ReadError>;

    /// The entries at these positions of an event's journal, in their order, each row's chain checked against the one before
    /// it. Meant for the few facts of one reservation.
    ///
    /// # Errors
    /// See [`ReadError`]; a position that the journal does not have is damage.
    fn entries(&self, event: EventId, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError>;

    /// Keeps a snapshot, built from committed facts.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; nothing is lost by it.
    fn keep_snapshot(&self, event: EventId, snapshot: &SaleSnapshot) -> Result<(), ReadError>;

    /// The summaries that still say all of their events: of those whose journal ends where the summary was taken, and
    /// whose epoch nobody can have raised since without its being seen. A bounded number of queries, however many events
    /// there are; a damaged summary is left out.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn summaries(&self) -> Result<Vec<(EventId, SaleSummary)>, ReadError>;

    /// Keeps an event's summary in place of the one before. Nobody writes with `epoch` any more, the newest of the event.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; nothing is lost by it but time at the next start.
    fn keep_summary(&self, event: EventId, epoch: Epoch, summary: &SaleSummary) -> Result<(), ReadError>;
}

/// Where compiled plans are found by their hash, for replay.
pub trait Plans: Send + Sync + 'static {
    /// The plan of that content; the same one is shared.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn plan(&self, hash: PlanHash) -> Result<Option<Arc<Plan>>, ReadError>;
}

/// Committed facts of one event, on their way to a consumer that writes behind.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The event.
    pub event: EventId,
    /// Facts in order, without gaps among themselves.
    pub entries: Arc<[Entry]>,
}

/// Tables and outbox rows written behind the journal, with a checkpoint for each event. Calls block.
pub trait Projection: Send + 'static {
    /// The last fact of the event that is in the tables.
    ///
    /// # Errors
    /// [`JournalError`], as the journal's.
    fn checkpoint(&mut self, event: EventId) -> Result<Seq, JournalError>;

    /// The same for all events that are in the tables: one journey, where a start would take one for each.
    ///
    /// # Errors
    /// [`JournalError`], as the journal's.
    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError>;

    /// Writes facts and moves the checkpoints, in one transaction. Facts at or before a checkpoint are skipped.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of it is in the tables then.
    fn project(&mut self, facts: &[Committed]) -> Result<(), JournalError>;

    /// Takes everything of an event out of the tables, its checkpoint and the messages that are not published yet, in
    /// one transaction: they know of facts that the journal, an older copy put back, does not have. All of it can be
    /// rebuilt from the journal.
    ///
    /// # Errors
    /// [`JournalError`]; the tables are as they were then.
    fn forget(&mut self, event: EventId) -> Result<(), JournalError>;
}

/// A charge that a durable fact has ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The payment; also the provider's idempotency key.
    pub payment: PaymentId,
    /// Whose.
    pub buyer: BuyerId,
    /// The provider's name for the transaction.
    pub transaction: Box<str>,
    /// How much.
    pub amount: Amount,
    /// In what.
    pub currency: Currency,
}

/// Why a provider did not answer; what it did is unknown, asking again with the same payment is safe.
#[derive(Debug, thiserror::Error)]
#[error("the payment provider did not answer: {0}")]
pub struct ProviderError(pub String);

/// A payment provider. Every call may be repeated: the payment's id makes it the same call.
pub trait PaymentProvider: Send + Sync + 'static {
    /// Its name, as in `/payments/webhooks/{name}`.
    fn name(&self) -> &'static str;

    /// Charges. The caller must bound it in time.
    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>>;

    /// Asks what became of a charge; [`ChargeOutcome::NotCharged`] is a promise that none will come.
    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>>;

    /// Gives back everything that this payment took.
    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>>;

    /// Whether new payments should be refused for now (an open circuit breaker).
    fn is_unavailable(&self) -> bool {
        false
    }
}

/// A message of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The topic: `reservation.events` or `payment.events`.
    pub topic: &'static str,
    /// The key that keeps order: the reservation's id.
    pub key: String,
    /// Its place: event and position, for receivers that drop repeats.
    pub event: EventId,
    /// See `event`.
    pub seq: Seq,
    /// The trace that it belongs to, for its publisher: a header of its transport, or a member beside the payload.
    pub trace: Option<TraceContext>,
    /// JSON.
    pub payload: String,
}

/// Where outbox messages go, at least once and in order for each key.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes messages in their order; on an error none, some or all went out.
    fn publish<'a>(&'a self, messages: &'a [OutboxMessage]) -> Later<'a, Result<(), ProviderError>>;
}
