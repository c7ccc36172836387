//! Stories that cross the rules of a sale: what each end makes of each call, the order of refusals, idempotency keys. Must
//! never need a clock, a generator without a seed, or anything outside the domain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod answers;
mod assertions;
mod idempotency;
mod model;
mod refusals;
pub(in crate::sale) mod stage;
mod table;
