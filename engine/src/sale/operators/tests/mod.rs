//! Stories about what administrators do. Must never need a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod cancel_reservation;
mod cancel_sale;
mod configure;
mod postpone;
mod retire;
mod steer;
