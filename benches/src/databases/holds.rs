//! Holds: over HTTP on Postgres with every rule on, as the transactions that people write, run by pgbench (the row-lock
//! one, and its form in one statement), and as a script in Redis. All wait for their commit.

use super::lag::{Series, Watch};
use super::{DatabasesError, Settings, lua};
use crate::compare::CompareError;
use crate::compare::wrk::{self, Tokens};
use crate::process::Launch;
use crate::scene::{SEATS_PER_BUYER, SEATS_PER_HOLD, Scene, buyer};
use onsale_adapters::private_postgres::PrivatePostgres;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the projection's last batch may take.
const LAST_BATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A hall of a million seats: so many that two clients rarely choose the same one.
const TABLES: &str = "CREATE TABLE seats (id bigint PRIMARY KEY, status text NOT NULL, reservation uuid);
    CREATE TABLE reservations (id uuid PRIMARY KEY, buyer uuid NOT NULL, status text NOT NULL, at timestamptz NOT NULL);
    CREATE INDEX ON reservations (buyer, status);
    CREATE TABLE reservation_seats (reservation uuid, seat bigint, PRIMARY KEY (reservation, seat));
    INSERT INTO seats SELECT n, 'AVAILABLE', NULL FROM generate_series(1, 1000000) AS n;
    VACUUM ANALYZE seats";
const ROW_LOCK: &str = "\\set seat random(1, 1000000)
\\set a random(1, 1000000000)
BEGIN;
SELECT status FROM seats WHERE id = :seat FOR UPDATE;
UPDATE seats SET status = 'HELD', reservation = md5(:a::text)::uuid WHERE id = :seat;
INSERT INTO reservations VALUES (md5(:a::text)::uuid, md5((:a + 1)::text)::uuid, 'PENDING', now()) ON CONFLICT DO NOTHING;
INSERT INTO reservation_seats VALUES (md5(:a::text)::uuid, :seat) ON CONFLICT DO NOTHING;
COMMIT;
";
const ONE_STATEMENT: &str = "\\set seat random(1, 1000000)
\\set a random(1, 1000000000)
WITH held AS (UPDATE seats SET status = 'HELD', reservation = md5(:a::text)::uuid WHERE id = :seat RETURNING id),
made AS (INSERT INTO reservations SELECT md5(:a::text)::uuid, md5((:a + 1)::text)::uuid, 'PENDING', now() FROM held ON CONFLICT DO NOTHING)
INSERT INTO reservation_seats SELECT md5(:a::text)::uuid, id FROM held ON CONFLICT DO NOTHING;
";

/// Holds a second, and how far the tables were behind.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pub(super) http: f64,
    pub(super) row_lock: f64,
    pub(super) one_statement: f64,
    pub(super) redis_lua: f64,
    pub(super) lag: Series,
}

pub(super) async fn measure(
    settings: &Settings,
    cluster: &Arc<PrivatePostgres>,
    round: usize,
) -> Result<Rates, DatabasesError> {
    let (http, lag) = over_http(settings, cluster, round).await?;
    let (settings, cluster) = (settings.clone(), Arc::clone(cluster));
    let benched = tokio::task::spawn_blocking(move || -> Result<_, DatabasesError> {
        let bench = Bench::make(&settings, &cluster, round);
        let (row_lock, one_statement) = (bench.run(ROW_LOCK)?, bench.run(ONE_STATEMENT)?);
        bench.clear();
        Ok((row_lock, one_statement, lua::measure(&settings)?))
    });
    let (row_lock, one_statement, redis_lua) = benched.await??;
    Ok(Rates { http, row_lock, one_statement, redis_lua, lag })
}

