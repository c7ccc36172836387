//! Starts the real binary on a free port with a data directory of its own, waits until it is ready, kills it, starts it
//! again. Waits by asking, with a deadline; never by sleeping to hope.

use crate::shop::{Shop, TIMEOUT};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The secret that test servers are configured with.
pub const SECRET: &str = "a secret for tests alone, 32 bytes and more";
/// How often something is asked while it is waited for.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The binary, without anything of the caller's environment that concerns it.
pub fn onsale() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ONSALE")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub fn run(configure: impl FnOnce(&mut Command)) -> Output {
    let mut command = onsale();
    configure(&mut command);
    command.output().unwrap()
}

/// What a server is started with.
pub struct Setup {
    env: Vec<(String, String)>,
    data: Option<TempDir>,
}

impl Setup {
    /// Overrides a key: `("SERVER__REQUEST_TIMEOUT_MS", "200")`.
    pub fn key(self, key: &str, value: &str) -> Self {
        self.env(&format!("ONSALE__{key}"), value)
    }

    /// Sets a variable by its whole name.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps everything in a Postgres database.
    pub fn postgres(self, url: &str) -> Self {
        self.key("STORAGE__KIND", "postgres").key("POSTGRES__URL", url)
    }

    /// Gives it a configuration file.
    pub fn file(mut self, text: &str) -> Self {
        let data = self.data.take().unwrap_or_else(|| tempfile::tempdir().unwrap());
        write(data.path(), "config.toml", text);
        self.data = Some(data);
        self
    }

    /// Takes a key away again: the server has its default.
    pub fn without(mut self, key: &str) -> Self {
        let name = format!("ONSALE__{key}");
        self.env.retain(|(known, _)| *known != name);
        self
    }

    /// Starts it, and waits until it is ready.
    pub async fn start(self) -> Server {
        let mut server = self.server();
        server.start_again().await;
        server
    }

    /// Starts it, and waits until it listens: something else keeps it from being ready.
    pub async fn stand_by(self) -> Server {
        let mut server = self.server();
        server.spawn();
        let until = Instant::now() + TIMEOUT;
        while server.port == 0 {
            assert!(Instant::now() < until, "it does not listen:\n{}", server.log());
            server.port = listening(&server.log()).map_or(0, |address| address.port());
            tokio::time::sleep(ASK_EVERY).await;
        }
        server
    }

    fn server(self) -> Server {
        let data = self.data.unwrap_or_else(|| tempfile::tempdir().unwrap());
        Server { env: self.env, data, port: 0, starts: 0, child: None }
    }
}

/// A running (or killed) server. Killed when dropped.
pub struct Server {
    env: Vec<(String, String)>,
    data: TempDir,
    port: u16,
    starts: u32,
    child: Option<Child>,
}

impl Server {
    /// A server with the defaults, but for its secret.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// The same, with changes.
    pub fn with() -> Setup {
        let env = [("ONSALE__AUTH__JWT_SECRET", SECRET), ("ONSALE__LOG__LEVEL", "info")];
        Setup { env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), data: None }
    }

    /// Starts it (again), on the port that it had, and waits until it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let until = Instant::now() + TIMEOUT;
        loop {
            self.spawn();
            match self.wait_ready(until).await {
                Ok(()) => return,
                // Somebody's outgoing connection may sit on the port for a moment.
                Err(log) if log.contains("cannot listen") && Instant::now() < until => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                Err(log) => panic!("the server did not start:\n{log}"),
            }
        }
    }

    fn spawn(&mut self) {
        self.starts += 1;
        let mut command = onsale();
        command.envs(self.env.iter().cloned());
        command.env("ONSALE__SERVER__LISTEN", format!("127.0.0.1:{}", self.port));
        command.env("ONSALE__STORAGE__PATH", self.data_path());
        command.current_dir(self.data.path());
        let log = File::create(self.log_path()).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    async fn wait_ready(&mut self, until: Instant) -> Result<(), String> {
        loop {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() || Instant::now() >= until {
                let log = self.log();
                self.kill();
                return Err(log);
            }
            if self.port == 0 {
                self.port = listening(&self.log()).map_or(0, |address| address.port());
            }
            if self.port != 0 && self.status("/health/ready") == Some(200) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// The status of a `GET` over a connection of its own; `None` when nobody answers.
    pub fn status(&self, path: &str) -> Option<u16> {
        let answer = self.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))?;
        answer.get(9..12)?.parse().ok()
    }

    /// Sends bytes over a connection of its own and reads until it is closed. `None` when nobody listens.
    pub fn raw(&self, bytes: &str) -> Option<String> {
        let mut stream = self.connect()?;
        stream.write_all(bytes.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// A connection, whose reads wait for a bounded time.
    pub fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Some(stream)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its base URL, without a path.
    pub fn base(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it runs: its file, its logs and its data are below.
    pub fn directory(&self) -> &Path {
        self.data.path()
    }

    /// Its data directory.
    pub fn data_path(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// A client of it, and an administrator.
    pub fn shop(&self) -> Shop {
        Shop::new(&self.base(), SECRET)
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join(format!("log-{}", self.starts))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `kill -9`, then starts it again on the same data.
    pub async fn crash(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// Sends SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// What it has in memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits until it is ready, or not.
    pub async fn until_ready(&self, ready: bool) {
        let until = Instant::now() + TIMEOUT;
        while (self.status("/health/ready") == Some(200)) != ready {
            assert!(Instant::now() < until, "ready {ready} takes too long:\n{}", self.log());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Waits until something is true of its log; answers the log.
    pub async fn log_when(&self, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + TIMEOUT;
        loop {
            let log = self.log();
            if is_so(&log) {
                return log;
            }
            assert!(Instant::now() < until, "it does not log that:\n{log}");
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.log());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// SIGTERM: it must drain and end with 0.
    pub async fn stop(mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let running = self.child.is_some();
        self.kill();
        if running && std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// The address in the first lines of a log.
fn listening(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|line| line["address"].as_str()?.parse().ok()).next()
}

/// Writes a file into a directory and answers its path.
pub fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
