//! The log: JSON lines (or text) on standard error, written behind so that a slow reader holds nobody up. What does not
//! fit is dropped and counted. Must never carry personal data: ids of things, patterns of paths, no bodies.

use crate::config::{LogConfig, LogFormat};
use std::sync::OnceLock;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that may wait to be written.
const WAITING_LINES: usize = 16_384;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts the log; what is left is written when the guard is dropped. A second start in one process does nothing.
pub fn start(config: &LogConfig) -> WorkerGuard {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true);
    let (writer, guard) = builder.finish(std::io::stderr());
    let _ = DROPPED.set(writer.error_counter());
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match config.format {
        LogFormat::Json => tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.with_ansi(false).finish()),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    }
    guard
}

/// Lines dropped since the start.
#[must_use]
pub fn dropped_lines() -> usize {
    DROPPED.get().map_or(0, ErrorCounter::dropped_lines)
}
