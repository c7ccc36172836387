//! A waiting room that lies as scripted: the load generator must notice. Speaks just enough HTTP/1.1.

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const EVENT: &str = "0190a5b8-7a2e-7c3d-9e4f-0123456789ab";
const RATE: u64 = 40;
const OPENS_AFTER: i64 = 2_500_000;
const TOKEN: i64 = 600_000_000;

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Neighbours in the line are let in the other way round.
    OutOfOrder,
    /// Two buyers have the same rank.
    SameRank,
    /// Twice as many as allowed are let in.
    TooFast,
}

/// A running server; it ends with its runtime.
pub struct Fake {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

struct Line {
    lie: Lie,
    opens: i64,
    places: Mutex<HashMap<String, i64>>,
}

impl Fake {
    pub fn start(lie: Lie) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = socket.local_addr().unwrap();
        let line = Arc::new(Line { lie, opens: now() + OPENS_AFTER, places: Mutex::default() });
        runtime.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let line = Arc::clone(&line);
                let service = service_fn(move |request| {
                    let line = Arc::clone(&line);
                    async move { Ok::<_, Infallible>(line.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, _runtime: runtime }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn event(&self) -> &'static str {
        EVENT
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn rfc3339(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap().to_string()
}

impl Line {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let bearer = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        request.into_body().collect().await.unwrap();
        let answer = match path.as_str() {
            "/metrics" => return Response::new(Full::from("onsale_invariant_violations 0\n")),
            "/api/v1/queue/enter" => {
                // As slow as a real one, so that several ask at the same time.
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.place(bearer.unwrap(), true)
            }
            "/api/v1/queue/status" => self.place(bearer.unwrap(), false),
            _ if path.ends_with(EVENT) => json!({
                "saleStartsAt": rfc3339(self.opens), "categories": [],
                "admission": { "ratePerSecond": RATE, "tokenSeconds": TOKEN / 1_000_000, "absentSeconds": 300 },
            }),
            _ => {
                let mut nothing = Response::new(Full::from("{}"));
                *nothing.status_mut() = StatusCode::NOT_FOUND;
                return nothing;
            }
        };
        Response::new(Full::from(answer.to_string()))
    }

    fn place(&self, bearer: String, enters: bool) -> Value {
        let mut places = self.places.lock().unwrap();
        let next = places.len() as i64;
        let at = if enters { *places.entry(bearer).or_insert(next) } else { places[&bearer] };
        let turn = if self.lie == Lie::OutOfOrder { at ^ 1 } else { at };
        let rate = if self.lie == Lie::TooFast { 2 * RATE } else { RATE } as i64;
        let due = self.opens + turn * 1_000_000 / rate;
        let passed = ((now() - self.opens) * rate / 1_000_000 + 1).max(0);
        let rank = at + 1 - i64::from(self.lie == Lie::SameRank && at == 7);
        let status = match now() {
            now if now >= due => "ACTIVE",
            now if now >= self.opens => "WAITING",
            _ => "PRE_QUEUE",
        };
        let is_in = status == "ACTIVE";
        let rank = if is_in {
            0
        } else if status == "WAITING" {
            (rank - passed).max(1)
        } else {
            rank
        };
        json!({
            "eventId": EVENT, "status": status, "rank": rank, "totalInQueue": places.len(), "pollAfterSeconds": 1,
            "token": is_in.then_some("qr_fake"), "tokenExpiresAt": is_in.then(|| rfc3339(due + TOKEN)),
        })
    }
}
