//! The HTTP front end of onsale, its configuration, and what the binary `onsale` is wired from.
//! Parses into domain types, sends one command, maps the answer. Must never hold state of the domain.

pub mod accounts;
mod administrators;
pub mod app;
pub mod auth;
pub mod backup;
pub mod capacity;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod health;
pub mod http;
pub mod idempotency;
pub mod limits;
mod logging;
pub mod member_changes;
pub mod metrics;
pub mod open_files;
pub mod openapi;
pub mod operators;
pub mod payments;
mod probe;
pub mod queue;
pub mod readers;
pub mod reservations;
pub mod sales;
mod secret;
pub mod security;
pub mod server;
pub mod sharing;
pub mod storage;
pub mod time;
pub mod verify;
pub mod wiring;
