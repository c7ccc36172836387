//! PostgreSQL for tests and benches, from the machine's own packages: a cluster of one's own that can be stopped,
//! started again and paused, or a database of one's own in a cluster that all tests of a checkout share. Without an
//! installed server it panics: a missing service must fail a test. Must never be needed by the server.
#![allow(clippy::panic, clippy::expect_used, reason = "only tests and benches have it")]

mod shared;

pub use shared::TestDatabase;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The owner of everything in a private cluster; there is no password, and it only listens on this machine.
const USER: &str = "onsale";
/// How long a cluster may take to start or stop.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Tries to start, each on another port: somebody may have taken one meanwhile.
const TRIES: usize = 5;

/// What a cluster promises of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It syncs, as in production.
    Synced,
    /// It does not: faster, and all the same as long as the machine keeps its power.
    Unsynced,
}

/// A cluster of one's own. It is stopped and removed when this is dropped, also when its process dies.
pub struct PrivatePostgres {
    place: Place,
    /// Stops the cluster when this end of the pipe is closed.
    guard: Option<(Child, ChildStdin)>,
    _dir: TempDir,
}

/// Where a cluster is, and on which port.
struct Place {
    data: PathBuf,
    log: PathBuf,
    port: u16,
}

impl PrivatePostgres {
    /// Makes and starts a cluster.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(durability: Durability, settings: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("onsale-postgres-").tempdir().expect("a directory");
        let place = Place::make(dir.path(), durability, settings);
        let guard = place.guard(dir.path());
        Self { place, guard: Some(guard), _dir: dir }
    }

    /// A streaming replica of this cluster, on another port of this machine.
    ///
    /// # Panics
    /// If it is not made or does not start.
    #[must_use]
    pub fn replica(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("onsale-replica-").tempdir().expect("a directory");
        own(dir.path()).expect("the directory belongs to the server's user");
        let place = Place { data: dir.path().join("data"), log: dir.path().join("log"), port: free_port() };
        let mut copy = server_command("pg_basebackup");
        copy.args(["-R", "-c", "fast", "-X", "stream", "-d", &self.url("postgres"), "-D"]).arg(&place.data);
        succeed(copy);
        let file = place.data.join("postgresql.auto.conf");
        let mut config = fs::read_to_string(&file).expect("the configuration is read");
        let socket = place.data.display();
        config.push_str(&format!("port = {}\nunix_socket_directories = '{socket}'\n", place.port));
        fs::write(&file, config).expect("the configuration is written");
        place.control(&["start", "-w", "-l", &place.log.display().to_string()]);
        let guard = place.guard(dir.path());
        Self { place, guard: Some(guard), _dir: dir }
    }

    /// The URL of a database in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.place.url(database)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Makes an empty database and answers its URL.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        self.place.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    /// Runs statements and answers what they print, unaligned.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.place.sql(database, sql)
    }

    /// Ends the server: `fast` breaks off connections, `immediate` is a crash.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self, mode: &str) {
        self.place.control(&["stop", "-w", "-m", mode]);
    }

    /// Starts the server again after [`PrivatePostgres::stop`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.place.control(&["start", "-w", "-l", &self.place.log.display().to_string()]);
    }

    /// Sends SIGSTOP to every process of the cluster: it accepts connections and says nothing.
    ///
    /// # Panics
    /// If there is none.
    pub fn pause(&self) {
        self.place.signal("-STOP");
    }

    /// Lets a paused cluster go on.
    ///
    /// # Panics
    /// If there is none.
    pub fn resume(&self) {
        self.place.signal("-CONT");
    }

    /// Runs a query until it answers so.
    ///
    /// # Panics
    /// If it never does.
    pub fn until(&self, database: &str, sql: &str, expected: &str) {
        wait_until(sql, || self.sql(database, sql) == expected);
    }

    /// Speaks TLS from now on, with this key and certificate.
    ///
    /// # Panics
    /// If they cannot be used.
    pub fn use_certificate(&self, key: &Path, certificate: &Path) {
        for (from, name) in [(key, "server.key"), (certificate, "server.crt")] {
            let to = self.place.data.join(name);
            fs::copy(from, &to).expect("a copy");
            own_file(&to).expect("it belongs to the server's user");
        }
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.place.control(&["reload"]);
        self.until("postgres", "SHOW ssl", "on");
    }

    /// The directory with its files.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.place.data
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some((mut guard, pipe)) = self.guard.take() {
            drop(pipe);
            let _ = guard.wait();
        }
    }
}

