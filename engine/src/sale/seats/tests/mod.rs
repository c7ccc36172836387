//! Stories about seats. Must never need a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod best_block;
mod blocking;
mod kinds;
mod marked;
mod orphans;
mod pairs;
mod unavailable;
