//! Guessing at passwords over HTTP: strangers do not keep anybody out, a challenge lets who solves it go on, one address'
//! wave does not hold the others up, and the important log records it.

use crate::harness::{Server, Setup};
use crate::shop::{Reply, Shop};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

const PASSWORD: &str = "a long password for tests";
const OWNER: &str = "owner@example.org";
const ADMIN: &str = "admin@example.org";
const HOME: &str = "203.0.113.1";

/// Three wrong ones from an address, five in all.
fn limited() -> Setup {
    Server::with()
        .key("RATE_LIMIT__FORWARDED_HOPS", "1")
        .key("RATE_LIMIT__PASSWORD", "3/3600s")
        .key("RATE_LIMIT__PASSWORD_ACCOUNT", "5/3600s")
        .key("AUTH__CHALLENGE_MAX_NUMBER", "1000")
        .env("ONSALE_BOOTSTRAP_ADMIN", &format!("{ADMIN}:{PASSWORD}"))
}

async fn log_in(shop: &Shop, from: &str, email: &str, password: &str, solution: Option<&str>) -> Reply {
    let body = json!({ "email": email, "password": password, "captchaToken": solution });
    shop.post("/auth/login").header("x-forwarded-for", from).json(&body).send().await
}

async fn sign_up(shop: &Shop, email: &str, solution: Option<&str>) -> Reply {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Example Person", "captchaToken": solution });
    shop.post("/auth/signup").json(&body).send().await
}

