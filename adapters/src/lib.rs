//! Storage and payment providers behind the ports of the engine.
//!
//! Owns how facts, snapshots, accounts and the catalogue are stored, and how providers are spoken to. Must never
//! decide anything about seats or places, and must never be seen by the engine.

pub mod sqlite;
