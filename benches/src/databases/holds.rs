//! Holds on Postgres: over HTTP with every rule on, and as the transactions that people write, run by pgbench: the
//! row-lock one, and its form in one statement. All wait for their commit.

use super::{DatabasesError, Settings};
use crate::compare::CompareError;
use crate::compare::wrk::{self, Tokens};
use crate::process::Launch;
use crate::scene::{SEATS_PER_BUYER, SEATS_PER_HOLD, Scene, buyer};
use onsale_adapters::private_postgres::PrivatePostgres;
use std::process::Command;
use std::sync::Arc;

/// Seats of the hall that pgbench holds in: as many that clients seldom meet.
const SEATS: u64 = 1_000_000;
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

/// Holds a second, and how far the tables were behind when the load ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) http: f64,
    pub(super) row_lock: f64,
    pub(super) one_statement: f64,
    pub(super) lag_facts: f64,
}

pub(super) async fn measure(
    settings: &Settings,
    cluster: &Arc<PrivatePostgres>,
    round: usize,
) -> Result<Rates, DatabasesError> {
    let (http, lag_facts) = over_http(settings, &cluster.database(&format!("onsale_{round}")), round).await?;
    let bench = format!("bench_{round}");
    let url = cluster.database(&bench);
    let (settings, cluster) = (settings.clone(), Arc::clone(cluster));
    let benched = tokio::task::spawn_blocking(move || -> Result<(f64, f64), DatabasesError> {
        for statement in TABLES.split(';') {
            cluster.sql(&bench, statement);
        }
        debug_assert_eq!(cluster.sql(&bench, "SELECT count(*) FROM seats"), SEATS.to_string());
        Ok((pgbench(&settings, &url, ROW_LOCK)?, pgbench(&settings, &url, ONE_STATEMENT)?))
    });
    let (row_lock, one_statement) = benched.await??;
    Ok(Rates { http, row_lock, one_statement, lag_facts })
}

async fn over_http(settings: &Settings, url: &str, round: usize) -> Result<(f64, f64), DatabasesError> {
    let dir = settings.dir.join(format!("round-{round}"));
    std::fs::create_dir_all(&dir)?;
    let launch = Launch::new(&settings.onsale, &dir)?.with("ONSALE__LOG__LEVEL", "warn");
    let launch = launch.with("ONSALE__STORAGE__KIND", "postgres").with("ONSALE__POSTGRES__URL", url);
    let server = launch.start().await?;
    let scene = Scene::new(server.client.clone());
    let holds = settings.most_per_second * settings.seconds;
    let hall = scene.hall(holds * SEATS_PER_HOLD).await?;
    let event = scene.open_event(&hall).await?;
    let buyers = (hall.pairs() * SEATS_PER_HOLD).div_ceil(SEATS_PER_BUYER);
    let tokens = (0..buyers).map(|n| scene.token(buyer(n)));
    let tokens = Tokens::write(dir.join("tokens"), tokens)?;
    let script = dir.join("hold.lua");
    std::fs::write(&script, wrk::hold_script(&tokens, 2, &hall, std::slice::from_ref(&event)))?;
    let (port, connections, seconds) = (launch.port, settings.connections, settings.seconds);
    let seen = tokio::task::spawn_blocking(move || wrk::run(&script, port, 2, connections, seconds)).await??;
    let lag = scene.metric("onsale_projection_lag_facts").await?;
    let held = scene.held(&event).await? / SEATS_PER_HOLD;
    let most = seen.requests + settings.connections as u64;
    if seen.broken > 0 || seen.refused > 0 || held < seen.requests || held > most {
        return Err(CompareError::Wrong(format!("{seen:?}, but {held} holds stand")).into());
    }
    server.kill()?;
    Ok((seen.per_second(), lag))
}

/// Transactions a second.
fn pgbench(settings: &Settings, url: &str, script: &str) -> Result<f64, DatabasesError> {
    let file = settings.dir.join("pgbench.sql");
    std::fs::write(&file, script)?;
    let mut command = Command::new("pgbench");
    command.args(["-n", "-M", "prepared", "-j", "2", "-c", &settings.clients.to_string()]);
    command.args(["-T", &settings.seconds.to_string(), "-f"]).arg(&file).arg(url);
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    rate.filter(|_| output.status.success())
        .ok_or_else(|| DatabasesError::Database(format!("pgbench: {told}{}", String::from_utf8_lossy(&output.stderr))))
}
