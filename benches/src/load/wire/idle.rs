//! Sockets that are kept open beside the traffic and hardly used, as those of browsers are between two polls: each asks
//! once in a while, so that the server does not close it as idle.

use super::http1::source;
use super::messages::{OPENING, STALE};
use crate::http1::{Connection, request};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A request that costs the server next to nothing.
const PROBE: &str = "/health/live";

/// All of them; they are closed when this is dropped.
pub(in crate::load) struct Idle {
    open: usize,
    /// Sockets that broke, which an idle one must not.
    broken: Rc<RefCell<Vec<String>>>,
    probes: tokio::task::JoinHandle<()>,
}

impl Idle {
    /// Opens so many; each has asked once when this returns.
    pub(in crate::load) async fn open(address: SocketAddr, many: usize) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(many);
        while sockets.len() < many {
            let next = sockets.len()..many.min(sockets.len() + OPENING);
            let some: Vec<_> = next.map(|number| tokio::task::spawn_local(begin(address, number))).collect();
            for socket in some {
                sockets.push(socket.await.map_err(io::Error::other)??);
            }
        }
        let broken = Rc::default();
        let probes = tokio::task::spawn_local(probe_all(sockets, Rc::clone(&broken)));
        Ok(Self { open: many, broken, probes })
    }

    /// How many were opened, and what became of those that broke.
    pub(in crate::load) fn story(&self) -> (usize, Vec<String>) {
        (self.open, self.broken.borrow().clone())
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.probes.abort();
    }
}

async fn begin(address: SocketAddr, number: usize) -> io::Result<Connection> {
    let mut connection = Connection::open_from(source(address, number), address).await?;
    probe(&mut connection).await?;
    Ok(connection)
}

async fn probe(connection: &mut Connection) -> io::Result<()> {
    let answer = connection.call(&request("GET", PROBE, "")).await?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("an idle socket was answered {}", answer.status)));
    }
    connection.shrink();
    Ok(())
}

/// Probes all of them again and again, evenly over the time that a socket may be unused.
async fn probe_all(mut sockets: Vec<Connection>, broken: Rc<RefCell<Vec<String>>>) {
    while !sockets.is_empty() {
        let began = Instant::now();
        let apart = STALE / u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let mut living = Vec::with_capacity(sockets.len());
        for (at, mut socket) in (0u32..).zip(sockets) {
            tokio::time::sleep((apart * at).saturating_sub(began.elapsed())).await;
            match probe(&mut socket).await {
                Ok(()) => living.push(socket),
                Err(error) => broken.borrow_mut().push(error.to_string()),
            }
        }
        sockets = living;
        tokio::time::sleep((STALE.saturating_sub(began.elapsed())).max(Duration::from_millis(1))).await;
    }
}
