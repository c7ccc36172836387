//! `[storage]` and `[postgres]`: where everything is kept, and how the database is spoken to. Of what is not chosen only
//! the form is checked.

use super::reader::Reader;
use super::{SECRET_BYTES, size};
use onsale_adapters::postgres::{DatabaseUrl, Settings};
use onsale_adapters::sqlite::Readers;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// Where the journal, accounts and catalogue are kept.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// In files of this process, or in a database. Default `embedded`.
    pub kind: StorageKind,
    /// The data directory, of which one process at a time is the owner. Default `data`. With Postgres, only a secret of
    /// access tokens that is not configured is kept there.
    pub path: PathBuf,
    /// Whether the group may read the data: files 0640 instead of 0600, directories 0750 instead of 0700, for volumes of a
    /// cluster. Default false. Turning it on lets everybody in the group read every buyer's data and every secret.
    pub group_readable: bool,
}

/// A kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// SQLite in the data directory.
    Embedded,
    /// Postgres.
    Postgres,
}

/// The database.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The primary; needed for `storage.kind = "postgres"`.
    pub url: Option<DatabaseUrl>,
    /// A replica that lists may be read from. Default none.
    pub read_url: Option<DatabaseUrl>,
    /// Connections for accounts, catalogue and lists. Default 8. Each is a process of the server's.
    pub pool_size: u32,
    /// How long a connection may take to be made. Milliseconds, default 2000.
    pub connect_timeout: Duration,
    /// How long a request waits for a connection, and its statement may run. Milliseconds, default 5000.
    pub statement_timeout: Duration,
    /// How long a batch of the journal may go unanswered before it is repeated. Milliseconds, default 10000.
    pub journal_timeout: Duration,
    /// How long the active node may be silent before another takes over. Milliseconds, default 6000.
    pub lease: Duration,
    /// What the journal's chain is keyed with, at least 32 bytes. Default: one that is kept beside the journal.
    pub journal_key: Option<SecretString>,
}

impl StorageConfig {
    /// Who may read what is kept in the data directory.
    #[must_use]
    pub fn readers(&self) -> Readers {
        if self.group_readable { Readers::Group } else { Readers::Owner }
    }
}

impl PostgresConfig {
    /// What the adapter is opened with; none without a URL.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        Some(Settings {
            url: self.url.clone()?,
            read_url: self.read_url.clone(),
            pool_size: self.pool_size,
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
            journal_timeout: self.journal_timeout,
            lease: self.lease,
            journal_key: self.journal_key.as_ref().map(|key| key.expose_secret().as_bytes().to_vec()),
        })
    }
}

pub(super) fn storage(reader: &mut Reader) -> StorageConfig {
    let kinds = [("embedded", Ok(StorageKind::Embedded)), ("postgres", Ok(StorageKind::Postgres))];
    let not_empty = |path: &String| if path.is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) };
    StorageConfig {
        kind: reader.word("storage", "kind", StorageKind::Embedded, &kinds),
        path: reader.value("storage", "path", "data".to_owned(), not_empty).into(),
        group_readable: reader.value("storage", "group_readable", false, |_| Ok(())),
    }
}

pub(super) fn postgres(reader: &mut Reader, kind: StorageKind) -> PostgresConfig {
    let mut url = |key| {
        let mut read = None;
        let named = reader.optional("postgres", key, |url: &String| {
            if !url.is_empty() {
                read = Some(DatabaseUrl::parse(url).map_err(|mistake| mistake.to_string())?);
            }
            Ok(())
        });
        (read, named.is_some_and(|url| url.is_empty()))
    };
    let ((url, empty), (read_url, _)) = (url("url"), url("read_url"));
    if kind == StorageKind::Postgres && url.is_none() && (empty || !reader.has_mistake("postgres", "url")) {
        reader.mistake("postgres.url", "must be set for storage.kind = \"postgres\"");
    }
    let long_enough = |key: &String| {
        let reason = || format!("must have at least {SECRET_BYTES} bytes, it has {}", key.len());
        if key.len() >= SECRET_BYTES { Ok(()) } else { Err(reason()) }
    };
    let millis = Duration::from_millis;
    PostgresConfig {
        url,
        read_url,
        pool_size: size(reader.number("postgres", "pool_size", 8, 1..=200)) as u32,
        connect_timeout: millis(reader.number("postgres", "connect_timeout_ms", 2000, 100..=30_000)),
        statement_timeout: millis(reader.number("postgres", "statement_timeout_ms", 5000, 100..=120_000)),
        journal_timeout: millis(reader.number("postgres", "journal_timeout_ms", 10_000, 1000..=120_000)),
        lease: millis(reader.number("postgres", "lease_ms", 6000, 1000..=60_000)),
        journal_key: reader.optional("postgres", "journal_key", long_enough).map(SecretString::from),
    }
}
