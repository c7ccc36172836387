//! What only shows from outside: crash test and load in short, README's walk-through, and the tidiness of sources and
//! documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may end on its first surprise"
)]

mod circles;
mod crash;
mod dependencies;
mod documents;
mod footprint;
mod help;
mod load;
mod load_fake;
mod onsale;
mod stall;
mod tidy;
mod walkthrough;
mod words;

/// Counts what is allocated, for the footprint.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;
