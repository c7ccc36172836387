//! Conformance of the adapters with the engine's ports, and what only real storage can show: reopening, damage,
//! two owners. One suite for each port, run on the real adapter and on the fake.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod accounts;
mod catalogue;
mod epochs;
mod journal;
mod journal_damage;
mod payments;
mod postgres;
mod projection;
mod projection_rows;
mod redis;
mod search;
mod shared;
mod starts;
mod story;
mod support;
