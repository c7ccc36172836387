//! Stories about one sale, told over a small stage, and a check of random ones against a naive model. Must never
//! need a clock, a generator without a seed, or anything outside the domain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod admission;
mod answers;
mod attempts;
mod best_seats;
mod blocking;
mod buyer;
mod cancelling;
mod draw;
mod ending;
mod free;
mod keys;
mod late_money;

mod model;
mod model_check;
mod operator;
mod orphans;
mod payments;
mod refusals;
mod room;
mod schedule;
mod seats;
mod slots;
mod stage;
mod tickets;
mod unavailable;
mod unmatched;
