//! The load tool: `wrk`, whose requests come from scripts. The same script, with the same requests, is sent to the server
//! and to the ceiling. Owns the scripts and reads their results; must never count an answer that did not come.

use super::CompareError;
use crate::scene::{HOLD_PATH, Hall, SEATS_PER_HOLD, status_path};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to do when there is no `wrk`.
const INSTALL: &str = "it is the load tool; on Debian: apt-get install wrk";

/// What one run of `wrk` saw.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Seen {
    /// Answers.
    pub requests: u64,
    /// From first to last, in microseconds.
    pub micros: u64,
    /// Connections and answers that went wrong.
    pub broken: u64,
    /// Answers of 400 and above.
    pub refused: u64,
    /// Half of the answers took at most so many microseconds (closed loop: no measure of a crowd).
    pub p50: f64,
    /// All but one in a hundred took at most so many microseconds.
    pub p99: f64,
    /// Processor time of the server for each answer, in microseconds, whatever it was spent on.
    #[serde(default)]
    pub processor_micros: f64,
}

impl Seen {
    /// Answers a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros.max(1) as f64
    }
}

/// Bearer tokens of one length, one after the other in a file.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The file.
    pub file: PathBuf,
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub width: usize,
}

impl Tokens {
    /// Writes tokens down.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(file: PathBuf, tokens: impl Iterator<Item = String>) -> Result<Self, CompareError> {
        let (mut text, mut count, mut width) = (String::new(), 0, 0);
        for token in tokens {
            if count > 0 && token.len() != width {
                return Err(CompareError::Wrong("tokens differ in their length".into()));
            }
            (count, width) = (count + 1, token.len());
            text.push_str(&token);
        }
        std::fs::write(&file, text)?;
        Ok(Self { file, count, width })
    }
}

/// Reads tokens in order, each thread from a place of its own, again from the start when they are used up; and prints
/// what was seen in one line.
const COMMON: &str = r#"
local started = 0
function setup(thread)
  thread:set("number", started)
  started = started + 1
end

local file, at
local function open(first)
  file = assert(io.open(TOKENS, "rb"))
  at = first % COUNT
  file:seek("set", at * WIDTH)
end

local function token()
  if at == COUNT then
    file:seek("set", 0)
    at = 0
  end
  at = at + 1
  return file:read(WIDTH)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nSEEN {"requests":%d,"micros":%d,"broken":%d,"refused":%d,"p50":%.1f,"p99":%.1f}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout,
    errors.status, latency:percentile(50), latency:percentile(99)))
end
"#;

/// A buyer after the other holds a pair after the other; threads begin far apart.
const HOLD: &str = r#"
local n
function init()
  n = math.floor(number * HOLDS / THREADS)
  open(n)
end

function request()
  local m = n % HOLDS
  local event = EVENTS[math.floor(m / PAIRS) + 1]
  m = m % PAIRS
  local row = math.floor(m / IN_ROW) + 1
  local seat = m % IN_ROW * 2 + 1
  n = n + 1
  local body = string.format('{"eventId":"%s","seatIds":["R%d-%d","R%d-%d"]}', event, row, seat, row, seat + 1)
  return HEAD .. token() .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end
"#;

/// Everybody sends the same but for their token.
const SAME: &str = r#"
function init() open(math.floor(number * COUNT / THREADS)) end
function request() return HEAD .. token() .. TAIL end
"#;

fn head_of(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ")
}

fn constants(tokens: &Tokens, threads: usize) -> String {
    let Tokens { file, count, width } = tokens;
    format!("local TOKENS, COUNT, WIDTH, THREADS = {file:?}, {count}, {width}, {threads}\n")
}

/// A script that holds pair after pair of these events.
#[must_use]
pub fn hold_script(tokens: &Tokens, threads: usize, hall: &Hall, events: &[String]) -> String {
    let (pairs, in_row) = (hall.pairs(), hall.seats_per_row / SEATS_PER_HOLD);
    let (holds, names) = (pairs * events.len() as u64, events.iter().map(|event| format!("{event:?},")));
    let ours = format!(
        "local EVENTS = {{{}}}\nlocal HOLDS, PAIRS, IN_ROW, HEAD = {holds}, {pairs}, {in_row}, {:?}\n",
        names.collect::<String>(),
        head_of("POST", HOLD_PATH),
    );
    [&constants(tokens, threads), COMMON, &ours, HOLD].concat()
}

/// A script that asks for the first pair of an event, again and again.
#[must_use]
pub fn same_hold_script(tokens: &Tokens, threads: usize, hall: &Hall, event: &str) -> String {
    let body = hall.hold_body(event, 0);
    let tail = format!("\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    same(tokens, threads, &head_of("POST", HOLD_PATH), &tail)
}

/// A script that reads place after place of an event's line.
#[must_use]
pub fn status_script(tokens: &Tokens, threads: usize, event: &str) -> String {
    same(tokens, threads, &head_of("GET", &status_path(event)), "\r\n\r\n")
}

fn same(tokens: &Tokens, threads: usize, head: &str, tail: &str) -> String {
    // Rust's and Lua's quoted strings agree on what stands here: printable ASCII, \r, \n and \".
    let ours = format!("local HEAD, TAIL = {head:?}, {tail:?}\n");
    [&constants(tokens, threads), COMMON, &ours, SAME].concat()
}

/// Makes sure that there is a `wrk`.
///
/// # Errors
/// With what to do, when there is none.
pub fn check() -> Result<(), CompareError> {
    let found = Command::new("wrk").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.map(drop).map_err(|error| CompareError::Wrk(format!("{error}; {INSTALL}")))
}

/// Runs a script against a port of this machine.
///
/// # Errors
/// [`CompareError::Wrk`].
pub fn run(script: &Path, port: u16, threads: usize, connections: usize, seconds: u64) -> Result<Seen, CompareError> {
    let output = Command::new("wrk")
        .args(["--threads", &threads.to_string(), "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--timeout", "5s", "--script"])
        .arg(script)
        .arg(format!("http://127.0.0.1:{port}/"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CompareError::Wrk(format!("{error}; {INSTALL}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seen = text.lines().find_map(|line| serde_json::from_str(line.strip_prefix("SEEN ")?).ok());
    seen.ok_or_else(|| CompareError::Wrk(format!("{text}{}", String::from_utf8_lossy(&output.stderr))))
}
