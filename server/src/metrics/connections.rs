//! What is counted of connections and streams: how many are open, and why some were not taken or were ended. Counting is a few
//! relaxed atomic additions; must never be asked whether a connection may be taken.

use super::{write_head, write_single};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Default)]
pub struct Connections {
    /// Open now.
    pub open: AtomicU64,
    /// Not taken because all together were at their limit.
    pub refused_all: AtomicU64,
    /// Not taken because those of the same address were at theirs.
    pub refused_address: AtomicU64,
    /// Ended because a request's head did not come to its end.
    pub late_heads: AtomicU64,
    /// Ended because an answer was not read.
    pub unread_answers: AtomicU64,
}

impl Connections {
    pub(super) fn write(&self, out: &mut String) {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write_single(out, "onsale_connections", value(&self.open));
        write_head(out, "onsale_connections_refused_total");
        for (limit, counter) in [("all", &self.refused_all), ("address", &self.refused_address)] {
            let _ = writeln!(out, "onsale_connections_refused_total{{limit=\"{limit}\"}} {}", value(counter));
        }
        write_head(out, "onsale_connections_ended_total");
        for (reason, counter) in [("head", &self.late_heads), ("unread", &self.unread_answers)] {
            let _ = writeln!(out, "onsale_connections_ended_total{{reason=\"{reason}\"}} {}", value(counter));
        }
    }
}
