//! The real binary as a child process: started on a free port and a data directory of its own, watched until it is
//! ready, killed without warning, and asked to verify what it left behind.

use onsale_server::client::{Call, Client};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The secret that servers started here sign with, so that tools mint their own buyers.
pub const JWT_SECRET: &str = "a secret of the load tools, never of a real server";
/// The administrator of servers started here.
pub const ADMIN: (&str, &str) = ("admin@example.com", "a-long-admin-password");
/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a starting server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Why a server did not do as it should.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The file system or the operating system returned an error.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It ended, or did not become ready.
    #[error("the server did not become ready: {0}")]
    NotReady(String),
}

/// How servers are started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The binary.
    pub onsale: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Settings by their names in the environment, on top of the ones that every server here gets.
    pub settings: Vec<(String, String)>,
    /// Whether it is in a process group of its own, so that an interrupt at the terminal is for the tool alone. Only
    /// for tools that end their server when they are interrupted.
    pub is_apart: bool,
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    /// A client of it.
    pub client: Client,
    /// From its start until it was ready.
    pub ready_after: Duration,
}

impl Launch {
    /// A server of `onsale` with everything in `dir`, on a port that is free now.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn new(onsale: &Path, dir: &Path) -> Result<Self, ProcessError> {
        Ok(Self {
            onsale: onsale.to_owned(),
            data: dir.join("data"),
            log: dir.join("server.log"),
            port: free_port()?,
            settings: Vec::new(),
            is_apart: false,
        })
    }

    /// Where it will listen.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub async fn start(&self) -> Result<Server, ProcessError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |error| ProcessError::Io(what, error)
        };
        let log = File::options().create(true).append(true).open(&self.log).map_err(io("the server's log"))?;
        let mut command = Command::new(&self.onsale);
        if self.is_apart {
            command.process_group(0);
        }
        let child = command
            .arg("--config")
            .arg(self.config()?)
            .env("ONSALE__SERVER__LISTEN", format!("127.0.0.1:{}", self.port))
            .env("ONSALE__STORAGE__KIND", "embedded")
            .env("ONSALE__STORAGE__PATH", &self.data)
            .env("ONSALE__RATE_LIMIT__ENABLED", "false")
            .env("ONSALE__PAYMENT__PROVIDER", "simulated")
            .env("ONSALE__AUTH__JWT_SECRET", JWT_SECRET)
            .env("ONSALE_BOOTSTRAP_ADMIN", format!("{}:{}", ADMIN.0, ADMIN.1))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(io("the server's log"))?)
            .stderr(log)
            .spawn()
            .map_err(io(&self.onsale.display().to_string()))?;
        let started = Instant::now();
        let mut server = Server { child, client: Client::new(self.base()), ready_after: Duration::ZERO };
        server.wait_until_ready(started).await.map_err(|why| ProcessError::NotReady(self.last_words(&why)))?;
        Ok(server)
    }

    /// Runs `onsale verify --json` on a data directory that no server works on, or on the configured storage.
    ///
    /// # Errors
    /// When it cannot be run at all.
    pub fn verify(&self, data: Option<&Path>) -> Result<Output, ProcessError> {
        Command::new(&self.onsale)
            .arg("--config")
            .arg(self.config()?)
            .args(["verify", "--json"])
            .args(data)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| ProcessError::Io(self.onsale.display().to_string(), error))
    }

    /// An empty configuration beside the log: everything is a default or comes from the environment.
    fn config(&self) -> Result<PathBuf, ProcessError> {
        let path = self.log.with_file_name("config.toml");
        let written = std::fs::write(&path, "");
        written.map_err(|error| ProcessError::Io(path.display().to_string(), error))?;
        Ok(path)
    }

    fn last_words(&self, why: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("{why}; its last lines:\n{}", lines.join("\n"))
    }
}

impl Server {
    async fn wait_until_ready(&mut self, started: Instant) -> Result<(), String> {
        while started.elapsed() < START_TIMEOUT {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if self.client.send(&Call::get("/health/ready")).await.is_ok_and(|answer| answer.status == 200) {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(format!("it is not ready after {START_TIMEOUT:?}"))
    }

    /// Its number in the operating system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(mut self) -> Result<(), ProcessError> {
        let io = |error| ProcessError::Io("kill -9".into(), error);
        self.child.kill().map_err(io)?;
        self.child.wait().map_err(io)?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already dead after `kill`; then this fails and nothing is lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, ProcessError> {
    let io = |error| ProcessError::Io("a free port".into(), error);
    Ok(TcpListener::bind("127.0.0.1:0").map_err(io)?.local_addr().map_err(io)?.port())
}

/// Copies the files of a directory, which has no directories in it.
///
/// # Errors
/// As the file system says.
pub fn copy_dir(from: &Path, to: &Path) -> Result<(), ProcessError> {
    let copy = || -> io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| ProcessError::Io(format!("copying {}", from.display()), error))
}
