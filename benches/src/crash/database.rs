//! The database under a crash test: a private cluster, and what happens to it in the middle of the load. Must never touch
//! what is in it.

use onsale_adapters::private_postgres::{Durability, PrivatePostgres};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

/// The shortest and the longest time that a database is away, in milliseconds.
const AWAY_MILLIS: (u64, u64) = (100, 1500);

/// Where a server under test keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// SQLite in its data directory.
    Embedded,
    /// Postgres.
    Postgres,
}

/// What happens to the database in a trial, beside the server's being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is stopped and started again.
    Restarted,
    /// It crashes and is started again.
    Crashed,
    /// It is paused (SIGSTOP) and goes on.
    Paused,
    /// It crashes, and the server is killed before it is back.
    AwayAtTheKill,
}

impl Fault {
    /// In the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Restarted => "restart",
            Self::Crashed => "crash",
            Self::Paused => "pause",
            Self::AwayAtTheKill => "crash+kill",
        }
    }

    fn of(number: u32) -> Self {
        [Self::Restarted, Self::Crashed, Self::Paused, Self::AwayAtTheKill, Self::None][number as usize % 5]
    }
}

/// A fault and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) fault: Fault,
    away: Duration,
}

/// The cluster.
#[derive(Clone)]
pub(super) struct Database(Arc<PrivatePostgres>);

impl Database {
    pub(super) fn start() -> Self {
        Self(Arc::new(PrivatePostgres::start(Durability::Synced, &[])))
    }

    /// Makes the server's database.
    pub(super) fn make(&self) -> String {
        self.0.database("onsale")
    }

    /// The fault of a trial: each kind in turn, as long as the dice say.
    pub(super) fn outage(number: u32, rng: &mut StdRng) -> Outage {
        let away = Duration::from_millis(rng.random_range(AWAY_MILLIS.0..=AWAY_MILLIS.1));
        Outage { fault: Fault::of(number), away }
    }

    /// Takes the database away, and gives it back unless the server is to be killed first.
    pub(super) async fn suffer(&self, outage: Outage) {
        let cluster = Arc::clone(&self.0);
        let suffered = tokio::task::spawn_blocking(move || match outage.fault {
            Fault::None => {}
            Fault::Restarted => {
                cluster.stop("fast");
                std::thread::sleep(outage.away);
                cluster.start_again();
            }
            Fault::Crashed => {
                cluster.stop("immediate");
                std::thread::sleep(outage.away);
                cluster.start_again();
            }
            Fault::Paused => {
                cluster.pause();
                std::thread::sleep(outage.away);
                cluster.resume();
            }
            Fault::AwayAtTheKill => {
                cluster.stop("immediate");
                std::thread::sleep(outage.away / 4);
            }
        });
        if let Err(error) = suffered.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Gives back what the server's kill has interrupted.
    pub(super) async fn recover(&self, outage: Outage) {
        if outage.fault == Fault::AwayAtTheKill {
            let cluster = Arc::clone(&self.0);
            let _ = tokio::task::spawn_blocking(move || cluster.start_again()).await;
        }
    }
}
