//! Speaks to a running server as its clients do, over a real socket, and knows how to set up a venue, a hall, an
//! event. Asserts nothing but that setting up works.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a test waits for anything.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A server and those who use it.
#[derive(Clone)]
pub struct Shop {
    base: String,
    secret: String,
    client: Client<HttpConnector, Full<Bytes>>,
    /// An administrator.
    pub admin: Person,
}

/// Somebody with a bearer token.
#[derive(Clone, Debug)]
pub struct Person {
    pub token: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON, of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The problem, of an answer that must be this refusal, in the form that every problem has.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["traceId"], self.header("x-request-id"));
        assert!(problem["timestamp"].is_string() && problem["title"].is_string() && problem["type"].is_string());
        problem
    }

    /// The paths of a validation problem's mistakes.
    #[track_caller]
    pub fn mistakes(&self) -> Vec<String> {
        let problem = self.refused(400, "VALIDATION_FAILED");
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().map(|mistake| mistake["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// A request that is being put together.
pub struct Call {
    shop: Shop,
    request: http::request::Builder,
    body: Bytes,
}

impl Call {
    pub fn by(self, person: &Person) -> Self {
        self.header("authorization", &format!("Bearer {}", person.token))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn admitted(self, token: &str) -> Self {
        self.header("x-queue-token", token)
    }

    pub fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    /// A body that is said to be JSON.
    pub fn text(mut self, body: &str) -> Self {
        self.request = self.request.header("content-type", "application/json");
        self.body = Bytes::copy_from_slice(body.as_bytes());
        self
    }

    /// A body that is not said to be anything.
    pub fn body(self, body: &str) -> Self {
        self.bytes(body.as_bytes().to_vec())
    }

    /// The same, of any bytes.
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Bytes::from(body);
        self
    }

    pub async fn send(self) -> Reply {
        let (parts, body) = self.begin().await.into_parts();
        let body = tokio::time::timeout(TIMEOUT, body.collect()).await.unwrap().unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn begin(self) -> http::Response<hyper::body::Incoming> {
        let request = self.request.body(Full::new(self.body)).unwrap();
        tokio::time::timeout(TIMEOUT, self.shop.client.request(request)).await.unwrap().unwrap()
    }

    /// Opens a stream of events, which must be granted.
    pub async fn stream(self) -> Stream {
        let response = self.begin().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { body: response.into_body(), rest: String::new() }
    }
}

/// An open stream of events.
pub struct Stream {
    body: hyper::body::Incoming,
    rest: String,
}

/// One event of a stream.
#[derive(Debug)]
pub struct Event {
    pub id: Option<u64>,
    pub data: Value,
}

impl Stream {
    /// The next event with data; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(TIMEOUT, self.read()).await.expect("an event in time")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let (id, data) = (field("id:").map(|id| id.parse().unwrap()), field("data:").map(str::to_owned));
                self.rest = rest.to_owned();
                if let Some(data) = data {
                    return Some(Event { id, data: serde_json::from_str(&data).unwrap() });
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.rest.push_str(std::str::from_utf8(&data).unwrap());
            }
        }
    }
}

impl Shop {
    /// A shop at `base` (`http://127.0.0.1:…`) whose tokens are signed with `secret`.
    pub fn new(base: &str, secret: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let nobody = Person { token: String::new() };
        let mut shop = Self { base: base.to_owned(), secret: secret.to_owned(), client, admin: nobody };
        shop.admin = shop.person("ADMIN");
        shop
    }

    /// Somebody new; the contract lets holders of the secret mint tokens.
    pub fn person(&self, role: &str) -> Person {
        let id = Uuid::new_v4();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "sub": id.to_string(), "role": role, "iat": now, "exp": now + 3600, "jti": Uuid::new_v4().to_string() });
        let key = jsonwebtoken::EncodingKey::from_secret(self.secret.as_bytes());
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        Person { token: jsonwebtoken::encode(&header, &claims, &key).unwrap() }
    }

    /// Somebody with an account: who they are, and their id.
    pub async fn signed_up(&self, email: &str, name: &str) -> (Person, String) {
        let password = "correct horse battery";
        let body = json!({ "email": email, "password": password, "name": name });
        let id = id_of(&self.post("/auth/signup").json(&body).send().await.expect(201));
        let body = json!({ "email": email, "password": password });
        let tokens = self.post("/auth/login").json(&body).send().await.expect(200);
        (Person { token: tokens["accessToken"].as_str().unwrap().to_owned() }, id)
    }

    pub fn buyer(&self) -> Person {
        self.person("USER")
    }

    fn call(&self, method: Method, path: &str) -> Call {
        let uri = format!("{}/api/v1{path}", self.base);
        Call { shop: self.clone(), request: Request::builder().method(method).uri(uri), body: Bytes::new() }
    }

    /// A `GET` without the base path.
    pub async fn probe(&self, path: &str) -> Reply {
        let request = Request::builder().uri(format!("{}{path}", self.base));
        Call { shop: self.clone(), request, body: Bytes::new() }.send().await
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A new venue's id.
    pub async fn venue(&self) -> String {
        let body = json!({ "name": "Example House", "address": "1 Example Road", "city": "Seoul" });
        id_of(&self.post("/venues").by(&self.admin).json(&body).send().await.expect(201))
    }

    /// A new hall's id, given in one of the two ways.
    pub async fn hall(&self, seating: &Value) -> String {
        let mut body = json!({ "name": "Main" });
        body.as_object_mut().unwrap().extend(seating.as_object().unwrap().clone());
        let venue = self.venue().await;
        let made = self.post(&format!("/venues/{venue}/halls")).by(&self.admin).json(&body).send().await;
        id_of(&made.expect(201))
    }

    /// A hall of a few rows: `A` is `VIP`, the others are `S`.
    pub async fn small_hall(&self, rows: &[&str], seats_per_row: u32) -> String {
        let grade = |row: &&str| (row.to_string(), if *row == "A" { "VIP" } else { "S" }.into());
        let grades: serde_json::Map<String, Value> = rows.iter().map(grade).collect();
        self.hall(&json!({ "seatTemplate": { "rows": rows, "seatsPerRow": seats_per_row, "gradeMapping": grades } }))
            .await
    }

    /// What an event needs, on sale now and without a waiting room, but for `changes`.
    pub fn event_body(hall: &str, changes: &Value) -> Value {
        let mut body = json!({
            "title": "Evening of Examples", "artist": "The Samples", "hallId": hall,
            "startsAt": in_days(30), "endsAt": in_days(31), "saleStartsAt": in_days(-1), "saleEndsAt": in_days(29),
            "currency": "KRW", "prices": { "VIP": 150_000, "S": 90_000 }, "admission": { "required": false },
        });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    /// A new event's id.
    pub async fn event(&self, hall: &str, changes: &Value) -> String {
        let made = self.post("/events").by(&self.admin).json(&Self::event_body(hall, changes)).send().await;
        id_of(&made.expect(201))
    }

    /// An event on sale now, without a waiting room, in a hall of two rows of ten.
    pub async fn small_event(&self, changes: &Value) -> String {
        let hall = self.small_hall(&["A", "B"], 10).await;
        self.event(&hall, changes).await
    }

    /// Enters, unless the server dies meanwhile: the place of who was answered.
    pub async fn tries_to_enter(&self, event: &str, buyer: &Person) -> Option<Value> {
        let call = self.post("/queue/enter").by(buyer).json(&json!({ "eventId": event }));
        let request = call.request.body(Full::new(call.body)).unwrap();
        let response = tokio::time::timeout(TIMEOUT, self.client.request(request)).await.unwrap().ok()?;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(TIMEOUT, body.collect()).await.unwrap().ok()?.to_bytes();
        (parts.status == StatusCode::OK).then(|| serde_json::from_slice(&body).unwrap())
    }

    /// Enters, and waits until let in: the queue token.
    pub async fn admitted(&self, event: &str, buyer: &Person) -> String {
        let entered = self.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await;
        let mut place = entered.expect(200);
        let asked = tokio::time::Instant::now();
        while place["status"] != "ACTIVE" {
            assert!(asked.elapsed() < TIMEOUT, "not let in: {place}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            place = self.get(&format!("/queue/status?eventId={event}")).by(buyer).send().await.expect(200);
        }
        place["token"].as_str().unwrap().to_owned()
    }

    /// Asks for these seats.
    pub async fn hold(&self, event: &str, buyer: &Person, seats: &[&str]) -> Reply {
        let body = json!({ "eventId": event, "seatIds": seats });
        self.post("/reservations/hold").by(buyer).json(&body).send().await
    }

    /// Takes one seat after the other of a long row, each for another buyer, until one is not given; answers that.
    pub async fn hold_until_refused(&self, event: &str, row: char) -> Reply {
        let began = Instant::now();
        for seat in 1.. {
            let actual = self.hold(event, &self.buyer(), &[&format!("{row}-{seat}")]).await;
            if actual.status != 201 {
                return actual;
            }
            assert!(began.elapsed() < TIMEOUT, "nothing is refused");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!()
    }

    /// Opens a payment of a reservation.
    pub async fn pay(&self, buyer: &Person, reservation: &Value) -> Reply {
        let body = json!({
            "reservationId": reservation["reservationId"], "amount": reservation["totalAmount"], "paymentMethod": "CARD",
        });
        self.post("/payments").by(buyer).json(&body).send().await
    }

    /// Confirms an opened payment.
    pub async fn confirm(&self, buyer: &Person, payment: &Value, transaction: &str) -> Reply {
        self.post("/payments/confirm").by(buyer).json(&confirmation(payment, transaction)).send().await
    }

    /// Holds and pays for seats: the confirmed reservation.
    pub async fn buy(&self, event: &str, buyer: &Person, seats: &[&str]) -> Value {
        let held = self.hold(event, buyer, seats).await.expect(201);
        let payment = self.pay(buyer, &held).await.expect(201);
        self.confirm(buyer, &payment, "sim_ok").await.expect(200);
        self.reservation(buyer, &held).await
    }

    /// A reservation as it stands.
    pub async fn reservation(&self, buyer: &Person, reservation: &Value) -> Value {
        let id = reservation["reservationId"].as_str().unwrap();
        self.get(&format!("/reservations/{id}")).by(buyer).send().await.expect(200)
    }

    /// Who has which seats, at an event without a waiting room.
    pub async fn seats(&self, event: &str) -> Value {
        self.seats_of(event, &self.buyer(), "").await
    }

    /// Who has which seats, for somebody who was let in.
    pub async fn seats_of(&self, event: &str, buyer: &Person, token: &str) -> Value {
        self.get(&format!("/reservations/seats/{event}")).by(buyer).admitted(token).send().await.expect(200)
    }
}

/// The body of a confirmation.
pub fn confirmation(payment: &Value, transaction: &str) -> Value {
    json!({
        "reservationId": payment["reservationId"], "paymentId": payment["paymentId"],
        "paymentKey": payment["paymentKey"], "transactionId": transaction, "amount": payment["amount"],
    })
}

/// The id of what was made.
pub fn id_of(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// An instant so many days from now.
pub fn in_days(days: i64) -> String {
    in_seconds(days * 86_400)
}

/// An instant so many seconds from now.
pub fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// A time zone in which it is between twelve and one o'clock now: what begins there within hours begins today.
pub fn zone_at_noon() -> String {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    // The names of these zones count hours to the west of Greenwich.
    match hour - 12 {
        0 => "Etc/UTC".to_owned(),
        west => format!("Etc/GMT{west:+}"),
    }
}

/// The ids in a list of answers.
pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}
