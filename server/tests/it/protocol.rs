//! What the front end itself answers: each status of the contract that no handler is needed for, and the headers that
//! every answer carries.

use crate::harness::{SECRET, Server};
use crate::shop::{Shop, TIMEOUT};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::io::{Read, Write};

/// The status and the body of a raw answer, whose problem must have the form of every problem.
fn problem(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    let head = head.to_ascii_lowercase();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(body["traceId"], id);
    (head[9..12].parse().unwrap(), body)
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_refused() {
    let server = Server::start().await;
    let shop = server.shop();
    shop.get("/nothing").send().await.refused(404, "NOT_FOUND");
    shop.get("/events/not-a-uuid").send().await.refused(404, "NOT_FOUND");
    let wrong = shop.put("/users/me").send().await;
    assert_eq!(wrong.header("allow"), "DELETE, GET, HEAD, PATCH");
    wrong.refused(405, "METHOD_NOT_ALLOWED");
    server.stop().await;
}

#[tokio::test]
async fn bearer_comes_before_role_and_role_before_the_body() {
    let server = Server::start().await;
    let shop = server.shop();
    let nonsense = |shop: &Shop| shop.post("/venues").text("{");
    nonsense(&shop).send().await.refused(401, "UNAUTHENTICATED");
    for token in ["", "abc", "a.b.c"] {
        let bearer = format!("Bearer {token}");
        nonsense(&shop).header("authorization", &bearer).send().await.refused(401, "UNAUTHENTICATED");
    }
    nonsense(&shop).header("authorization", "Basic YTpi").send().await.refused(401, "UNAUTHENTICATED");
    let foreign = Shop::new(&server.base(), "a secret that this server was not configured with");
    nonsense(&shop).by(&foreign.admin).send().await.refused(401, "UNAUTHENTICATED");
    nonsense(&shop).by(&shop.buyer()).send().await.refused(403, "FORBIDDEN");
    nonsense(&shop).by(&shop.admin).send().await.refused(400, "MALFORMED_JSON");
    server.stop().await;
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let server = Server::start().await;
    let shop = server.shop();
    let claims = json!({ "sub": uuid::Uuid::new_v4().to_string(), "role": "USER", "exp": 1_700_000_000 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let bearer = format!("Bearer {token}");
    let actual = shop.get("/users/me").header("authorization", &bearer).send().await.refused(401, "UNAUTHENTICATED");
    assert_eq!(actual["detail"], "the access token has expired");
    server.stop().await;
}

#[tokio::test]
async fn bodies_must_be_json_and_within_their_limit() {
    let server = Server::start().await;
    let shop = server.shop();
    shop.post("/auth/login").text("{\"email\": ").send().await.refused(400, "MALFORMED_JSON");
    shop.post("/auth/login").send().await.refused(400, "MALFORMED_JSON");
    let plain = server.raw(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\n\r\n{}",
    );
    let (status, actual) = problem(&plain.unwrap());
    assert_eq!((status, &actual["code"]), (415, &json!("UNSUPPORTED_MEDIA_TYPE")));

    let padded = |bytes: usize| json!({ "email": "a@b.example", "password": "p", "more": "m".repeat(bytes) });
    shop.post("/auth/login").json(&padded(9 * 1024)).send().await.refused(401, "INVALID_CREDENTIALS");
    shop.post("/auth/login").json(&padded(10 * 1024)).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    shop.post("/venues").by(&shop.admin).json(&padded(900 * 1024)).send().await.refused(400, "VALIDATION_FAILED");
    shop.post("/venues").by(&shop.admin).json(&padded(1024 * 1024)).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_undeclared_length_is_bounded_too_and_its_sender_reads_the_answer() {
    let server = Server::start().await;
    let mut stream = server.connect().unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    // Far more than any buffer holds: the server must still be reading when it has answered.
    for _ in 0..256 {
        stream.write_all(chunk.as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (status, actual) = problem(&answer);
    assert_eq!((status, &actual["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    server.stop().await;
}

#[tokio::test]
async fn headers_are_bounded_in_both_versions() {
    let server = Server::start().await;
    let big = "b".repeat(17 * 1024);
    let raw = server.raw(&format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx-big: {big}\r\n\r\n"));
    let (status, actual) = problem(&raw.unwrap());
    assert_eq!((status, &actual["code"]), (431, &json!("HEADERS_TOO_LARGE")));
    let fits = "f".repeat(15 * 1024);
    let fitting = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-big: {fits}\r\n\r\n");
    assert!(server.raw(&fitting).unwrap().starts_with("HTTP/1.1 200"));

    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = |value: &str| {
        let uri = format!("{}/health/live", server.base());
        Request::builder().uri(uri).header("x-big", value).body(Full::default()).unwrap()
    };
    let answer = client.request(request(&big)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (431, http::Version::HTTP_2));
    assert_eq!(client.request(request(&fits)).await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_as_that() {
    let server = Server::start().await;
    let (status, actual) = problem(&server.raw("NONSENSE\r\n\r\n").unwrap());
    assert_eq!((status, &actual["code"]), (400, &json!("MALFORMED_REQUEST")));
    let (status, _) = problem(&server.raw("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n").unwrap());
    assert_eq!(status, 400);
    assert_eq!(server.status("/health/live"), Some(200));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_is_answered_at_its_deadline() {
    let server = Server::with().key("SERVER__REQUEST_TIMEOUT_MS", "200").start().await;
    let mut stream = server.connect().unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (status, actual) = problem(&answer);
    assert_eq!((status, &actual["code"]), (504, &json!("DEADLINE_EXCEEDED")));
    server.stop().await;
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let server = Server::start().await;
    let shop = server.shop();
    for path in ["/events", "/nothing"] {
        let kept = shop.get(path).header("x-request-id", "mine-1").send().await;
        assert_eq!(kept.header("x-request-id"), "mine-1");
        let replaced = shop.get(path).header("x-request-id", "not <sane>").send().await;
        assert!(uuid::Uuid::try_parse(replaced.header("x-request-id")).is_ok());
    }
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let refused = shop.get("/users/me").header("traceparent", trace).header("x-request-id", "mine-2").send().await;
    assert_eq!(refused.refused(401, "UNAUTHENTICATED")["traceId"], "mine-2");
    server.stop().await;
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let server = Server::start().await;
    let shop = server.shop();
    for _ in 0..10 {
        shop.venue().await;
    }
    let list = |encoding: &str| shop.get("/venues").header("accept-encoding", encoding).send();
    let plain = list("identity").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    assert_eq!(plain.header("content-length"), plain.body.len().to_string());
    assert!(plain.body.len() > 1024);
    let small = list("br, gzip").await;
    assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "accept-encoding"));
    assert_eq!(small.header("content-length"), small.body.len().to_string());
    let mut read = Vec::new();
    GzDecoder::new(small.body.as_ref()).read_to_end(&mut read).unwrap();
    assert_eq!(read, plain.body);
    let short = shop.get("/events").header("accept-encoding", "gzip").send().await;
    assert_eq!(short.header("content-encoding"), "");
    server.stop().await;
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let server = Server::start().await;
    for http2_only in [false, true] {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(http2_only).build_http();
        let request = |method: Method| {
            let uri = format!("{}/health/ready", server.base());
            Request::builder().method(method).uri(uri).body(Full::default()).unwrap()
        };
        let get = client.request(request(Method::GET)).await.unwrap();
        let head = client.request(request(Method::HEAD)).await.unwrap();
        assert_eq!((get.status(), head.status()), (http::StatusCode::OK, http::StatusCode::OK));
        assert_eq!(get.headers()["content-length"], head.headers()["content-length"]);
        assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn one_connection_carries_many_requests_in_both_versions() {
    let server = Server::start().await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..250 {
        let (client, uri) = (client.clone(), format!("{}/api/v1/events", server.base()));
        asking.spawn(async move {
            let request = Request::builder().uri(uri).body(Full::default()).unwrap();
            tokio::time::timeout(TIMEOUT, client.request(request)).await.unwrap().unwrap().status()
        });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 200));

    let mut stream = server.connect().unwrap();
    let twice = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let last = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{twice}{last}").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    server.stop().await;
}

/// The headers about an answer's content and caching.
fn kept(headers: &http::HeaderMap) -> (String, String) {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (value("x-content-type-options"), value("cache-control"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_sniffed_and_what_is_personal_is_kept_by_nobody() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let ask = async |method: &Method, path: &str, bearer: Option<&str>| {
        let uri = format!("{}{path}", server.base());
        let mut request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        client.request(request.body(Full::from("{}")).unwrap()).await.unwrap()
    };
    let (mut personal, mut public) = (0, 0);
    for route in onsale_server::server::routes() {
        // Administrators' calls would change what others ask for.
        let path = route.path().replace("{id}", &event).replace("{eventId}", &event);
        let path = if path.contains("queue/s") { format!("{path}?eventId={event}") } else { path };
        for who in [None, Some(shop.buyer().token)] {
            let answer = ask(route.method(), &path, who.as_deref()).await;
            let (sniffed, kept) = kept(answer.headers());
            let about = format!("{} {path} {who:?} {}", route.method(), answer.status());
            assert_eq!(sniffed, "nosniff", "{about}");
            let must = route.access() != onsale_server::http::Access::Public || path.contains("/auth/");
            let is_problem = answer.status().as_u16() >= 400;
            if must || is_problem {
                assert_eq!(kept, "no-store", "{about}");
                personal += usize::from(!is_problem);
            } else {
                assert_ne!(kept, "no-store", "{about}");
                public += 1;
            }
        }
    }
    assert!(personal >= 5 && public >= 10, "{personal} personal, {public} public answers");
    // What no route answers, and what the pipeline never sees.
    for (method, path) in [(Method::GET, "/nothing"), (Method::PUT, "/api/v1/events")] {
        let answer = ask(&method, path, None).await;
        assert_eq!(kept(answer.headers()), ("nosniff".to_owned(), "no-store".to_owned()), "{path}");
    }
    let raw = server.raw("NONSENSE\r\n\r\n").unwrap();
    assert!(raw.contains("x-content-type-options: nosniff") && raw.contains("cache-control: no-store"), "{raw}");
    // The seat map is still asked for again by its tag.
    let path = format!("/api/v1/events/{event}/seats");
    let map = ask(&Method::GET, &path, None).await;
    let request =
        Request::builder().uri(format!("{}{path}", server.base())).header("if-none-match", &map.headers()["etag"]);
    let same = client.request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((same.status().as_u16(), kept(same.headers()).0.as_str()), (304, "nosniff"));
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_has_its_requests_deadline() {
    let server = Server::with().key("SERVER__REQUEST_TIMEOUT_MS", "400").start().await;
    let mut stream = server.connect().unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let (began, mut answer, mut some) = (std::time::Instant::now(), Vec::new(), [0; 1024]);
    loop {
        assert!(began.elapsed() < TIMEOUT, "a body that trickles is waited for");
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(bytes) => answer.extend_from_slice(&some[..bytes]),
            // Nothing yet: one more byte of the body.
            Err(_) => drop(stream.write_all(b" ")),
        }
    }
    let (status, actual) = problem(&String::from_utf8(answer).unwrap());
    assert_eq!((status, &actual["code"]), (504, &json!("DEADLINE_EXCEEDED")));
    server.stop().await;
}
