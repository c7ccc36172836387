//! Holds in Redis as people write them today: a Lua script that checks whether the seats are free and the buyer within
//! the limit, takes them, and leaves a reservation that ends by itself; on a Redis that syncs its log before it answers.
//! Every answer is checked, and afterwards every key is counted, also when the server was killed.

use super::{DatabasesError, Settings};
use crate::scene::{SEATS_PER_BUYER, SEATS_PER_HOLD};
use onsale_adapters::private_redis::RedisServer;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::{JoinSet, LocalSet};

/// KEYS: what the buyer has, the reservation, the seats. ARGV: the limit, the hold's seconds, the reservation's id, the
/// buyer, the amount. Answers 1, or why not.
const HOLD: &str = "
local taken = #KEYS - 2
if tonumber(redis.call('GET', KEYS[1]) or 0) + taken > tonumber(ARGV[1]) then return -1 end
for at = 3, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 1 then return 0 end
end
for at = 3, #KEYS do
  redis.call('SET', KEYS[at], ARGV[3], 'EX', ARGV[2])
end
redis.call('INCRBY', KEYS[1], taken)
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'buyer', ARGV[4], 'status', 'PENDING', 'seats', taken, 'amount', ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1";
/// As long as holds over HTTP live here: nothing ends while it is counted.
const HOLD_SECONDS: u64 = 3600;
/// Holds of one buyer.
const PER_BUYER: u64 = SEATS_PER_BUYER / SEATS_PER_HOLD;
/// Syncs its log before every answer; never rewrites it while it is measured.
const SYNCED: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];

/// Holds a second, from as many connections as the load tool has over HTTP, each waiting for its answer. They come over
/// a Unix socket from one thread, so that Redis has a processor for itself.
pub(super) fn measure(settings: &Settings) -> Result<f64, DatabasesError> {
    let mut server = RedisServer::with(tempfile::tempdir()?, &SYNCED, None);
    let setting = server.bulks("CONFIG GET appendfsync");
    if setting.last().map(String::as_str) != Some("always") {
        return Err(wrong(format!("appendfsync is {setting:?}")));
    }
    let time = Duration::from_secs(settings.seconds);
    let socket = PathBuf::from(server.url().trim_start_matches("redis+unix://"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (holds, took) = runtime.block_on(crowd(&socket, settings.connections, time))?;
    check(&server, holds)?;
    server.kill();
    server.start_again();
    check(&server, holds)?;
    Ok(holds as f64 / took.as_secs_f64())
}

fn wrong(what: String) -> DatabasesError {
    DatabasesError::Redis(what)
}

/// Two seats and a reservation for each hold, and what each buyer has; nothing else.
fn check(server: &RedisServer, holds: u64) -> Result<(), DatabasesError> {
    let expected = holds * (SEATS_PER_HOLD + 1) + holds.div_ceil(PER_BUYER);
    let size = server.command("DBSIZE");
    match size.trim_start_matches(':').trim().parse::<u64>() {
        Ok(keys) if keys == expected && holds > 0 => Ok(()),
        _ => Err(wrong(format!("{holds} holds make {expected} keys, but there are {size}"))),
    }
}

/// Answers how many were held, every one of them, and how long that took.
async fn crowd(socket: &Path, connections: usize, time: Duration) -> Result<(u64, Duration), DatabasesError> {
    let mut loader = UnixStream::connect(socket).await?;
    let load = command(&["SCRIPT", "LOAD", HOLD]);
    let mut buffer = Vec::new();
    let answer = ask(&mut loader, &load, &mut buffer).await?;
    let hash = answer.split("\r\n").nth(1).unwrap_or_default().to_owned();
    let number = Rc::new(AtomicU64::new(0));
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(UnixStream::connect(socket).await?);
    }
    let (local, started) = (LocalSet::new(), Instant::now());
    let mut all = JoinSet::new();
    for stream in streams {
        all.spawn_local_on(hold(stream, hash.clone(), Rc::clone(&number), started + time), &local);
    }
    local
        .run_until(async {
            while let Some(ended) = all.join_next().await {
                ended??;
            }
            Ok::<_, DatabasesError>(())
        })
        .await?;
    Ok((number.load(Ordering::Relaxed), started.elapsed()))
}

/// One connection: the next pair of seats, as soon as the last one is answered.
async fn hold(
    mut stream: UnixStream,
    hash: String,
    number: Rc<AtomicU64>,
    until: Instant,
) -> Result<(), DatabasesError> {
    let (limit, lives) = (SEATS_PER_BUYER.to_string(), HOLD_SECONDS.to_string());
    let mut buffer = Vec::new();
    while Instant::now() < until {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let (buyer, id) = (format!("{:032x}", n / PER_BUYER), format!("{n:032x}"));
        let seat = |at: u64| format!("seat:event:{}", n * SEATS_PER_HOLD + at);
        let (has, reservation, seats) = (format!("buyer:{buyer}"), format!("reservation:{id}"), [seat(0), seat(1)]);
        let keys = [&*has, &*reservation, &*seats[0], &*seats[1]];
        let head = ["EVALSHA", &*hash, "4"];
        let request = command(&[&head[..], &keys[..], &[&*limit, &*lives, &*id, &*buyer, "300000"]].concat());
        let answer = ask(&mut stream, &request, &mut buffer).await?;
        if answer != ":1\r\n" {
            return Err(wrong(format!("the script answers {answer:?}")));
        }
    }
    Ok(())
}

/// A command as it is on the wire.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Sends a command and reads its answer, which is one line, or a length and then a text.
async fn ask<'b>(
    stream: &mut UnixStream,
    command: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Result<std::borrow::Cow<'b, str>, DatabasesError> {
    stream.write_all(command).await?;
    buffer.clear();
    let is_whole = |answer: &[u8]| answer.ends_with(b"\r\n") && (answer[0] != b'$' || answer.len() > 8);
    while buffer.is_empty() || !is_whole(buffer) {
        if stream.read_buf(buffer).await? == 0 {
            return Err(wrong("redis has closed a connection".to_owned()));
        }
    }
    Ok(String::from_utf8_lossy(buffer))
}
