//! The faults of a crash test: what happens to Postgres or Redis under load, beside the server's being killed, in what
//! order, and when. Every die is thrown from the seed. Must never touch a server.

use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;

/// The shortest and the longest time that somebody is away, in milliseconds.
const AWAY_MILLIS: (u64, u64) = (100, 1500);

/// What happens in a trial, beside the server's being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing.
    None,
    /// Postgres is stopped and started again.
    PostgresRestarted,
    /// Postgres crashes and is started again.
    PostgresCrashed,
    /// Postgres is paused (SIGSTOP) and goes on.
    PostgresPaused,
    /// Postgres crashes, and the server is killed before it is back.
    PostgresAwayAtTheKill,
    /// Redis is stopped, and the server is killed and starts again without it.
    RedisStopped,
    /// Redis is killed and started again, empty.
    RedisRestarted,
    /// Redis loses everything that it has (FLUSHALL).
    RedisWiped,
    /// Redis is paused (SIGSTOP) and goes on.
    RedisPaused,
    /// Postgres crashes and Redis is killed; both are started again.
    BothCrashed,
}

impl Fault {
    /// In this order, so that a short run has faults of both servers.
    const TURNS: [Self; 10] = [
        Self::PostgresRestarted,
        Self::RedisWiped,
        Self::PostgresCrashed,
        Self::RedisPaused,
        Self::PostgresAwayAtTheKill,
        Self::RedisStopped,
        Self::PostgresPaused,
        Self::RedisRestarted,
        Self::BothCrashed,
        Self::None,
    ];

    /// In the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PostgresRestarted => "postgres restart",
            Self::PostgresCrashed => "postgres crash",
            Self::PostgresPaused => "postgres pause",
            Self::PostgresAwayAtTheKill => "postgres gone",
            Self::RedisStopped => "redis gone",
            Self::RedisRestarted => "redis restart",
            Self::RedisWiped => "redis wipe",
            Self::RedisPaused => "redis pause",
            Self::BothCrashed => "both crash",
        }
    }

    /// The fault of the `number`-th trial, from 1.
    fn of(number: u32) -> Self {
        Self::TURNS[(number as usize + Self::TURNS.len() - 1) % Self::TURNS.len()]
    }
}

/// A fault, when it happens, and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) fault: Fault,
    /// The share of the time under load that is over by then.
    pub(super) after: f64,
    pub(super) away: Duration,
}

impl Outage {
    /// The outage of a trial: each kind in order, at a random time and for a random while.
    pub(super) fn of(number: u32, rng: &mut StdRng) -> Self {
        let away = Duration::from_millis(rng.random_range(AWAY_MILLIS.0..=AWAY_MILLIS.1));
        Self { fault: Fault::of(number), after: rng.random_range(0.1..0.9), away }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_its_turn_and_a_short_run_sees_both_servers_fail() {
        let of = |numbers: std::ops::RangeInclusive<u32>| numbers.map(Fault::of).collect::<BTreeSet<_>>();
        assert_eq!(of(1..=10).len(), 10);
        assert_eq!((Fault::of(1), Fault::of(11), Fault::of(10)), (Fault::TURNS[0], Fault::TURNS[0], Fault::None));
        let names: BTreeSet<_> = of(1..=4).into_iter().map(|fault| fault.name().split(' ').next()).collect();
        assert_eq!(names.len(), 2);
    }
}
