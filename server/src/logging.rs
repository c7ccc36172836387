//! The log: JSON lines (or text), written by a thread of its own so that a slow reader delays no request. What does not fit is dropped and
//! counted. On standard error, or in two files a day: `all`, and `important` (warnings, errors, and what operators did).
//! Must never carry personal data: ids of things, patterns of paths, no bodies.

mod line;

use crate::config::{LogConfig, LogFormat};
use line::Lines;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{FmtSpan, JsonFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// The target of lines that are important whatever their level.
pub const IMPORTANT: &str = "onsale::important";
/// The target of what the library that migrates databases writes.
const MIGRATIONS: &str = "refinery_core";
/// Lines that may wait to be written.
const WAITING_LINES: usize = 16_384;
/// Files kept of `all`: today's and yesterday's. The agent has shipped the rest.
const ALL_FILES: usize = 2;
/// Files kept of `important`.
const IMPORTANT_FILES: usize = 8;

static STARTED: OnceLock<Started> = OnceLock::new();
static BYTES: AtomicU64 = AtomicU64::new(0);

struct Started {
    dropped: ErrorCounter,
    level: reload::Handle<EnvFilter, Registry>,
    all: NonBlocking,
}

/// What is left to write is written when this is dropped.
pub struct Log(#[expect(dead_code, reason = "they work when they are dropped")] Vec<WorkerGuard>);

/// Starts the log. A second start in one process does nothing.
///
/// # Errors
/// When the directory of the files cannot be used.
pub fn start(config: &LogConfig) -> Result<Log, InitError> {
    let mut guards = Vec::new();
    let mut behind = |writer: Box<dyn Write + Send>| {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true);
        let (writer, guard) = builder.finish(Counted(writer));
        guards.push(guard);
        writer
    };
    let standard_error = behind(Box::new(io::stderr()));
    let files = match &config.directory {
        Some(directory) => Some((
            behind(Box::new(Daily::new(directory, "all", ALL_FILES, config.group_readable)?)),
            behind(Box::new(Daily::new(directory, "important", IMPORTANT_FILES, config.group_readable)?)),
        )),
        None => None,
    };
    let (all, important) = match files {
        // Important lines also go to standard error, where many operators read first.
        Some((all, important)) => (all, vec![important, standard_error]),
        None => (standard_error, Vec::new()),
    };
    let (filter, level) = reload::Layer::new(filter(&config.level));
    let dropped = all.error_counter();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    layers.push(layer(config.format, all.clone()).with_filter(filter).boxed());
    layers.extend(important.into_iter().map(|writer| layer(config.format, writer).with_filter(importance()).boxed()));
    if tracing_subscriber::registry().with(layers).try_init().is_ok() {
        let _ = STARTED.set(Started { dropped, level, all });
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    }
    Ok(Log(guards))
}

/// Lines from now on are of this level, or as these directives say.
pub fn set_level(level: &str) {
    if let Some(Err(error)) = STARTED.get().map(|started| started.level.reload(filter(level))) {
        tracing::error!(%error, "the level of the log is not changed");
    }
}

/// Writes a line that is whole already, among all the others.
pub fn write_raw(line: &str) {
    if let Some(started) = STARTED.get() {
        let _ = started.all.clone().write_all(format!("{line}\n").as_bytes());
    }
}

/// Lines dropped since the start.
#[must_use]
pub fn dropped_lines() -> usize {
    STARTED.get().map_or(0, |started| started.dropped.dropped_lines())
}

/// Bytes written since the start, all files together.
#[must_use]
pub fn bytes_written() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Important lines are written at any level.
fn filter(level: &str) -> EnvFilter {
    let mut filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // A start would have a dozen lines of migrations that were done long ago; who wants them names their target.
    let migrations = (!level.contains(MIGRATIONS)).then(|| format!("{MIGRATIONS}=warn"));
    for directive in migrations.into_iter().chain([format!("{IMPORTANT}=info")]) {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
}

/// Writes lines, and one for the end of each span, whose level is `debug`. The members of spans are kept as JSON in either form.
fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Before the form, which knows nothing of them.
    let layer = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::CLOSE);
    layer.fmt_fields(JsonFields::new()).event_format(Lines(format)).with_writer(writer).boxed()
}

/// Without the hint every disabled line would be asked about.
fn importance() -> FilterFn {
    filter_fn(is_important as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn is_important(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::WARN || (line.target() == IMPORTANT && *line.level() <= Level::INFO)
}

/// A file for each day, readable by its owner and, where that is configured, by the group: the process' own mask makes files
/// that nobody else can read.
struct Daily {
    files: RollingFileAppender,
    /// Where each new file is opened to the group, if it is.
    opened: Option<(PathBuf, String)>,
    day: i64,
}

impl Daily {
    fn new(directory: &Path, name: &str, files: usize, group_readable: bool) -> Result<Self, InitError> {
        let builder = RollingFileAppender::builder().rotation(Rotation::DAILY).max_log_files(files);
        let files = builder.filename_prefix(name).filename_suffix("log").build(directory)?;
        let opened = group_readable.then(|| (directory.to_owned(), format!("{name}.")));
        Ok(Self { files, opened, day: 0 })
    }

    fn open_to_group((directory, prefix): &(PathBuf, String)) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix.as_str()) {
                std::fs::set_permissions(entry.path(), Permissions::from_mode(0o640))?;
            }
        }
        Ok(())
    }
}

impl Write for Daily {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Read before the write: when it says that a new day has begun, the write has opened that day's file.
        let day = jiff::Timestamp::now().as_second().div_euclid(86_400);
        let written = self.files.write(bytes)?;
        if self.day != day {
            self.day = day;
            // A file that stays closed is one that the agent misses, not one that is lost.
            let _ = self.opened.as_ref().map(Self::open_to_group);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.flush()
    }
}

/// Counts what goes through.
struct Counted(Box<dyn Write + Send>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        BYTES.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
