//! Storage and payment providers behind the ports of the engine.
//!
//! Owns how facts, snapshots, accounts and the catalogue are stored, and how providers are spoken to. Must never
//! decide anything about seats or places, and must never be seen by the engine.

mod append;
pub mod breaker;
pub mod chain;
pub mod clock;
pub mod described;
mod document;
mod evidence;
mod hall_form;
mod journal_cursor;
mod outbox_form;
mod plan_cache;
mod plan_form;
pub mod postgres;
pub mod pretix;
#[cfg(feature = "private-postgres")]
pub mod private_postgres;
#[cfg(feature = "private-redis")]
pub mod private_redis;
pub mod redis;
pub mod rfc3339;
mod sale_form;
mod shapes;
pub mod simulated;
pub mod sqlite;
mod status_names;
pub mod stored;
pub mod template;
mod warnings;

pub use document::FieldMistake;
pub use evidence::{Evidence, ProjectedRows};
pub use plan_form::{DamagedPlan, compile};
pub use pretix::Imported;
pub use status_names::{PAYMENT_METHOD, payment_failure};
