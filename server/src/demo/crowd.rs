//! The crowd: arrives before the opening, most of it at the last moment, and shops concurrently.

use super::DemoError;
use super::progress::Progress;
use super::shopper::{Shopper, Ways};
use super::stage::Stage;
use super::tally::Tally;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often progress is shown on the terminal.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How long after the opening the last arrive.
const LATE: Duration = Duration::from_secs(5);
/// Buyers who make an account and log in, instead of bringing a token: hashing passwords is meant to be slow.
const WITH_ACCOUNT: u32 = 6;

/// Lets everybody come, and waits until all of them are through.
pub(super) async fn run(stage: &Arc<Stage>, buyers: u32, seed: u64) -> Result<Arc<Tally>, DemoError> {
    let tally = Arc::new(Tally::new()?);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..buyers {
        let mut rng = StdRng::seed_from_u64(dice.random());
        let arrives_at = arrival(stage.opens_at, &mut rng);
        let ways = Ways::throw(&mut rng, number < WITH_ACCOUNT.min(buyers / 2));
        let (stage, tally) = (Arc::clone(stage), Arc::clone(&tally));
        crowd.spawn(async move {
            tokio::time::sleep_until(arrives_at.into()).await;
            Shopper::new(stage, Arc::clone(&tally), rng, ways).go().await;
            tally.done.fetch_add(1, Ordering::Relaxed);
        });
    }
    let mut progress = Progress::new(u64::from(buyers), stage.opens_at);
    let mut tick = tokio::time::interval(SHOW_EVERY);
    loop {
        tokio::select! {
            joined = crowd.join_next() => match joined {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(io::Error::other(error).into()),
            },
            _ = tick.tick() => progress.show(stage.look().await?, &tally)?,
        }
    }
    progress.close(stage.look().await?, &tally)?;
    Ok(tally)
}

/// Half of them come in the last seconds before the opening, some earlier, some too late.
fn arrival(opens_at: Instant, rng: &mut StdRng) -> Instant {
    let now = Instant::now();
    let until = opens_at.saturating_duration_since(now);
    let last_moment = until.min(Duration::from_secs(3));
    match rng.random_range(0..10) {
        0..4 => now + until.mul_f64(rng.random()),
        4..9 => opens_at.max(now) - last_moment.mul_f64(rng.random()),
        _ => opens_at.max(now) + LATE.mul_f64(rng.random()),
    }
}
