//! Storage in Postgres (15 and later): journal, leases and snapshots, projections and outbox, accounts and catalogue,
//! in one database that several nodes may open.
//!
//! The journal, the projector and the node's lease have connections of their own; accounts, catalogue and lists share a
//! pool. One node at a time is active and owns the events; the others stand by. Must never be opened but through
//! [`Postgres`], which brings the schema up to date and knows the journal's key.

mod accounts;
mod answers;
mod audit;
mod catalogue;
mod connect;
mod database;
mod failure;
mod journal;
mod node;
mod plans;
mod pool;
mod projection;
mod reader;
mod records;
mod rows;
mod search;
mod session;
mod values;

#[cfg(feature = "private-postgres")]
pub use records::listing_statements;

pub use accounts::PostgresAccounts;
pub use catalogue::PostgresCatalogue;
pub use connect::{ConnectError, DatabaseUrl, UrlMistake};
pub use database::{OpenError, Postgres, Settings, inspect};
pub use journal::PostgresJournal;
pub use node::{NodeError, NodeLease};
pub use plans::PostgresPlans;
pub use projection::PostgresProjection;
pub use reader::PostgresReader;
pub use records::PostgresRecords;
