//! Samples a run every second: closes the tally's second, reads what the processes take, and reports progress; in a
//! terminal on one line that is written over, else a line a second.

use super::field::Field;
use super::tally::Second;
use crate::machine::{memory, processor_time};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Where progress is reported.
pub enum Progress {
    /// Nowhere.
    Silent,
    /// On standard error.
    Reported,
}

pub(super) struct Watch {
    field: Rc<Field>,
    process: Option<u32>,
    bar: Option<ProgressBar>,
    is_reported: bool,
    at: Instant,
    server_time: Option<Duration>,
    own_time: Option<Duration>,
    seconds: u64,
}

impl Watch {
    pub(super) fn new(field: &Rc<Field>, process: Option<u32>, progress: &Progress) -> Self {
        let is_reported = matches!(progress, Progress::Reported);
        let style =
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = (is_reported && io::stderr().is_terminal()).then(|| ProgressBar::new_spinner().with_style(style));
        let at = Instant::now();
        let (server_time, own_time) = (None, None);
        Self { field: Rc::clone(field), process, bar, is_reported, at, server_time, own_time, seconds: 0 }
    }

    /// Watches for ever; to be dropped when the run is over.
    pub(super) async fn run(&mut self) {
        self.read_times();
        loop {
            let next = self.at + EVERY;
            tokio::time::sleep_until(next.into()).await;
            self.sample();
        }
    }

    /// The last sample, for the end of the run.
    pub(super) fn close(mut self) {
        self.sample();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn read_times(&mut self) -> (Option<Duration>, Option<Duration>) {
        let server = self.process.and_then(|process| processor_time(process).ok());
        let own = processor_time(std::process::id()).ok();
        let before = (self.server_time, self.own_time);
        (self.server_time, self.own_time) = (server, own);
        let spent = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        (spent(server, before.0), spent(own, before.1))
    }

    fn sample(&mut self) {
        let elapsed = self.at.elapsed().as_secs_f64().max(0.001);
        self.at = Instant::now();
        let (server, own) = self.read_times();
        let cores = |spent: Option<Duration>| spent.map(|spent| spent.as_secs_f64() / elapsed);
        let (waiting, admitted) = self.field.crowd.get();
        self.seconds += 1;
        let second = self.field.tally.borrow_mut().close_second(Second {
            second: self.seconds,
            waiting,
            admitted,
            server_bytes: self.process.and_then(|process| memory(process).ok()).map(|memory| memory.resident),
            server_cores: cores(server),
            own_cores: cores(own),
            ..Second::default()
        });
        if self.is_reported {
            self.report(&second);
        }
    }

    fn report(&self, now: &Second) {
        let millis = |p95: Option<f64>| p95.map_or_else(|| "-".to_owned(), |p95| format!("{p95:.1} ms"));
        let mut line = format!(
            "{:>4} s  {:>6} sent  {:>6} answered  {:>6} events  {:>3} failed  entry p95 {:>9}  read p95 {:>9}  \
             {:>6} waiting  {:>6} let in",
            now.second,
            now.sent,
            now.answered,
            now.events,
            now.failed,
            millis(now.entry_p95_ms),
            millis(now.read_p95_ms),
            now.waiting,
            now.admitted,
        );
        if let (Some(bytes), Some(server), Some(own)) = (now.server_bytes, now.server_cores, now.own_cores) {
            line.push_str(&format!("  server {} MiB, {server:.2} cores (load {own:.2})", bytes >> 20));
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            // A closed standard error is no reason to stop.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }
}
