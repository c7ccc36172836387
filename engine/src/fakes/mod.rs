//! In-memory fakes of the ports, for tests, simulation and benches: a test can make them fail, hang
//! and lose answers; what they report is true. They pass the same conformance suites as the real adapters. Must never be in
//! a release build.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fake that is misused should stop its test")]

mod accounts;
mod catalogue;
mod clock;
mod journal;
mod payments;
mod plans;
mod projection;
mod search;
mod shared;

pub use accounts::FakeAccounts;
pub use catalogue::{FakeCatalogue, every_event};
pub use clock::FakeClock;
pub use journal::FakeJournal;
pub use payments::FakePayments;
pub use plans::{FakePlans, small_config, small_plan};
pub use projection::FakeProjection;
pub use shared::{Copied, FakeShared};