/// Solves a challenge as a widget does: the `captchaToken`.
fn solve(refusal: &Value) -> String {
    let challenge = &refusal["challenge"];
    assert_eq!(challenge["algorithm"], "SHA-256", "{refusal}");
    let (salt, wanted) = (challenge["salt"].as_str().unwrap(), challenge["challenge"].as_str().unwrap());
    let hash = |number: u64| {
        let digest = Sha256::digest(format!("{salt}{number}"));
        digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let number = (0..=challenge["maxnumber"].as_u64().unwrap()).find(|number| hash(*number) == wanted).unwrap();
    let solution = json!({
        "algorithm": "SHA-256", "challenge": wanted, "number": number, "salt": salt,
        "signature": challenge["signature"], "took": 1,
    });
    STANDARD.encode(solution.to_string())
}

/// Wrong passwords from two addresses, until the account's own limit is used up.
async fn guess_away(shop: &Shop, email: &str) {
    for from in ["198.51.100.1", "198.51.100.1", "198.51.100.1", "198.51.100.2", "198.51.100.2"] {
        log_in(shop, from, email, "a wrong guess", None).await.refused(401, "INVALID_CREDENTIALS");
    }
    log_in(shop, "198.51.100.1", email, PASSWORD, None).await.refused(429, "RATE_LIMITED");
    log_in(shop, "198.51.100.2", email, "a wrong guess", None).await.refused(403, "CHALLENGE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_of_strangers_do_not_keep_an_owner_out() {
    let mut server = limited().start().await;
    sign_up(&server.shop(), OWNER, None).await.expect(201);
    for email in [OWNER, ADMIN] {
        let shop = server.shop();
        log_in(&shop, HOME, email, PASSWORD, None).await.expect(200);
        guess_away(&shop, email).await;
        log_in(&shop, HOME, email, PASSWORD, None).await.expect(200);

        // From elsewhere it takes a challenge, once: then that address is known, too.
        let refused = log_in(&shop, "203.0.113.2", email, PASSWORD, None).await.refused(403, "CHALLENGE_REQUIRED");
        let solution = solve(&refused);
        log_in(&shop, "203.0.113.2", email, "not this one", Some("nonsense")).await.refused(403, "CHALLENGE_REQUIRED");
        log_in(&shop, "203.0.113.2", email, PASSWORD, Some(&solution)).await.expect(200);
        log_in(&shop, "203.0.113.2", email, PASSWORD, None).await.expect(200);
        let again = log_in(&shop, "203.0.113.3", email, PASSWORD, Some(&solution)).await;
        again.refused(403, "CHALLENGE_REQUIRED");
        // A solution is no password.
        let solution = solve(&again.json());
        let wrong = log_in(&shop, "203.0.113.3", email, "a wrong guess", Some(&solution)).await;
        wrong.refused(401, "INVALID_CREDENTIALS");
    }
    // An address without an account is answered the same.
    guess_away(&server.shop(), "nobody@example.org").await;

    // Known addresses outlive the process, and are no addresses in the storage.
    server.crash().await;
    let shop = server.shop();
    guess_away(&shop, OWNER).await;
    log_in(&shop, HOME, OWNER, PASSWORD, None).await.expect(200);
    server.kill();
    let library = std::fs::read(server.data_path().join("library.db")).unwrap();
    assert!(!library.windows(HOME.len()).any(|bytes| bytes == HOME.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_shares_an_address_with_a_guesser_goes_on_with_a_challenge() {
    let server = limited().start().await;
    let shop = server.shop();
    log_in(&shop, HOME, ADMIN, PASSWORD, None).await.expect(200);
    for _ in 0..3 {
        log_in(&shop, HOME, ADMIN, "a wrong guess", None).await.refused(401, "INVALID_CREDENTIALS");
    }
    let refused = log_in(&shop, HOME, ADMIN, PASSWORD, None).await;
    let problem = refused.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("ratelimit-policy"), "\"password\";q=3;w=3600");
    assert_eq!(problem["challenge"]["maxnumber"], 10_000, "a harder one");
    log_in(&shop, HOME, ADMIN, PASSWORD, Some(&solve(&problem))).await.expect(200);
    // Each guess costs a challenge.
    log_in(&shop, HOME, ADMIN, "a wrong guess", None).await.refused(429, "RATE_LIMITED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_up_takes_a_challenge_where_it_is_configured() {
    let server = limited().key("AUTH__CHALLENGE_SIGNUPS", "true").start().await;
    let shop = server.shop();
    let refused = sign_up(&shop, OWNER, None).await.refused(403, "CHALLENGE_REQUIRED");
    let solution = solve(&refused);
    sign_up(&shop, OWNER, Some(&solution)).await.expect(201);
    sign_up(&shop, "b@example.org", Some(&solution)).await.refused(403, "CHALLENGE_REQUIRED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_from_one_address_does_not_hold_the_others_up() {
    let server = Server::with().key("RATE_LIMIT__FORWARDED_HOPS", "1").start().await;
    let shop = server.shop();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut wave = JoinSet::new();
    for number in 0..60 {
        let (shop, answered) = (shop.clone(), Arc::clone(&answered));
        wave.spawn(async move {
            let email = format!("{number}@example.org");
            let found = log_in(&shop, "198.51.100.1", &email, "a guess", None).await.status;
            answered.fetch_add(1, Ordering::SeqCst);
            found
        });
    }
    // The first answer comes when all wait: one hash takes longer than sending sixty requests.
    assert_eq!(wave.join_next().await.unwrap().unwrap(), 401);
    let before = answered.load(Ordering::SeqCst);
    log_in(&shop, HOME, OWNER, "a guess", None).await.refused(401, "INVALID_CREDENTIALS");
    let meanwhile = answered.load(Ordering::SeqCst) - before;
    let left = wave.len();
    wave.join_all().await;
    assert!(meanwhile < 20, "{meanwhile} of the wave were answered first, {left} were left");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn security_events_are_in_the_important_log_without_addresses() {
    let server = limited().key("LOG__ACCESS_ONE_IN", "0").start().await;
    let shop = server.shop();
    log_in(&shop, HOME, ADMIN, "a wrong guess", None).await.refused(401, "INVALID_CREDENTIALS");
    let tokens = log_in(&shop, HOME, ADMIN, PASSWORD, None).await.expect(200);
    let refresh = json!({ "refreshToken": tokens["refreshToken"] });
    let refresh = async || shop.post("/auth/refresh").header("x-forwarded-for", HOME).json(&refresh).send().await;
    refresh().await.expect(200);
    refresh().await.refused(401, "REFRESH_TOKEN_REUSED");
    let venue = json!({ "name": "Example House", "address": "1 Example Road", "city": "Seoul" });
    shop.post("/venues").header("x-forwarded-for", HOME).by(&shop.buyer()).json(&venue).send().await.expect(403);
    let mut forged = shop.buyer();
    forged.token.push('x');
    shop.get("/users/me").header("x-forwarded-for", HOME).by(&forged).send().await.expect(401);
    let kinds = ["LOGIN_REFUSED", "ADMIN_LOGIN", "REFRESH_REUSED", "ROLE_REFUSED", "TOKEN_FORGED"];
    let log = server.log_when(|log| log.ends_with('\n') && kinds.iter().all(|kind| log.contains(kind))).await;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["security"].is_string()).collect();
    let found: Vec<&str> = lines.iter().map(|line| line["security"].as_str().unwrap()).collect();
    assert_eq!(found, kinds);
    let client = lines[0]["client"].as_str().unwrap();
    assert!(client.len() == 16 && lines.iter().all(|line| line["client"] == client), "{lines:?}");
    assert!(lines.iter().all(|line| line["target"] == "onsale::important"));
    assert!(lines[1]["buyer_id"] == lines[0]["buyer_id"] && lines[1]["buyer_id"].is_string());
    for secret in [HOME, ADMIN, "a wrong guess", PASSWORD, forged.token.as_str()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    server.stop().await;
}
