//! The engine's integration tests, one binary: the runtime in a simulated world, on fakes of its ports with its
//! real threads, and the model of its wake protocol.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests fail by panicking and look at what they care about"
)]

mod runtime;
mod simulation;
mod wake_model;
