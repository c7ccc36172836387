//! What a run does, checked already. Must never be made of anything but good flags.

use super::levels::Limits;
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A crowd arrives, polls or receives a stream, and is admitted; some leave, some are silent for too long.
    Queue,
    /// A crowd holds the same few seats.
    Seats,
    /// Everybody has seats and pays; some cards are declined.
    Payments,
    /// A whole purchase: enter, be admitted, hold, pay, receive a ticket.
    Purchase,
    /// Lists, events and seat maps are read, as before an on-sale.
    Catalogue,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Every request is a stream on one of several HTTP/2 connections.
    Http2,
    /// HTTP/1.1 sockets shared by all buyers.
    Http1,
    /// One HTTP/1.1 socket for each buyer, from several source addresses.
    Http1Each,
}

impl Transport {
    /// In words, for the report.
    #[must_use]
    pub fn in_words(self, connections: usize) -> String {
        match self {
            Self::Http2 => format!("HTTP/2 streams over {connections} connections"),
            Self::Http1 => format!("HTTP/1.1, {connections} sockets, round-robin"),
            Self::Http1Each => format!("HTTP/1.1, one socket for each of {connections} buyers"),
        }
    }
}

/// Whom the load is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// A server of our own.
    Serve {
        /// The binary, unless it is built.
        onsale: Option<PathBuf>,
        /// Where data and log are kept, unless they are temporary.
        dir: Option<PathBuf>,
    },
    /// One that runs.
    Running {
        /// Where it is.
        url: String,
        /// Where its secret may be found.
        data: Option<PathBuf>,
    },
}

/// The event that is made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Buyers let in per second.
    pub rate: u64,
    /// Places in the waiting room.
    pub capacity: u64,
    /// Seats of the hall, unless the scenario says.
    pub seats: Option<u64>,
    /// From the first arrival until the sale opens; open already without it.
    pub opens_after: Option<Duration>,
    /// How long a waiting buyer may be silent.
    pub absent_after: Duration,
}

/// A share of the crowd.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share(f64);

impl Share {
    pub(super) fn percent(percent: f64) -> Self {
        Self(percent / 100.0)
    }

    /// From 0 to 1.
    #[must_use]
    pub fn of_one(self) -> f64 {
        self.0
    }
}

/// A while at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Requests a second.
    pub rate: u64,
    /// How long.
    pub lasts: Duration,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is done.
    pub scenario: Scenario,
    /// Whom the load is for.
    pub target: Target,
    /// The server's process, if it is known.
    pub pid: Option<u32>,
    /// The secret of tokens, if it was given.
    pub secret: Option<Vec<u8>>,
    /// The event, unless it is made.
    pub event: Option<Uuid>,
    /// The event that is made.
    pub made: Made,
    /// How many buyers.
    pub buyers: u64,
    /// In what time they arrive.
    pub arrive: Duration,
    /// Whether they listen instead of polling.
    pub streams: bool,
    /// Who leaves.
    pub leave: Share,
    /// Who falls silent.
    pub silent: Share,
    /// What every die is thrown from.
    pub seed: u64,
    /// Phases of the catalogue.
    pub phases: Vec<Phase>,
    /// How long, after the opening.
    pub lasts: Duration,
    /// How requests travel.
    pub transport: Transport,
    /// Connections.
    pub connections: usize,
    /// Idle sockets beside them.
    pub idle_sockets: usize,
    /// Service levels.
    pub limits: Limits,
    /// Where the page goes.
    pub html: Option<PathBuf>,
    /// Where the JSON goes.
    pub json: Option<PathBuf>,
}

impl Settings {
    /// Whether the server is of our own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.target, Target::Serve { .. })
    }
}
