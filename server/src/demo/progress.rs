//! How far a demo is, in the terminal: a bar and lines that are written over where there is a terminal, plain lines
//! every two seconds where there is none.

use super::stage::{Seen, grouped};
use super::tally::Tally;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often plain lines are written.
const LINE_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Progress {
    buyers: u64,
    opens_at: Instant,
    began: Instant,
    shown_at: Option<Instant>,
    requests: u64,
    counted: Instant,
    bars: Option<Bars>,
}

/// The lines of a terminal.
struct Bars {
    crowd: ProgressBar,
    seats: ProgressBar,
    requests: ProgressBar,
    refused: ProgressBar,
}

impl Bars {
    fn new(buyers: u64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let line = || {
            let plain = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            all.add(ProgressBar::new_spinner().with_style(plain))
        };
        let bar = ProgressStyle::with_template("{bar:40} {pos} of {len} through, {msg}");
        let bar = bar.unwrap_or_else(|_| ProgressStyle::default_bar());
        let crowd = all.add(ProgressBar::new(buyers).with_style(bar));
        Self { crowd, seats: line(), requests: line(), refused: line() }
    }
}

impl Progress {
    pub(super) fn new(buyers: u64, opens_at: Instant) -> Self {
        let began = Instant::now();
        let bars = io::stdout().is_terminal().then(|| Bars::new(buyers));
        Self { buyers, opens_at, began, shown_at: None, requests: 0, counted: began, bars }
    }

    /// Shows how it is now.
    pub(super) fn show(&mut self, seen: Seen, tally: &Tally) -> io::Result<()> {
        let due = self.bars.is_some() || self.shown_at.is_none_or(|shown_at| shown_at.elapsed() >= LINE_EVERY);
        if due { self.write(seen, tally) } else { Ok(()) }
    }

    /// Shows how it ended.
    pub(super) fn close(&mut self, seen: Seen, tally: &Tally) -> io::Result<()> {
        self.write(seen, tally)?;
        if let Some(bars) = &self.bars {
            [&bars.crowd, &bars.seats, &bars.requests, &bars.refused].into_iter().for_each(ProgressBar::abandon);
        }
        Ok(())
    }

    fn write(&mut self, seen: Seen, tally: &Tally) -> io::Result<()> {
        let requests = tally.requests();
        let elapsed = self.counted.elapsed().as_secs_f64().max(0.001);
        let rate = (requests - self.requests) as f64 / elapsed;
        (self.requests, self.counted, self.shown_at) = (requests, Instant::now(), Some(Instant::now()));
        let opens_in = self.opens_at.saturating_duration_since(Instant::now());
        let sale =
            if opens_in.is_zero() { "open".to_owned() } else { format!("opens in {} s", opens_in.as_secs() + 1) };
        let (done, times) = (tally.done.load(Ordering::Relaxed), tally.times());
        let room = format!("{} waiting, {} active, the sale {sale}", seen.waiting, seen.active);
        let revenue = grouped(tally.revenue.load(Ordering::Relaxed));
        let seats = format!("{} held, {} sold, {} available, ₩{revenue}", seen.held, seen.sold, seen.available);
        let requests = format!("{rate:.0} requests/s, p50 {:.1} ms, p95 {:.1} ms", times.p50, times.p95);
        let refused = format!("refused: {}", tally.refused_in_words());
        if let Some(bars) = &self.bars {
            bars.crowd.set_position(done);
            bars.crowd.set_message(room);
            bars.seats.set_message(seats);
            bars.requests.set_message(requests);
            bars.refused.set_message(refused);
            return Ok(());
        }
        let at = self.began.elapsed().as_secs();
        let mut out = io::stdout();
        writeln!(out, "{at:>4} s  {done} of {} through | {room} | {seats} | {requests} | {refused}", self.buyers)?;
        out.flush()
    }
}
