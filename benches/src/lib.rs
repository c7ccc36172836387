//! Tools that drive a whole server from outside: load, `kill -9` under load, comparisons, and the pieces that they share.
//! Sees every other crate; must never be needed by one.

pub mod built;
pub mod compare;
pub mod crash;
pub mod databases;
pub mod flags;
pub mod growth;
pub mod http1;
pub mod in_process;
pub mod instructions;
pub mod load;
pub mod machine;
pub mod process;
pub mod scene;
pub mod stalling;
