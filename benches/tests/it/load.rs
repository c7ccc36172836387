//! The load generator in short: every scenario on a real server, missed levels by their exit code, and servers that lie.

use crate::load_fake::{Fake, Lie};
use crate::onsale::binary;
use clap::Parser;
use onsale_benches::load::{Flags, Level, Progress, Report, run};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const SECRET: &str = "--secret=a secret of the load tests, of nobody else";

fn load(flags: &[&str]) -> Report {
    let settings = Flags::try_parse_from(["onsale-load"].iter().chain(flags)).unwrap().check().unwrap();
    run(settings, &Progress::Silent, std::future::pending()).unwrap()
}

/// The same on a server of its own.
fn serve(scenario: &str, flags: &[&str]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let (binary, data) = (binary(), dir.path().join("run"));
    let own = [scenario, "--serve", "--onsale", binary.to_str().unwrap(), "--dir", data.to_str().unwrap()];
    // A debug build on a busy machine meets no latency; those levels have a test of their own.
    let generous = ["--entry-p95=60000", "--read-p95=60000"];
    let report = load(&own.into_iter().chain(generous).chain(flags.iter().copied()).collect::<Vec<_>>());
    assert!(report.met, "{}", text_of(&report));
    report
}

fn text_of(report: &Report) -> String {
    let mut text = Vec::new();
    report.print(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn level<'a>(report: &'a Report, name: &str) -> &'a Level {
    report.levels.iter().find(|level| level.name == name).unwrap_or_else(|| panic!("{name}: {}", text_of(report)))
}

