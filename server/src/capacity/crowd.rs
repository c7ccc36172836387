//! The crowd of a plan: who comes when, what each wants, and how long it takes them. Drawn from a seed, so that a plan
//! is a function of its numbers.

use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

/// What is known of those who will come.
#[derive(Clone, Debug, clap::Args)]
pub struct Crowd {
    /// Number of buyers (1 to 5000000).
    #[arg(long, value_name = "BUYERS", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub buyers: u32,
    /// Time after the opening over which they arrive, in seconds (0 to 86400).
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub within: f64,
    /// Mean time that an admitted buyer takes to choose, in seconds (0 to 86400).
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = positive)]
    pub choose: f64,
    /// Mean time that a buyer with seats takes to pay, in seconds (0 to 86400).
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub pay: f64,
    /// Share of buyers with seats who never pay and whose hold expires, in percent (0 to 100).
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub abandon: u8,
    /// Share of waiting buyers who leave the line before they are admitted, in percent (0 to 100).
    #[arg(long, value_name = "PERCENT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub leave: u8,
    /// Mean number of seats that a buyer wants (1 to 4).
    #[arg(long, value_name = "SEATS", default_value_t = 2.2, value_parser = seats)]
    pub wants: f64,
    /// Seed of the random numbers, any whole number.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("must be 0 to 86400 seconds".to_owned()),
    }
}

fn seats(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seats) if (1.0..=4.0).contains(&seats) => Ok(seats),
        Ok(_) | Err(_) => Err("must be 1 to 4".to_owned()),
    }
}

/// What one of them will do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    pub comes_after: Duration,
    pub wants: u16,
    pub leaves: bool,
    pub chooses_for: Duration,
    /// None: never.
    pub pays_after: Option<Duration>,
}

impl Crowd {
    pub(super) fn throw(&self, dice: &mut StdRng) -> Ways {
        let comes_after = Duration::from_secs_f64(self.within * dice.random::<f64>());
        // 1 to 4 with the mean that was asked for: three coins.
        let heads = (self.wants - 1.0) / 3.0;
        let wants = 1 + (0..3).filter(|_| dice.random::<f64>() < heads).count() as u16;
        let leaves = dice.random_range(0..100) < self.leave;
        let chooses_for = about(self.choose, dice);
        let pays_after = (dice.random_range(0..100) >= self.abandon).then(|| about(self.pay, dice));
        Ways { comes_after, wants, leaves, chooses_for, pays_after }
    }
}

/// Some time with this mean: from half of it to one and a half.
fn about(mean: f64, dice: &mut StdRng) -> Duration {
    Duration::from_secs_f64(mean * (0.5 + dice.random::<f64>()))
}
