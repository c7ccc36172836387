//! What only shows from outside: crash test and load in short, README's walk-through, and the tidiness of the sources.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may end on its first surprise"
)]

mod crash;
mod load;
mod load_fake;
mod onsale;
mod tidy;
mod walkthrough;
