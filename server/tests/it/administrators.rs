//! Administrators: made and disabled by the command line and by each other over HTTP, and what a first start says of them.

use crate::harness::{Server, run, write};
use crate::shop::{Person, Reply, Shop};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;

const PASSWORD: &str = "an administrators password";

/// Runs `onsale admin …` on a data directory, with this on its standard input.
fn admin(data: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let scratch = tempfile::tempdir().unwrap();
    let input = File::open(write(scratch.path(), "input", input)).unwrap();
    let output = run(|command| {
        command
            .current_dir(scratch.path())
            .env("ONSALE__STORAGE__PATH", data)
            .stdin(input)
            .arg("admin")
            .args(arguments);
    });
    let actual = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&actual).into_owned())
}

async fn log_in(shop: &Shop, email: &str, password: &str) -> Reply {
    shop.post("/auth/login").json(&json!({ "email": email, "password": password })).send().await
}

async fn logged_in(shop: &Shop, email: &str) -> Person {
    let tokens = log_in(shop, email, PASSWORD).await.expect(200);
    Person { token: tokens["accessToken"].as_str().unwrap().to_owned() }
}

#[tokio::test]
async fn the_command_line_makes_lists_and_disables_administrators() {
    let mut server = Server::start().await;
    let data = server.data_path();
    let (code, actual) = admin(&data, &["list"], "");
    assert!(code == Some(1) && actual.contains("another process"), "a server works on it: {actual}");
    server.terminate();
    server.ended().await;
    assert_eq!(admin(&data, &["add", "nobody"], PASSWORD).0, Some(1), "no address");
    let (code, actual) = admin(&data, &["add", "first@example.com"], "short\n");
    assert!(code == Some(1) && actual.contains("the password must be"), "{actual}");
    let (code, actual) = admin(&data, &["add", "first@example.com", "--name", "First"], &format!("{PASSWORD}\nmore"));
    assert!(code == Some(0) && actual.contains("first@example.com is an administrator"), "{actual}");
    assert!(!actual.contains(PASSWORD), "{actual}");
    let (code, actual) = admin(&data, &["add", "FIRST@example.com"], PASSWORD);
    assert!(code == Some(1) && actual.contains("an account has this e-mail address"), "{actual}");

    server.start_again().await;
    logged_in(&server.shop(), "first@example.com").await;
    server.terminate();
    server.ended().await;

    assert_eq!(admin(&data, &["disable", "stranger@example.com"], "").0, Some(1));
    let (code, actual) = admin(&data, &["disable", "first@example.com"], "");
    assert!(code == Some(0) && actual.contains("is disabled; 1 access tokens revoked"), "{actual}");
    let (_, actual) = admin(&data, &["list"], "");
    assert!(actual.contains("first@example.com\tFirst\tmade ") && actual.contains("\tdisabled 2"), "{actual}");
    server.start_again().await;
    log_in(&server.shop(), "first@example.com", PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    server.terminate();
    server.ended().await;

    assert_eq!(admin(&data, &["enable", "first@example.com"], "").0, Some(0));
    server.start_again().await;
    logged_in(&server.shop(), "first@example.com").await;
    server.stop().await;
}

#[tokio::test]
async fn administrators_make_and_disable_each_other_but_never_the_last() {
    let server = Server::with().env("ONSALE_BOOTSTRAP_ADMIN", &format!("root@example.com:{PASSWORD}")).start().await;
    let shop = server.shop();
    let root = logged_in(&shop, "root@example.com").await;
    let body = json!({ "email": "Second@example.com", "password": PASSWORD, "name": "Second" });
    shop.post("/admin/users").by(&shop.buyer()).json(&body).send().await.refused(403, "FORBIDDEN");
    let weak = json!({ "email": "x", "password": "a-users-password".get(..9) });
    assert_eq!(shop.post("/admin/users").by(&root).json(&weak).send().await.mistakes(), ["email", "password"]);
    let made = shop.post("/admin/users").by(&root).json(&body).send().await.expect(201);
    assert_eq!((&made["role"], &made["disabledAt"]), (&json!("ADMIN"), &Value::Null));
    shop.post("/admin/users").by(&root).json(&body).send().await.refused(409, "EMAIL_TAKEN");
    let second = logged_in(&shop, "second@example.com").await;

    let all = shop.get("/admin/users").by(&second).send().await.expect(200);
    let addresses: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["root@example.com", "Second@example.com"]);
    let path_of = |one: &Value| format!("/admin/users/{}", one["id"].as_str().unwrap());
    let (first, other) = (path_of(&all["items"][0]), path_of(&all["items"][1]));

    let change = |path: &str, by: &Person, body: Value| shop.patch(path).by(by).json(&body).send();
    assert_eq!(change(&first, &second, json!({})).await.mistakes(), ["disabled"]);
    let gone = change(&first, &second, json!({ "disabled": true })).await.expect(200);
    assert!(gone["disabledAt"].is_string(), "{gone}");
    // At once, for tokens that were handed out as for new log-ins.
    shop.get("/admin/users").by(&root).send().await.refused(401, "UNAUTHENTICATED");
    log_in(&shop, "root@example.com", PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    change(&other, &second, json!({ "disabled": true })).await.refused(409, "LAST_ADMINISTRATOR");
    change(&first, &second, json!({ "disabled": false })).await.expect(200);
    change(&other, &second, json!({ "disabled": true })).await.expect(200);
    logged_in(&shop, "root@example.com").await;
    let missing = "/admin/users/01970000-0000-7000-8000-000000000000";
    change(missing, &logged_in(&shop, "root@example.com").await, json!({ "disabled": true }))
        .await
        .refused(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test]
async fn a_first_start_says_where_it_is_and_that_nobody_may_run_it() {
    let ready = |log: &str| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["message"] == "ready").unwrap()
    };
    let server = Server::with().key("LOG__LEVEL", "info").start().await;
    let log = server.log_when(|log| log.contains("\"ready\"")).await;
    let line = ready(&log);
    assert_eq!((&line["version"], &line["administrators"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(0)));
    assert!(line["advice"].as_str().unwrap().contains("onsale admin add"), "{line}");
    assert!(line["storage"].as_str().unwrap().ends_with("data") && line["address"].is_string(), "{line}");
    assert!(!log.contains("migration"), "what was migrated fills no log: {log}");
    server.stop().await;

    let with = Server::with().key("LOG__LEVEL", "info");
    let server = with.env("ONSALE_BOOTSTRAP_ADMIN", &format!("root@example.com:{PASSWORD}")).start().await;
    let line = ready(&server.log_when(|log| log.contains("\"ready\"")).await);
    assert_eq!((&line["administrators"], &line["advice"]), (&json!(1), &Value::Null));
    server.stop().await;
}
