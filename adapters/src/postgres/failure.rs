//! What Postgres' errors mean: whether something certainly did not happen, and whether the server may still be
//! trusted. Must never put a statement's parameters into a message.

use onsale_engine::ports::{JournalError, ReadError, StoreError};
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

/// An error in one line: the driver's own text leaves the server's message out.
pub(super) fn one_line(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// What an error means for one who wrote with one statement that commits by itself, or committed a transaction.
pub(super) fn journal_error(error: &Error) -> JournalError {
    let reason = one_line(error);
    let Some(db) = error.as_db_error() else {
        // The connection ended, and what the server did with what it had got is not known.
        return JournalError::Unknown(reason);
    };
    let code = db.code();
    if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) {
        return JournalError::Fatal(reason);
    }
    match db.parsed_severity() {
        // The server ended the connection, perhaps after the commit.
        Some(Severity::Fatal | Severity::Panic) => JournalError::Unknown(reason),
        // An error rolls back: a full disk, a lock, a timeout.
        _ => JournalError::NotDone(reason),
    }
}

/// Whether an error certainly left nothing behind: the server itself said so, and lives.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| !matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)))
}

/// What an error means for a reader of the journal.
pub(super) fn unavailable(error: &Error) -> ReadError {
    ReadError::Unavailable(one_line(error))
}

/// Why work on tables failed; whatever it wrote is rolled back.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(one_line(&error))
    }
}

impl From<crate::sale_form::SaleFormError> for Failure {
    fn from(error: crate::sale_form::SaleFormError) -> Self {
        Self(error.to_string())
    }
}

impl From<Failure> for StoreError {
    fn from(Failure(reason): Failure) -> Self {
        Self(reason)
    }
}