async fn over_http(
    settings: &Settings,
    cluster: &Arc<PrivatePostgres>,
    round: usize,
) -> Result<(f64, Series), DatabasesError> {
    let database = format!("onsale_{round}");
    let url = cluster.database(&database);
    let dir = settings.dir.join(format!("round-{round}"));
    std::fs::create_dir_all(&dir)?;
    let launch = Launch::new(&settings.onsale, &dir)?.with("ONSALE__LOG__LEVEL", "warn");
    let launch = launch.with("ONSALE__STORAGE__KIND", "postgres").with("ONSALE__POSTGRES__URL", url);
    let launch = launch.with("ONSALE__ENGINE__PROJECTION_LAG_MAX", settings.lag_max.to_string());
    let server = launch.start().await?;
    let scene = Arc::new(Scene::new(server.client.clone()));
    let holds = settings.most_per_second * settings.seconds;
    let hall = scene.hall(holds * SEATS_PER_HOLD).await?;
    let event = scene.open_event(&hall).await?;
    let buyers = (hall.pairs() * SEATS_PER_HOLD).div_ceil(SEATS_PER_BUYER);
    let tokens = (0..buyers).map(|n| scene.token(buyer(n)));
    let tokens = Tokens::write(dir.join("tokens"), tokens)?;
    let script = dir.join("hold.lua");
    std::fs::write(&script, wrk::hold_script(&tokens, 2, &hall, std::slice::from_ref(&event)))?;
    let (port, connections, seconds) = (launch.port, settings.connections, settings.seconds);
    let watch = Watch::begin(Arc::clone(&scene));
    let seen = tokio::task::spawn_blocking(move || wrk::run(&script, port, 2, connections, seconds)).await??;
    let lag = watch.end().await?;
    let held = scene.held(&event).await? / SEATS_PER_HOLD;
    let most = seen.requests + settings.connections as u64;
    if seen.broken > 0 || seen.refused > 0 || held < seen.requests || held > most {
        return Err(CompareError::Wrong(format!("{seen:?}, but {held} holds stand")).into());
    }
    // Not only the number says so: the rows are there. What is being written counts as written, and may take a moment.
    let (since, count) = (Instant::now(), "SELECT count(*) FROM reservations WHERE status = 'PENDING'");
    loop {
        let rows = cluster.sql(&database, count);
        if rows == held.to_string() {
            break;
        }
        if since.elapsed() > LAST_BATCH_TIMEOUT {
            return Err(CompareError::Wrong(format!("{held} holds stand, but the tables have {rows}")).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.kill()?;
    clear(cluster, &database);
    Ok((seen.per_second(), lag))
}

/// Removes a database, and syncs what it left in memory: so the next one to be measured starts alike.
fn clear(cluster: &PrivatePostgres, database: &str) {
    cluster.sql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
    cluster.sql("postgres", "CHECKPOINT");
}

/// A hall of seats in tables, as people make them, and pgbench that holds in it.
struct Bench<'a> {
    settings: &'a Settings,
    cluster: &'a PrivatePostgres,
    database: String,
    url: String,
}

impl<'a> Bench<'a> {
    fn make(settings: &'a Settings, cluster: &'a PrivatePostgres, round: usize) -> Self {
        let database = format!("bench_{round}");
        let url = cluster.database(&database);
        for statement in TABLES.split(';') {
            cluster.sql(&database, statement);
        }
        cluster.sql("postgres", "CHECKPOINT");
        Self { settings, cluster, database, url }
    }

    fn clear(&self) {
        clear(self.cluster, &self.database);
    }

    fn reservations(&self) -> f64 {
        self.cluster.sql(&self.database, "SELECT count(*) FROM reservations").parse().unwrap_or_default()
    }

    /// Transactions a second; each but for a few by chance alike has left a reservation.
    fn run(&self, script: &str) -> Result<f64, DatabasesError> {
        let before = self.reservations();
        let file = self.settings.dir.join("pgbench.sql");
        std::fs::write(&file, script)?;
        let mut command = Command::new("pgbench");
        command.args(["-n", "-M", "prepared", "-j", "2", "-c", &self.settings.clients.to_string()]);
        command.args(["-T", &self.settings.seconds.to_string(), "-f"]).arg(&file).arg(&self.url);
        let output = command.output()?;
        let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = |after: &str| -> Option<f64> {
            output_text.lines().find_map(|line| line.strip_prefix(after)?.split_whitespace().next()?.parse().ok())
        };
        let rate = number("tps = ").filter(|_| output.status.success());
        let (Some(rate), Some(done)) = (rate, number("number of transactions actually processed: ")) else {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(DatabasesError::Database(format!("pgbench: {output_text}{errors}")));
        };
        let made = self.reservations() - before;
        if !(done * 0.99..=done).contains(&made) {
            return Err(DatabasesError::Database(format!("{done} transactions have made {made} reservations")));
        }
        Ok(rate)
    }
}
