//! How far the tables are behind the journal: read all the time, while a load runs and afterwards until they have
//! caught up.

use super::DatabasesError;
use crate::scene::Scene;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often it is read.
const EVERY: Duration = Duration::from_millis(500);
/// How long the tables may take to catch up.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Facts that the tables were behind, one number each half second.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// While the load ran.
    pub(super) during: Vec<u64>,
    /// From its end until none was left.
    pub(super) after: Vec<u64>,
    pub(super) caught_up_after: Duration,
}

impl Series {
    pub(super) fn peak(&self) -> u64 {
        self.during.iter().chain(&self.after).copied().max().unwrap_or_default()
    }

    /// The numbers in a line, the load's end marked.
    pub(super) fn line(&self) -> String {
        let words = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        format!("{} | {}", words(&self.during), words(&self.after))
    }
}

/// Reads until notified that the load has ended, and then until nothing is behind.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    watching: JoinHandle<Result<Series, DatabasesError>>,
}

impl Watch {
    pub(super) fn begin(scene: Arc<Scene>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let watching = tokio::spawn(watch(scene, Arc::clone(&ended)));
        Self { ended, watching }
    }

    /// The load has ended.
    pub(super) async fn end(self) -> Result<Series, DatabasesError> {
        self.ended.store(true, Ordering::Release);
        self.watching.await?
    }
}

async fn watch(scene: Arc<Scene>, ended: Arc<AtomicBool>) -> Result<Series, DatabasesError> {
    let (mut series, mut end) = (Series::default(), None);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if ended.load(Ordering::Acquire) && end.is_none() {
            end = Some(Instant::now());
        }
        let lag = scene.metric("onsale_projection_lag_facts").await? as u64;
        match end {
            None => series.during.push(lag),
            Some(end) => {
                series.after.push(lag);
                series.caught_up_after = end.elapsed();
                if lag == 0 {
                    return Ok(series);
                }
                if series.caught_up_after > TIMEOUT {
                    return Err(DatabasesError::Database(format!("the tables do not catch up: {}", series.line())));
                }
            }
        }
    }
}
