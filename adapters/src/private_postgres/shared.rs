//! The cluster that all tests of a checkout share, whatever process they run in: the first one starts it, a watchdog
//! stops it when the last one has ended, and each test has a database of its own, copied from one with the schema.

use super::{Durability, Place, wait_until};
use crate::postgres::{DatabaseUrl, Postgres, Settings};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use uuid::Uuid;

/// Waits until nobody uses the cluster, checks again a little later, and stops and removes it. `$1` is held by each process that
/// uses it, `$2` is the cluster.
const WATCHDOG: &str = "while :; do
        flock -x \"$1\" true; sleep 3
        flock -n -x \"$1\" sh -c 'kill -QUIT $(head -1 \"$0/data/postmaster.pid\"); sleep 0.5; rm -rf \"$0\"' \"$2\" && exit
    done &";

/// Statements are counted, for tests that ask how many there were.
const SETTINGS: &[&str] = &["shared_buffers = '64MB'", "shared_preload_libraries = 'pg_stat_statements'"];

/// The cluster, as long as this process uses it.
struct Shared {
    place: Place,
    _used: File,
}

/// A database of one's own in the cluster that all tests share. Dropped, it goes away.
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// A database with the schema and nothing in it.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn create() -> Self {
        let place = &shared().place;
        let name = format!("test_{}", Uuid::new_v4().simple());
        place.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", template()));
        Self { url: place.url(&name), name }
    }

    /// A database with nothing at all.
    ///
    /// # Panics
    /// As [`TestDatabase::create`].
    #[must_use]
    pub fn empty() -> Self {
        let place = &shared().place;
        let name = format!("test_{}", Uuid::new_v4().simple());
        place.sql("postgres", &format!("CREATE DATABASE {name}"));
        Self { url: place.url(&name), name }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL, read.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn database_url(&self) -> DatabaseUrl {
        DatabaseUrl::parse(&self.url).expect("a URL")
    }

    /// Runs a query until it answers so.
    ///
    /// # Panics
    /// If it never does.
    pub fn until(&self, sql: &str, expected: &str) {
        wait_until(sql, || self.sql(sql) == expected);
    }

    /// Runs statements and answers what they print, unaligned.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn sql(&self, sql: &str) -> String {
        shared().place.sql(&self.name, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-d", &shared().place.url("postgres"), "-c", &drop]);
        // Should it fail, the cluster itself goes away soon.
        let _ = psql.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(Shared::enter)
}

/// The database that others are copied from: of this version of the schema.
fn template() -> String {
    format!("schema_{}", Postgres::schema_fingerprint())
}

/// A directory for this checkout.
fn home() -> PathBuf {
    let checkout = blake3::hash(env!("CARGO_MANIFEST_DIR").as_bytes()).to_hex();
    let home = std::env::temp_dir().join(format!("onsale-tests-{}", &checkout[..12]));
    fs::create_dir_all(&home).expect("a directory");
    home
}

fn lock_file(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).expect("a lock file")
}

impl Shared {
    /// Begins to use the cluster; starts it if nobody has.
    fn enter() -> Self {
        let home = home();
        let used = lock_file(&home.join("used"));
        used.lock_shared().expect("a lock");
        let starting = lock_file(&home.join("starting"));
        starting.lock().expect("a lock");
        let dir = home.join("cluster");
        let place = Self::running(&dir).unwrap_or_else(|| {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).expect("a directory");
            let place = Place::make(&dir, Durability::Unsynced, SETTINGS);
            fs::write(home.join("port"), place.port.to_string()).expect("the port is noted");
            watch(&home.join("used"), &dir);
            place
        });
        make_template(&place);
        Self { place, _used: used }
    }

    /// The cluster that another process has started.
    fn running(dir: &Path) -> Option<Place> {
        let port = fs::read_to_string(dir.parent()?.join("port")).ok()?.parse().ok()?;
        let place = Place { data: dir.join("data"), log: dir.join("log"), port };
        let is_ready = Command::new("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
        (place.data.join("postmaster.pid").is_file() && is_ready.ok()?.success()).then_some(place)
    }
}

fn watch(used: &Path, dir: &Path) {
    let mut watchdog = Command::new("sh");
    watchdog.args(["-c", WATCHDOG, "sh"]).arg(used).arg(dir).process_group(0);
    watchdog.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It lives on in the background.
    assert!(watchdog.status().expect("sh").success(), "the watchdog does not start");
}

/// Makes the database that others are copied from; only one process at a time comes here.
fn make_template(place: &Place) {
    let name = template();
    let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate");
    if !place.sql("postgres", &exists).is_empty() {
        return;
    }
    place.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    place.sql("postgres", &format!("CREATE DATABASE {name}"));
    let url = DatabaseUrl::parse(&place.url(&name)).expect("a URL");
    drop(Postgres::open(Settings::new(url)).expect("the schema is made"));
    // A database that somebody is connected to is not copied.
    let connected = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    wait_until("leaving the database", || place.sql("postgres", &connected) == "0");
    place.sql("postgres", &format!("ALTER DATABASE {name} IS_TEMPLATE true"));
}
