//! The open loop: requests leave when their time has come, whether or not earlier ones are answered, as a crowd's do,
//! and latency counts from the moment when a request should have left. The pace is kept by a thread of its own, since
//! the runtime's timers know milliseconds only.

use super::CompareError;
use crate::http1::Connection;
use crossbeam::queue::ArrayQueue;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The longest latency that is recorded as it is.
const LONGEST_MICROS: u64 = 60_000_000;
/// How long the pacing thread pauses while every connection waits for an answer.
const PAUSE: Duration = Duration::from_micros(20);

/// What became of the requests.
#[derive(Debug)]
pub struct Paced {
    /// Latencies from the scheduled time, in microseconds.
    pub latency: Histogram<u64>,
    /// Answers with the expected status.
    pub expected: u64,
    /// All other answers.
    pub others: u64,
    /// How long it took from the first scheduled time to the last answer.
    pub took: Duration,
}

/// One connection's order: when the request should have left, and which it is.
type Order = (Instant, Vec<u8>);

/// Sends `requests` at `rate` a second over so many connections.
///
/// # Errors
/// When a connection breaks.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    rate: u64,
    requests: Vec<Vec<u8>>,
    expected: u16,
) -> Result<Paced, CompareError> {
    let free = Arc::new(ArrayQueue::new(connections));
    let (mut orders, mut tasks) = (Vec::new(), Vec::new());
    for number in 0..connections {
        let connection = Connection::open(address).await?;
        let (send, receive) = mpsc::unbounded_channel();
        orders.push(send);
        let _ = free.push(number);
        tasks.push(tokio::spawn(serve(connection, receive, number, Arc::clone(&free), expected)));
    }
    let pacing =
        std::thread::Builder::new().name("open-loop".into()).spawn(move || pace(&orders, &free, rate, requests))?;
    let mut total = Paced { latency: histogram()?, expected: 0, others: 0, took: Duration::ZERO };
    let mut last = None;
    for task in tasks {
        let one = task.await.map_err(std::io::Error::other)??;
        total.latency.add(&one.latency).map_err(std::io::Error::other)?;
        total.expected += one.expected;
        total.others += one.others;
        last = last.max(one.last);
    }
    let began = pacing.join().map_err(|_| CompareError::Wrong("the pacing thread panicked".into()))?;
    total.took = last.map_or(Duration::ZERO, |last| last.duration_since(began));
    Ok(total)
}

fn histogram() -> Result<Histogram<u64>, CompareError> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 3).map_err(|error| CompareError::Wrong(error.to_string()))
}

/// Hands each request, when its time has come, to a connection that is free; answers when the first was due.
fn pace(
    orders: &[mpsc::UnboundedSender<Order>],
    free: &ArrayQueue<usize>,
    rate: u64,
    requests: Vec<Vec<u8>>,
) -> Instant {
    let began = Instant::now();
    for (n, request) in requests.into_iter().enumerate() {
        let due = began + Duration::from_nanos(n as u64 * 1_000_000_000 / rate.max(1));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let number = loop {
            match free.pop() {
                Some(number) => break number,
                None => std::thread::sleep(PAUSE),
            }
        };
        if orders[number].send((due, request)).is_err() {
            // The connection is broken; its task reports why.
            break;
        }
    }
    began
}

struct One {
    latency: Histogram<u64>,
    expected: u64,
    others: u64,
    last: Option<Instant>,
}

async fn serve(
    mut connection: Connection,
    mut orders: mpsc::UnboundedReceiver<Order>,
    number: usize,
    free: Arc<ArrayQueue<usize>>,
    expected: u16,
) -> Result<One, CompareError> {
    let mut one = One { latency: histogram()?, expected: 0, others: 0, last: None };
    while let Some((due, request)) = orders.recv().await {
        let status = connection.call(&request).await?.status;
        let now = Instant::now();
        let micros = u64::try_from(now.duration_since(due).as_micros()).unwrap_or(LONGEST_MICROS);
        one.latency.saturating_record(micros.max(1));
        one.last = Some(now);
        *(if status == expected { &mut one.expected } else { &mut one.others }) += 1;
        let _ = free.push(number);
    }
    Ok(one)
}
