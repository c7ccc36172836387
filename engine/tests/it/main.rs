//! The engine's integration tests, one binary: the simulation of the sale around a model of its journal, and the real
//! runtime on fakes of its ports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests fail by panicking and look at what they care about"
)]

mod runtime;
mod simulation;
