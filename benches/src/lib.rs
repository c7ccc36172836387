//! Tools that drive a whole server from outside: `kill -9` under load, and the pieces that they share.
//! Sees every other crate; must never be needed by one.

pub mod crash;
pub mod process;