fn story(report: &Report, name: &str) -> u64 {
    let found = report.story.iter().find(|(other, _)| other == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {}", text_of(report)))
}

fn done(report: &Report, call: &str) -> u64 {
    report.calls.iter().find(|row| row.name == call).map_or(0, |row| row.done)
}

#[test]
fn a_crowd_polls_and_is_let_in_in_order() {
    let flags =
        ["--buyers=200", "--arrive=1", "--opens-after=2", "--rate=60", "--leave=10", "--silent=0", "--idle-sockets=20"];
    let report = serve("queue", &flags);
    assert!(done(&report, "enter") >= 200 && done(&report, "status") > 200, "{}", text_of(&report));
    let (left, let_in) = (story(&report, "left"), story(&report, "let in, as told"));
    assert!(left > 0 && let_in + left >= 200 && story(&report, "still waiting") == 0, "{}", text_of(&report));
    assert!(level(&report, "journal verified").met && level(&report, "idle sockets stay open").met);
    assert!(level(&report, "admission rate by the journal").measured.contains("/s over"));
}

#[test]
fn a_crowd_listens_and_is_let_in_while_others_arrive() {
    let flags =
        ["--buyers=150", "--arrive=1", "--opens-after=0", "--rate=50", "--streams", "--connections=3", "--silent=0"];
    let report = serve("queue", &flags);
    assert!(done(&report, "stream") > 100 && done(&report, "status") == 0, "{}", text_of(&report));
    assert!(report.seconds.iter().map(|second| second.events).sum::<u64>() >= 150, "{}", text_of(&report));
}

#[test]
fn a_buyer_who_is_silent_for_too_long_loses_the_place() {
    let flags = [
        "--buyers=40",
        "--arrive=0.5",
        "--opens-after=0",
        "--rate=2",
        "--silent=30",
        "--leave=0",
        "--absent-after=3",
        "--seconds=7",
        "--transport=http1",
        "--connections=10",
        "--held-rate=50",
    ];
    let report = serve("queue", &flags);
    assert!(story(&report, "silent and expired") > 0, "{}", text_of(&report));
}

#[test]
fn a_crowd_buys_the_whole_way() {
    let report = serve("purchase", &["--buyers=120", "--arrive=1", "--rate=100", "--transport=http1-each"]);
    assert!(story(&report, "tickets") > 90, "{}", text_of(&report));
    assert!(report.refusals.iter().any(|refusal| refusal.code == "PAYMENT_DECLINED"), "{}", text_of(&report));
}

#[test]
fn a_crowd_pays() {
    let report = serve("payments", &["--buyers=120", "--arrive=1"]);
    assert_eq!(story(&report, "tickets"), 120, "{}", text_of(&report));
}

#[test]
fn a_crowd_fights_for_few_seats() {
    let report = serve("seats", &["--buyers=300", "--arrive=1", "--seats=60"]);
    let refused: u64 = report.refusals.iter().map(|refusal| refusal.times).sum();
    assert!(refused > 100 && story(&report, "seats") > 50, "{}", text_of(&report));
}

#[test]
fn a_missed_level_is_the_exit_code_and_in_both_reports() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (html, json, data) = (path("report.html"), path("report.json"), path("run"));
    let onsale = binary();
    let ended = Command::new(env!("CARGO_BIN_EXE_onsale-load"))
        .args(["catalogue", "--serve", "--onsale", onsale.to_str().unwrap(), "--dir", &data])
        .args(["--phases=100x1,200x1", "--read-p95=0.001", "--html", &html, "--json", &json])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(text.contains("MISSED reads at 200/s p95") && text.contains("A LEVEL WAS MISSED"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((&json["met"], json["calls"][0]["failed"].as_u64()), (&false.into(), Some(0)));
    let events = json["calls"].as_array().unwrap().iter().map(|row| row["done"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(events, 300);
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && page.contains("class=\"missed\"") && !page.contains("http://"), "{page}");
}

#[test]
fn an_interrupted_run_still_reports() {
    let dir = tempfile::tempdir().unwrap();
    let (onsale, data) = (binary(), dir.path().join("run"));
    let mut running = Command::new(env!("CARGO_BIN_EXE_onsale-load"))
        .args(["queue", "--serve", "--onsale", onsale.to_str().unwrap(), "--dir", data.to_str().unwrap()])
        .args(["--buyers=100", "--arrive=1", "--rate=1", "--seconds=600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(progress.any(|line| line.unwrap().contains(" 100 waiting")), "the crowd never stood in line");
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    drop(progress);
    let ended = running.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(130), "{text}");
    assert!(text.contains(", interrupted") && text.contains("met    journal verified"), "{text}");
}

#[test]
fn bad_flags_are_reported_together_and_nothing_is_started() {
    let ended = Command::new(env!("CARGO_BIN_EXE_onsale-load"))
        .args(["queue", "--rate=0", "--secret=short", "--seconds=0"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{errors}");
    assert!(["--rate", "--secret", "--seconds"].iter().all(|flag| errors.contains(flag)), "{errors}");
}

/// A crowd of sixty at a server that lies; what the load generator finds.
fn lied_to(lie: Lie) -> Report {
    let fake = Fake::start(lie);
    let url = format!("--url={}", fake.base());
    let event = format!("--event={}", fake.event());
    load(&[
        "queue",
        SECRET,
        &url,
        &event,
        "--transport=http1",
        "--connections=8",
        "--buyers=60",
        "--arrive=0.5",
        "--leave=0",
        "--silent=0",
        "--seconds=4",
        "--entry-p95=60000",
        "--read-p95=60000",
        "--held-rate=50",
    ])
}

#[test]
fn a_server_that_keeps_its_word_passes() {
    let report = lied_to(Lie::None);
    assert!(report.met, "{}", text_of(&report));
    assert_eq!(story(&report, "let in, as told"), 60, "{}", text_of(&report));
}

#[test]
fn a_server_that_lies_is_noticed() {
    let check = |lie: Lie, name: &str, fault: &str| {
        let report = lied_to(lie);
        let missed: Vec<&str> = report.levels.iter().filter(|level| !level.met).map(|level| &*level.name).collect();
        assert!(missed.contains(&name), "{lie:?} is not noticed: {}", text_of(&report));
        assert!(level(&report, name).faults.iter().any(|found| found.contains(fault)), "{lie:?}: {}", text_of(&report));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check(Lie::OutOfOrder, "the line is kept", "was let in before"));
        scope.spawn(|| check(Lie::SameRank, "every rank unique", "was given twice"));
        scope.spawn(|| check(Lie::TooFast, "the rate is never exceeded", "admissions within"));
    });
}
