//! Maps that many threads share, keyed by ids of ours or of verified tokens. They hash with foldhash, seeded at random in each
//! process: a third of what the standard library's SipHash takes, for keys that nobody may choose freely. Must not be
//! used for keys that come from outside unverified.

use dashmap::DashMap;

/// See the module.
pub type SharedMap<K, V> = DashMap<K, V, hashbrown::DefaultHashBuilder>;
