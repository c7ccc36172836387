//! The servers under a crash test: a private Postgres and a private Redis, what happens to them in the middle of the
//! load, and whether Redis has what the server answers. Must never touch what is in Postgres.

use super::CrashError;
use super::check::Findings;
use super::fault::{Fault, Outage};
use super::stage::Stage;
use super::whole::counts_of;
use onsale_adapters::private_postgres::{Durability, PrivatePostgres};
use onsale_adapters::private_redis::RedisServer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long copies may take to be written whole again.
const COPY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often they are compared meanwhile.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// The first key that is not ours or does not end by itself, and how many there are.
const STRAY: &str = r#"EVAL "local keys = redis.call('KEYS', '*') for _, key in ipairs(keys) do if string.sub(key, 1, 7) ~= 'onsale:' or redis.call('PTTL', key) == -1 then return key end end return #keys" 0"#;

/// Where a server under test keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// SQLite in its data directory.
    Embedded,
    /// Postgres, with a Redis beside it.
    Postgres,
}

/// Both servers.
#[derive(Clone)]
pub(super) struct Databases {
    postgres: Arc<PrivatePostgres>,
    redis: Arc<Mutex<RedisServer>>,
}

/// What Redis and the server should have alike of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) held: u64,
    pub(super) sold: u64,
    pub(super) waiting: u64,
}

impl Databases {
    pub(super) fn start() -> Self {
        let postgres = Arc::new(PrivatePostgres::start(Durability::Synced, &[]));
        Self { postgres, redis: Arc::new(Mutex::new(RedisServer::start())) }
    }

    /// Makes the server's database; answers where that and Redis are.
    pub(super) fn make(&self) -> (String, String) {
        (self.postgres.database("onsale"), self.with_redis(|redis| redis.url()))
    }

    fn with_redis<T>(&self, work: impl FnOnce(&mut RedisServer) -> T) -> T {
        work(&mut self.redis.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes away what the outage says, and gives it back unless the server is to be killed first. Blocks.
    fn suffer(&self, Outage { fault, away, .. }: Outage) {
        let wait = || std::thread::sleep(away);
        match fault {
            Fault::None => {}
            Fault::PostgresRestarted | Fault::PostgresCrashed => {
                self.postgres.stop(if fault == Fault::PostgresCrashed { "immediate" } else { "fast" });
                wait();
                self.postgres.start_again();
            }
            Fault::PostgresPaused => {
                self.postgres.pause();
                wait();
                self.postgres.resume();
            }
            Fault::PostgresAwayAtTheKill => self.postgres.stop("immediate"),
            Fault::RedisStopped => self.with_redis(RedisServer::kill),
            Fault::RedisRestarted => {
                self.with_redis(RedisServer::kill);
                wait();
                self.with_redis(RedisServer::start_again);
            }
            Fault::RedisWiped => self.with_redis(|redis| redis.wipe()),
            Fault::RedisPaused => {
                self.with_redis(RedisServer::pause);
                wait();
                self.with_redis(RedisServer::resume);
            }
            Fault::BothCrashed => {
                self.postgres.stop("immediate");
                self.with_redis(RedisServer::kill);
                wait();
                self.with_redis(RedisServer::start_again);
                self.postgres.start_again();
            }
        }
    }

    /// The outage, on a thread that may block.
    pub(super) async fn outage(&self, outage: Outage) {
        let all = self.clone();
        blocking(move || all.suffer(outage)).await;
    }

    /// Gives back what the server cannot start without.
    pub(super) async fn before_the_start(&self, fault: Fault) {
        if fault == Fault::PostgresAwayAtTheKill {
            let all = self.clone();
            blocking(move || all.postgres.start_again()).await;
        }
    }

    /// Gives back what the server has started without.
    pub(super) async fn after_the_start(&self, fault: Fault) {
        if fault == Fault::RedisStopped {
            let all = self.clone();
            blocking(move || all.with_redis(RedisServer::start_again)).await;
        }
    }

    /// Checks that Redis has of the events what the server answers, and only keys that are ours and expire.
    pub(super) async fn check_copies(&self, stage: &Stage, found: &mut Findings) -> Result<(), CrashError> {
        let since = Instant::now();
        for event in [&stage.quick, &stage.slow] {
            // Somebody may be let in between the two answers.
            while let (answered, copied) = (counts_of(stage, event).await?, self.copied(event))
                && answered != copied
            {
                if since.elapsed() > COPY_TIMEOUT {
                    found.stale.push(format!("redis has {copied:?} of {event}, the server {answered:?}"));
                    break;
                }
                tokio::time::sleep(CHECK_EVERY).await;
            }
        }
        let stray = self.with_redis(|redis| redis.command(STRAY));
        if !stray.starts_with(':') {
            found.stale.push(format!("a key in redis that is not ours, or stays for ever: {}", stray.trim()));
        }
        Ok(())
    }

    /// What Redis has of an event; those who wait and what is held are counted.
    fn copied(&self, event: &str) -> Counts {
        let number = |command: String| {
            let answer = self.with_redis(|redis| redis.bulks(&command));
            answer.iter().find_map(|text| text.trim_start_matches(':').parse().ok()).unwrap_or_default()
        };
        let count = |field: &str| number(format!("HMGET onsale:counts:{event} {field}"));
        let waiting = number(format!("ZCARD onsale:queue:{event}"));
        Counts { held: count("held"), sold: count("sold"), waiting }
    }
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        std::panic::resume_unwind(error.into_panic());
    }
}
