//! Publishes the `cloudwatch` profile once an interval: as an embedded-metric line of the log, or to a StatsD listener. What
//! it reads is committed state and counters; must never hold a sale or a request up.

use crate::app::App;
use crate::config::{CloudWatchForm, MetricsConfig};
use crate::logging;
use crate::metrics::profile::{Profile, Reading};
use crate::metrics::{emf, statsd};
use crate::sales;
use onsale_engine::sale::SalePhase;
use serde_json::{Map, json};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Open connections to the embedded databases of a data directory: SQLite has one file open for each.
#[must_use]
pub fn open_databases(directory: &Path) -> u64 {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let files = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let databases = files.filter(|file| file.extension().is_some_and(|kind| kind == "db"));
    databases.filter(|file| file.starts_with(directory)).count() as u64
}

/// Reads everything that the profile is made of.
#[must_use]
pub fn read(app: &App) -> Reading {
    let (mut waiting, mut admitted) = (0, 0);
    for sale in sales::all(app) {
        let view = sale.view();
        let stands = match view.phase() {
            SalePhase::Scheduled | SalePhase::Cancelled => true,
            SalePhase::Unconfigured | SalePhase::Retired => false,
        };
        if let Some(room) = view.steering().filter(|_| stands) {
            waiting += room.waiting;
            admitted += room.admitted_total;
        }
    }
    for (_, summary) in sales::all_unloaded(app) {
        if matches!(summary.phase, SalePhase::Scheduled | SalePhase::Cancelled) {
            admitted += summary.admitted_total;
        }
    }
    let (cache_hits, cache_misses) = app.readers.cache.reads();
    Reading {
        http: app.http.totals(),
        waiting,
        admitted,
        database_connections: (app.database_connections)(),
        cache_hits,
        cache_misses,
        outbox_lag: app.engine.health().projection_lag,
    }
}

/// Publishes a profile every interval, and what is left when the last request has been answered.
pub async fn run(app: Arc<App>, config: MetricsConfig, answered: CancellationToken) {
    if config.cloudwatch == CloudWatchForm::None {
        return;
    }
    let any: IpAddr = if config.statsd_address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = match UdpSocket::bind((any, 0)).await {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "no metrics are sent: there is no socket"),
    };
    let (mut before, mut since) = (read(&app), Instant::now());
    loop {
        let ends = tokio::select! {
            () = answered.cancelled() => true,
            () = tokio::time::sleep(config.interval) => false,
        };
        let (now, elapsed) = (read(&app), since.elapsed());
        since = Instant::now();
        publish(&Profile::between(&before, &now, elapsed), &app, &config, &socket).await;
        before = now;
        if ends {
            return;
        }
    }
}

async fn publish(profile: &Profile, app: &App, config: &MetricsConfig, socket: &UdpSocket) {
    match config.cloudwatch {
        CloudWatchForm::None => {}
        CloudWatchForm::Emf => {
            let health = app.engine.health();
            let properties = Map::from_iter([
                ("journal".to_owned(), json!(format!("{:?}", health.journal))),
                ("facts".to_owned(), json!(health.facts)),
                ("eventsUnserved".to_owned(), json!(health.damaged.len() + health.quarantined.len())),
                ("logLinesDropped".to_owned(), json!(logging::dropped_lines())),
            ]);
            let at_millis = app.clock.now().0.div_euclid(1000);
            logging::write_raw(&emf::line(profile, &config.service, at_millis, properties));
        }
        CloudWatchForm::Statsd => {
            for datagram in statsd::datagrams(profile, &config.service) {
                if let Err(error) = socket.send_to(datagram.as_bytes(), config.statsd_address).await {
                    tracing::debug!(%error, "a datagram with metrics was not sent");
                }
            }
        }
    }
}
