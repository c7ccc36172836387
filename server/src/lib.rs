//! The HTTP front end of onsale, its configuration, and what the binary `onsale` is wired from.
//! Parses into domain types, sends one command, maps the answer. Must never hold state of the domain.

pub mod app;
pub mod auth;
pub mod http;
pub mod idempotency;
pub mod metrics;
pub mod time;
