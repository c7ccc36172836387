//! Stories about the waiting room. Must never need a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod absence;
mod admit;
mod closing;
mod enter;
mod ordinals;
mod restore;
mod slot;
mod status;
