//! What operators do to a running server, and before they start one: leaving a load balancer, a changed configuration,
//! the check of everything that it names.

use crate::harness::{SECRET, Server, run, write};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn readiness_goes_first_while_everything_is_still_answered() {
    let mut server = Server::with().key("SERVER__LEAVE_MS", "60000").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    server.terminate();
    server.log_when(|log| log.contains("the readiness check fails now")).await;
    assert_eq!(server.status("/health/ready"), Some(503));
    assert_eq!(server.status("/health/live"), Some(200));
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.expect(201);
    // A second signal ends the wait.
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_configuration_that_is_read_again_says_what_is_in_force_and_what_waits() {
    let before = "[log]\nlevel = \"error\"\naccess_one_in = 1\n[engine]\narbiters = 1\n";
    let server = Server::with().without("LOG__LEVEL").file(before).start().await;
    let shop = server.shop();
    shop.get("/events").header("x-request-id", "too-early").send().await.expect(200);
    let after = "[log]\nlevel = \"info\"\naccess_one_in = 1\n[server]\nrequest_timeout_ms = 4000\n[engine]\narbiters = 2\n\
        [postgres]\nurl = \"postgres://user:hidden@localhost/onsale\"\n";
    write(server.directory(), "config.toml", after);
    server.signal("HUP");
    let changes = |log: &str| {
        let lines = lines(log).into_iter().filter(|line| line["key"].is_string());
        lines.map(|line| (line["key"].clone(), line["restart_needed"].clone())).collect::<Vec<_>>()
    };
    let log = server.log_when(|log| changes(log).len() == 4).await;
    let expected = [
        (json!("engine.arbiters"), json!(true)),
        (json!("log.level"), json!(false)),
        (json!("postgres.url"), json!(true)),
        (json!("server.request_timeout_ms"), json!(false)),
    ];
    assert_eq!(changes(&log), expected);
    assert!(!log.contains("hidden"), "no secret is logged");
    shop.get("/events").header("x-request-id", "now-logged").send().await.expect(200);
    let log = server.log_when(|log| log.contains("now-logged")).await;
    assert!(!log.contains("too-early"));

    // A mistake changes nothing, and is reported whole.
    write(server.directory(), "config.toml", "[log]\nlevel = \"error\"\nlevels = 1\n[engine]\narbiters = 0\n");
    server.signal("HUP");
    let log = server.log_when(|log| log.contains("arbiters: must be") && log.contains("log.levels")).await;
    assert_eq!(changes(&log).len(), 4, "{log}");
    shop.get("/events").header("x-request-id", "still-logged").send().await.expect(200);
    server.log_when(|log| log.contains("still-logged")).await;

    // What waits for a restart is reported again, what is in force is not.
    write(server.directory(), "config.toml", after);
    server.signal("HUP");
    let log = server.log_when(|log| changes(log).len() >= 6).await;
    assert_eq!(changes(&log)[4..], [expected[0].clone(), expected[2].clone()]);
    server.stop().await;
}

#[tokio::test]
async fn a_request_timeout_that_is_read_again_is_in_force() {
    let server = Server::with().file("[server]\nrequest_timeout_ms = 60000\n").start().await;
    let shop = server.shop();
    let event = shop.event(&shop.small_hall(&["A", "B"], 400).await, &json!({})).await;
    write(server.directory(), "config.toml", "[server]\nrequest_timeout_ms = 200\n");
    server.signal("HUP");
    server.log_when(|log| log.contains("request_timeout_ms")).await;
    let stranger = rusqlite::Connection::open(server.data_path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The harness would wait for 20 seconds only: with the old timeout this ends badly.
    shop.hold_until_refused(&event, 'A').await.refused(504, "DEADLINE_EXCEEDED");
    stranger.execute_batch("ROLLBACK").unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_slow_answer_is_logged_for_every_caller() {
    // A log-in hashes a password, which takes longer than ten times this in any build; nobody is sampled.
    let file = "[log]\nlevel = \"info\"\naccess_one_in = 0\nslow_ms = 1\n";
    let mut server = Server::with().without("LOG__LEVEL").file(file).start().await;
    let shop = server.shop();
    shop.post("/auth/login")
        .json(&json!({ "email": "nobody@example.com", "password": "not-a-password-of-anybody" }))
        .header("x-request-id", "slow-one")
        .send()
        .await
        .refused(401, "INVALID_CREDENTIALS");
    let is_access = |line: &Value| line["request_id"] == "slow-one" && line["status"].is_u64();
    let log = server.log_when(|log| lines(log).iter().any(is_access)).await;
    let line = lines(&log).into_iter().find(is_access).unwrap();
    assert_eq!(
        (&line["reason"], &line["path"], &line["status"]),
        (&json!("slow"), &json!("/api/v1/auth/login"), &json!(401))
    );
    assert!(line["micros"].as_u64() >= Some(10_000), "{line}");

    write(server.directory(), "config.toml", "[log]\nlevel = \"info\"\naccess_one_in = 0\nslow_ms = 600000\n");
    server.signal("HUP");
    server.log_when(|log| log.contains("log.slow_ms")).await;
    let login = json!({ "email": "nobody@example.com", "password": "another-wrong-password" });
    let fast = shop.post("/auth/login").json(&login).header("x-request-id", "fast-one");
    fast.send().await.refused(401, "INVALID_CREDENTIALS");
    server.terminate();
    server.ended().await;
    // The refusal of the log-in is a line of its own, sampled or not.
    let log = server.log();
    let is_access = |line: &Value| line["request_id"] == "fast-one" && line["status"].is_u64();
    assert!(!lines(&log).iter().any(is_access), "{log}");
}

#[tokio::test]
async fn a_level_that_is_none_is_named_by_the_check_and_by_a_reload() {
    let empty = tempfile::tempdir().unwrap();
    let changes = check(empty.path(), "[log]\nlevel = \"loud\"\n", 2);
    assert!(changes.contains("log.level: \"loud\" is no level"), "{changes}");

    let file = "[log]\nlevel = \"info\"\naccess_one_in = 1\n";
    let server = Server::with().without("LOG__LEVEL").file(file).start().await;
    write(server.directory(), "config.toml", "[log]\nlevel = \"debg\"\naccess_one_in = 1\n");
    server.signal("HUP");
    server.log_when(|log| log.contains("debg") && log.contains("nothing is changed")).await;
    let shop = server.shop();
    shop.get("/events").header("x-request-id", "still-logged").send().await.expect(200);
    server.log_when(|log| log.contains("still-logged")).await;
    server.stop().await;
}

/// Runs `onsale check` in a directory with this file.
fn check(directory: &Path, file: &str, expected: i32) -> String {
    let path = write(directory, "check.toml", file);
    let output = run(|command| {
        command.current_dir(directory).args(["check", "--config"]).arg(&path);
    });
    let changes = [output.stdout, output.stderr].concat();
    let changes = String::from_utf8_lossy(&changes).into_owned();
    assert_eq!(output.status.code(), Some(expected), "{changes}");
    changes
}

#[test]
fn the_check_for_production_names_every_key_in_one_run() {
    let empty = tempfile::tempdir().unwrap();
    let file = "[server]\nlisten = \"0.0.0.0:0\"\n[storage]\nkind = \"postgres\"\n[rate_limit]\nenabled = false\n
        [postgres]\nurl = \"postgres://u:very-private@db.invalid:1/x?sslmode=require\"\n";
    let secret = "at least thirty-two bytes, and not these ones";
    let path = write(empty.path(), "check.toml", file);
    let output = run(|command| {
        command.current_dir(empty.path()).args(["check", "--production", "--config"]).arg(&path);
        command.env("ONSALE__AUTH__JWT_SECRET", secret);
    });
    let changes = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{changes}");
    for key in
        ["auth.jwt_secret", "server.listen", "metrics.token", "rate_limit.enabled", "payment.provider", "postgres.url"]
    {
        assert!(changes.lines().any(|line| line.starts_with(&format!("BAD   {key}: "))), "{key} is not in\n{changes}");
    }
    assert!(!changes.contains(secret) && !changes.contains("very-private"), "{changes}");
}

#[tokio::test]
async fn metrics_are_for_who_sends_the_token_where_there_is_one() {
    let server = Server::with().key("METRICS__TOKEN", "a scraper's token").start().await;
    let ask = |header: &str| {
        let answer = server.raw(&format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n"));
        answer.unwrap()[9..12].to_owned()
    };
    assert_eq!(ask("authorization: Bearer a scraper's token\r\n"), "200");
    assert_eq!([ask(""), ask("authorization: Bearer another token\r\n")], ["401", "401"]);
    server.stop().await;
}

#[tokio::test]
async fn files_are_closed_to_others_from_the_start() {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let modes = |directory: &Path| -> Vec<u32> {
        std::fs::read_dir(directory).unwrap().map(|entry| mode(&entry.unwrap().path())).collect()
    };
    let logs = tempfile::tempdir().unwrap();
    let setup = Server::with().key("LOG__DIRECTORY", logs.path().to_str().unwrap()).key("LOG__GROUP_READABLE", "true");
    let mut server = setup.start().await;
    server.shop().small_event(&json!({})).await;
    let data = server.data_path();
    assert_eq!(mode(&data), 0o700);
    assert!(modes(&data).iter().all(|mode| *mode == 0o600), "{:?}", modes(&data));
    assert_eq!(modes(logs.path()), [0o640; 2]);

    // A backup is as closed, and what was open is closed by the next start.
    let backup = server.directory().join("backup");
    let output = run(|command| {
        command.arg("backup").arg("--from").arg(&data).arg("--to").arg(&backup);
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(mode(&backup), 0o700);
    assert!(modes(&backup).iter().all(|mode| *mode == 0o600), "{:?}", modes(&backup));
    server.kill();
    std::fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(&data).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o644)).unwrap();
    }
    server.start_again().await;
    assert_eq!(mode(&data), 0o700);
    assert!(modes(&data).iter().all(|mode| *mode == 0o600), "{:?}", modes(&data));
    server.stop().await;

    let server = Server::with().key("STORAGE__GROUP_READABLE", "true").start().await;
    server.shop().small_event(&json!({})).await;
    let data = server.data_path();
    assert_eq!(mode(&data.join("library.db")), 0o640);
    assert!(modes(&data).iter().all(|mode| mode & 0o027 == 0), "{:?}", modes(&data));
    server.stop().await;
}

#[tokio::test]
async fn the_check_names_every_problem_and_changes_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let changes = check(empty.path(), "[server]\nlisten = \"127.0.0.1:0\"\n", 0);
    assert!(changes.contains("has no data yet") && changes.contains("MiB are free"), "{changes}");
    assert!(!empty.path().join("data").exists());
    let changes = check(empty.path(), "[server]\nlisten = 1\nlissen = 2\n", 2);
    assert!(changes.contains("server.listen: must be") && changes.contains("server.lissen: unknown key"), "{changes}");

    // A server works here: its port and its data are taken; and the logs cannot be written where they are configured.
    let mut server = Server::start().await;
    let shop = server.shop();
    shop.small_event(&json!({})).await;
    write(server.directory(), "a-file", "");
    let file = format!(
        "[server]\nlisten = \"{}\"\n[log]\ndirectory = \"a-file\"\n[auth]\njwt_secret = \"{SECRET}\"\n",
        server.address()
    );
    let changes = check(server.directory(), &file, 1);
    let bad: Vec<&str> = changes.lines().filter(|line| line.starts_with("BAD")).collect();
    assert_eq!(bad.len(), 3, "{changes}");
    for part in ["cannot listen on", "in use by another process", "log.directory: a-file cannot be written"] {
        assert!(bad.iter().any(|line| line.contains(part)), "{part:?} is not in {changes}");
    }
    assert_eq!(server.status("/health/ready"), Some(200));
    server.kill();

    // A journal without its key is no data directory.
    std::fs::remove_file(server.data_path().join("journal.key")).unwrap();
    let changes = check(server.directory(), "[server]\nlisten = \"127.0.0.1:0\"\n", 1);
    assert!(changes.contains("journal.key is missing"), "{changes}");
}

#[test]
fn what_is_in_force_is_printed_with_where_it_comes_from() {
    let scratch = tempfile::tempdir().unwrap();
    let file = "[log]\nlevel = \"warn\"\n\n[rate_limit]\npassword = \"3/60s\"\n\n[metrics]\ntoken = \"a-very-private-token\"\n";
    write(scratch.path(), "config.toml", file);
    let printed = |command: &str| {
        let output = run(|process| {
            process.current_dir(scratch.path()).arg(command).env("ONSALE__SERVER__LISTEN", "127.0.0.1:18080");
        });
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = printed("config");
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "listen = \"127.0.0.1:18080\"  # ONSALE__SERVER__LISTEN",
        "level = \"warn\"  # config.toml, line 2",
        "password = \"3/60s\"  # config.toml, line 5",
        "token is set and hidden  # config.toml, line 8",
        "drain_timeout_ms = 10000  # default",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("a-very-private-token"), "{text}");
    // What is printed is a configuration that says the same.
    write(scratch.path(), "config.toml", &text);
    let (code, again) = printed("config");
    assert!(code == Some(0) && again.contains("password = \"3/60s\"  # config.toml, line"), "{again}");

    write(scratch.path(), "config.toml", "[log]\n\nlevle = \"info\"\nlevel = \"loud\"\n");
    for command in ["check", "config"] {
        let (code, changes) = printed(command);
        assert_eq!(code, Some(2));
        assert!(changes.contains("(config.toml)"), "{changes}");
        assert!(changes.contains("log.levle: unknown key; did you mean level? (line 3)"), "{changes}");
        assert!(changes.contains("log.level: \"loud\" is no level") && changes.contains("(line 4)"), "{changes}");
    }
}
