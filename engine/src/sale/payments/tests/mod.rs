//! Stories about payments. Must never need a provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod attempts;
mod charge;
mod free;
mod late;
mod open;
mod refund;
mod settle;
mod unknown;
mod unmatched;
