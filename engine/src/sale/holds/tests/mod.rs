//! Stories about holds. Must never need a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod change;
mod expire;
mod hold;
mod limits;
mod release;
