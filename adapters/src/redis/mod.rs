//! What nodes share beside Postgres, in Redis: limits, claims, the catalogue's cache, notifications, and copies of sales. Every
//! key begins with `onsale:` and has a bound or a time to live; `docs/redis.md` names them all. Must never hold
//! anything whose loss would lose an answer, and never keep a request waiting for a server that is gone.

mod cache;
mod claims;
mod copies;
mod event_pages;
mod limits;
mod link;
mod notifications;

pub use link::{LinkHealth, RedisSettings, UrlMistake, check_url};

use link::Link;
use std::sync::Arc;

/// What nodes share, in one Redis. Clones are the same connection.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
    generation: Arc<copies::Generation>,
}

impl Redis {
    /// Begins to connect, and goes on trying until the process ends. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// A URL or a certificate that cannot be understood; never that nobody answers.
    pub fn open(settings: RedisSettings) -> Result<Self, UrlMistake> {
        let link = Link::open(settings)?;
        Ok(Self { link, generation: Arc::default() })
    }

    /// How the connection is.
    #[must_use]
    pub fn health(&self) -> LinkHealth {
        self.link.health()
    }

    /// Waits until it is up, or `timeout` is over: for a start that would rather begin with it.
    pub async fn wait_until_up(&self, timeout: std::time::Duration) -> bool {
        self.link.wait_until_up(timeout).await
    }
}
