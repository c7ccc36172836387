//! A private Redis for one test: Debian's `redis-server` in a directory of its own, on a socket of its own, ended with
//! the test however that ends. It can be killed, started again, paused, and wiped. Where the program is missing the
//! test fails. Must never be in a release build.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end on its first surprise")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running (or killed) server.
pub struct RedisServer {
    dir: TempDir,
    arguments: Vec<String>,
    tls_port: Option<u16>,
    child: Option<Child>,
    paused: bool,
}

impl RedisServer {
    /// One in memory, on a Unix socket.
    pub fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), &[], None)
    }

    /// One with more arguments; `tls_port` is where its arguments make it listen too.
    pub fn with(dir: TempDir, arguments: &[&str], tls_port: Option<u16>) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { dir, arguments, tls_port, child: None, paused: false };
        server.start_again();
        server
    }

    /// Starts it (again); what it had in memory is gone.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let _ = std::fs::remove_file(self.socket());
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--unixsocket"]);
        command.arg(self.socket()).arg("--dir").arg(self.dir.path()).args(&self.arguments);
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
        self.child = Some(spawned.expect("redis-server is needed: scripts/setup installs it"));
        let until = Instant::now() + TIMEOUT;
        while self.try_command("PING").is_none_or(|answer| answer.contains("LOADING")) {
            assert!(Instant::now() < until, "redis-server does not start:\n{}", self.log());
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "redis-server has ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let port = self.tls_port;
        while port.is_some_and(|port| TcpStream::connect(("127.0.0.1", port)).is_err()) {
            assert!(Instant::now() < until, "it does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.paused = false;
    }

    /// It stops where it is (SIGSTOP), its sockets open: requests are neither answered nor refused.
    pub fn pause(&mut self) {
        self.signal("-STOP");
        self.paused = true;
    }

    /// It goes on.
    pub fn resume(&mut self) {
        self.signal("-CONT");
        self.paused = false;
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// It loses everything.
    pub fn wipe(&self) {
        assert_eq!(self.command("FLUSHALL"), "+OK\r\n");
    }

    /// Sends one command and answers the reply as it is on the wire.
    pub fn command(&self, command: &str) -> String {
        self.try_command(command).expect("it answers")
    }

    fn try_command(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned())
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.bulks("KEYS *");
        keys.sort();
        keys
    }

    /// The strings of a reply that is a list of them.
    pub fn bulks(&self, command: &str) -> Vec<String> {
        let answer = self.command(command);
        let lines = answer.split("\r\n").filter(|line| !line.starts_with(['*', '$']));
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if self.paused {
            self.resume();
        }
        self.kill();
    }
}
