//! The files of a data directory by name, and how long each waits for another connection. Must never open one.

use std::time::Duration;

pub(super) const LOCK: &str = "onsale.lock";
/// What the journal's chain is keyed with. Keep a copy apart from the directory: who has both can forge a journal.
pub(super) const KEY: &str = "journal.key";
pub(super) const JOURNAL: &str = "journal.db";
pub(super) const SNAPSHOTS: &str = "snapshots.db";
pub(super) const LIBRARY: &str = "library.db";
/// How long a statement waits for another connection's lock before it fails as busy.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
