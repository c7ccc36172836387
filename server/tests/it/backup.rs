//! Backups of a server that is selling, and a server on what was restored: everything that was acknowledged before a
//! backup was begun is in it, and it verifies.

use crate::harness::{SECRET, Server, run};
use crate::shop::{Person, Shop};
use onsale_server::config::Config;
use onsale_server::server::{Server as InProcess, bind};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn onsale(args: &[&str], paths: &[&Path]) -> Output {
    run(|command| {
        command.args(args).args(paths);
    })
}

#[track_caller]
fn done(output: &Output) -> String {
    let actual = [output.stdout.clone(), output.stderr.clone()].concat();
    let actual = String::from_utf8_lossy(&actual).into_owned();
    assert_eq!(output.status.code(), Some(0), "{actual}");
    actual
}

/// Buys seat after seat until it is stopped; returns what was acknowledged.
async fn buy_on(shop: Shop, event: String, row: char, stop: Arc<AtomicBool>) -> Vec<(Person, Value)> {
    let mut bought = Vec::new();
    for seat in 1..=400 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let buyer = shop.buyer();
        bought.push((buyer.clone(), shop.buy(&event, &buyer, &[&format!("{row}-{seat}")]).await));
    }
    bought
}

/// Makes events until it is stopped: a backup must not fall between their facts and their rows.
async fn make_events(shop: Shop, hall: String, stop: Arc<AtomicBool>) -> usize {
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        shop.event(&hall, &json!({})).await;
        made += 1;
    }
    made
}

/// Starts a server on a directory and hands a shop on it to `look`.
async fn on_restored(data: &Path, look: impl AsyncFnOnce(Shop)) {
    let key = |name: &str, value: &str| (format!("ONSALE__{name}").into(), value.into());
    let env = [key("STORAGE__PATH", data.to_str().unwrap()), key("AUTH__JWT_SECRET", SECRET)];
    let config = Config::load(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml"))), env).unwrap();
    let mut running = InProcess::start(config, bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    running.ready().await.unwrap();
    look(Shop::new(&format!("http://{}", running.address()), SECRET)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_selling_server_has_everything_acknowledged_before_it() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 400).await;
    let event = shop.event(&hall, &json!({})).await;
    let first = shop.buy(&event, &shop.buyer(), &["B-400"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = ['A', 'B']
        .map(|row| tokio::spawn(buy_on(shop.clone(), event.clone(), row, Arc::clone(&stop))))
        .into_iter()
        .collect();
    let maker = tokio::spawn(make_events(shop.clone(), hall, Arc::clone(&stop)));
    let backups = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for number in 0..4 {
        // Somebody's purchase right before each backup.
        let buyer = shop.buyer();
        known.push((buyer.clone(), shop.buy(&event, &buyer, &[&format!("B-{}", 390 + number)]).await));
        let to = backups.path().join(number.to_string());
        let (data, backup) = (server.data_path(), to.clone());
        let output = tokio::task::spawn_blocking(move || {
            run(|command| {
                command.args(["backup", "--from"]).arg(data).arg("--to").arg(backup);
            })
        });
        done(&output.await.unwrap());
        let data = backups.path().join(format!("data-{number}"));
        done(&onsale(&["restore"], &[&to, Path::new("--to"), &data]));
        done(&onsale(&["verify"], &[&data]));
        on_restored(&data, async |restored| {
            for (buyer, bought) in &known {
                assert_eq!(restored.reservation(buyer, bought).await, *bought, "backup {number}");
                let list = restored.get("/reservations").by(buyer).send().await.expect(200);
                assert_eq!(list["totalElements"], 1);
            }
            // It sells on, and never what is sold.
            let taken = restored.hold(&event, &restored.buyer(), &["B-400"]).await;
            taken.refused(409, "SEAT_UNAVAILABLE");
            let free = restored.seats(&event).await;
            assert_eq!(free["seats"]["total"], 800);
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let made = maker.await.unwrap();
    let mut bought = 0;
    for buyers in crowd {
        bought += buyers.await.unwrap().len();
    }
    assert!(made > 0 && bought > 0, "there was no load: {made} events, {bought} purchases");
    assert_eq!(first["status"], "CONFIRMED");
    server.stop().await;
}

#[tokio::test]
async fn a_changed_or_half_backup_is_refused_and_nothing_is_overwritten() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    shop.buy(&event, &shop.buyer(), &["A-1"]).await;
    server.kill();
    let backups = tempfile::tempdir().unwrap();
    let into = backups.path().join("all");
    let made =
        onsale(&["backup", "--label", "deployment", "--from"], &[&server.data_path(), Path::new("--into"), &into]);
    let actual = done(&made);
    assert!(actual.contains("1 events"), "{actual}");
    let backup = std::fs::read_dir(&into).unwrap().next().unwrap().unwrap().path();
    assert!(backup.file_name().unwrap().to_string_lossy().starts_with("deployment-"));

    let refused = |backup: &Path, to: &Path, reason: &str| {
        let output = onsale(&["restore"], &[backup, Path::new("--to"), to]);
        let actual = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{actual}");
        assert!(actual.contains(reason), "{actual}");
    };
    refused(&backup, &server.data_path(), "is not empty");
    refused(backups.path(), &backups.path().join("x"), "is no whole backup");
    let again = onsale(&["backup", "--from"], &[&server.data_path(), Path::new("--to"), &backup]);
    assert_eq!(again.status.code(), Some(1), "a backup is not written over");
    let nothing = onsale(&["backup", "--from"], &[backups.path(), Path::new("--to"), &backups.path().join("y")]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("is no data directory"));

    let journal = backup.join("journal.db");
    let mut bytes = std::fs::read(&journal).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    refused(&backup, &backups.path().join("data"), "journal.db is not as it was");
    assert!(!backups.path().join("data").exists());
}