impl Place {
    /// Makes a cluster in `dir` and starts it.
    fn make(dir: &Path, durability: Durability, settings: &[&str]) -> Self {
        let (data, log) = (dir.join("data"), dir.join("log"));
        own(dir).expect("the directory belongs to the server's user");
        let mut initdb = server_command("initdb");
        initdb.arg("-D").arg(&data).args(["-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        succeed(initdb);
        let on = if durability == Durability::Synced { "on" } else { "off" };
        let mut config = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 300\n\
             fsync = {on}\nfull_page_writes = {on}\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n",
            data.display()
        );
        settings.iter().for_each(|setting| config.push_str(&format!("{setting}\n")));
        let file = data.join("postgresql.auto.conf");
        fs::write(&file, config).expect("the configuration is written");
        let mut place = Self { data, log, port: 0 };
        for attempt in 1.. {
            place.port = free_port();
            let port = format!("-p {}", place.port);
            let mut start = server_command("pg_ctl");
            start.arg("-D").arg(&place.data).args(["start", "-w", "-s", "-o", &port, "-l"]).arg(&place.log);
            if run(&mut start).status.success() {
                break;
            }
            assert!(attempt < TRIES, "PostgreSQL does not start:\n{}", place.log_text());
        }
        // The port stays the same when it is started again.
        let mut config = fs::read_to_string(&file).expect("the configuration is read");
        config.push_str(&format!("port = {}\n", place.port));
        fs::write(&file, config).expect("the configuration is written");
        place
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]);
        String::from_utf8_lossy(&succeed(psql).stdout).trim_end().to_owned()
    }

    fn control(&self, args: &[&str]) {
        let mut command = server_command("pg_ctl");
        command.arg("-D").arg(&self.data).arg("-s").args(args);
        let output = run(&mut command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_ctl {args:?}: {errors}\n{}", self.log_text());
    }

    fn signal(&self, signal: &str) {
        let pid_file = fs::read_to_string(self.data.join("postmaster.pid")).expect("the server runs");
        let postmaster = pid_file.lines().next().expect("its number").to_owned();
        let mut all = vec![postmaster.clone()];
        all.extend(children_of(&postmaster));
        for process in all {
            // A child may just have ended.
            let _ = run(Command::new("kill").args([signal, &process]));
        }
    }

    /// A process that stops the cluster and removes `dir` as soon as this one closes the pipe, also by dying.
    fn guard(&self, dir: &Path) -> (Child, ChildStdin) {
        let script = "cat >/dev/null; kill -KILL $(head -1 \"$1/postmaster.pid\") 2>/dev/null;
            for left in 1 2 3 4 5 6 7 8 9 10; do rm -rf \"$2\" 2>/dev/null && break; sleep 0.1; done";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&self.data).arg(dir).stdin(Stdio::piped());
        // Of its own group, so that what ends the test's group does not end it before its work.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("sh");
        let pipe = child.stdin.take().expect("a pipe");
        (child, pipe)
    }
}

/// Processes whose parent is `parent`.
fn children_of(parent: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let is_child = |process: &String| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parent_of == Some(parent)
    };
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(is_child).collect()
}

/// Gives `dir` to the server's user, where this process is root: PostgreSQL refuses to be.
fn own(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    match server_user() {
        Some((user, group)) => chown(dir, Some(user), Some(group)),
        None => Ok(()),
    }
}

fn own_file(file: &Path) -> io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    server_user().map_or(Ok(()), |(user, group)| chown(file, Some(user), Some(group)))
}

/// The user `postgres`, if this process is root.
fn server_user() -> Option<(u32, u32)> {
    let effective = fs::read_to_string("/proc/self/status").ok()?;
    let user = effective.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    if user != "0" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let entry = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut members = entry.split(':').skip(2);
    Some((members.next()?.parse().ok()?, members.next()?.parse().ok()?))
}

/// A command of the newest installed server, run as its user.
fn server_command(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.is_file());
    found.sort();
    let path = found.pop().unwrap_or_else(|| panic!("PostgreSQL is not installed: run scripts/setup"));
    let mut command = Command::new(path);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    // Where what it starts lives on, its output must not be a pipe that is waited for.
    let lives_on = command.get_args().any(|argument| argument == "start");
    if lives_on {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn succeed(mut command: Command) -> Output {
    let output = run(&mut command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Asks until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < TIMEOUT, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}
