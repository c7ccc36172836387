//! The application that handlers work on: the engine, its ports, and the secrets. Holds no state of the domain.

use crate::accounts::{Challenges, Passwords, Predecessors};
use crate::auth::{AccessTokens, TokenSigner};
use crate::config::CatalogueConfig;
use crate::health::Checks;
use crate::idempotency::InFlight;
use crate::limits::Limits;
use crate::metrics::HttpMetrics;
use crate::readers::Readers;
use crate::security::SecurityLog;
use crate::sharing::Sharing;
use onsale_adapters::postgres::NodeLease;
use onsale_engine::ports::accounts::Accounts;
use onsale_engine::ports::catalogue::Catalogue;
use onsale_engine::ports::records::Records;
use onsale_engine::ports::search::RecordSearch;
use onsale_engine::ports::{Clock, PaymentProvider, Plans};
use onsale_engine::runtime::Engine;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Everything that a handler may use. Made once, when the engine has recovered.
pub struct App {
    /// The sales.
    pub engine: Engine,
    /// Venues, halls, events.
    pub catalogue: Arc<dyn Catalogue>,
    /// What holds for venues and events that do not say otherwise.
    pub catalogue_rules: CatalogueConfig,
    /// Held by every reader that then changes and writes an event's row, so that no stale row is written. Administrators do
    /// so, one after the other.
    pub event_changes: Arc<Mutex<()>>,
    /// Accounts, sessions, revocations.
    pub accounts: Arc<dyn Accounts>,
    /// Lists, and reservations that memory has let go.
    pub records: Arc<dyn Records>,
    /// What operators look up in the same tables.
    pub search: Arc<dyn RecordSearch>,
    /// Compiled plans by their hash.
    pub plans: Arc<dyn Plans>,
    /// That this process owns the events, where several may have the storage open.
    pub node: Option<NodeLease>,
    /// The payment provider.
    pub payments: Arc<dyn PaymentProvider>,
    /// The process' clock.
    pub clock: Arc<dyn Clock>,
    /// Bearer tokens.
    pub tokens: AccessTokens,
    /// The threads that hash passwords.
    pub passwords: Passwords,
    /// Queue tokens, payment keys, tickets.
    pub signer: TokenSigner,
    /// Rate limits.
    pub limits: Arc<Limits>,
    /// What is solved to go on beyond some of them.
    pub challenges: Box<dyn Challenges>,
    /// Whether signing up takes a solved challenge.
    pub challenge_signups: bool,
    /// Whose addresses deleted accounts had before.
    pub predecessors: Predecessors,
    /// Security events.
    pub security: SecurityLog,
    /// Requests with an idempotency key that are being handled.
    pub in_flight: InFlight,
    /// What reading handlers share.
    pub readers: Readers,
    /// What this node shares with others, if anything.
    pub sharing: Option<Sharing>,
    /// The last check of the invariants.
    pub checks: Checks,
    /// What a scraper of the metrics must send, if anything.
    pub metrics_token: Option<SecretString>,
    /// Counters of requests.
    pub http: Arc<HttpMetrics>,
    /// How many connections to the databases are open now.
    pub database_connections: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Whether the storage holds no room for a start on a full disk, though it should.
    pub lacks_reserve: Box<dyn Fn() -> bool + Send + Sync>,
    /// Cancelled when the server drains: streams end, long waits give up.
    pub draining: CancellationToken,
    /// How long the payment provider may take.
    pub charge_timeout: Duration,
}
