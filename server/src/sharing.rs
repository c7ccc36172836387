//! What this node shares with others through Redis: starts it, receives notifications and sends its own, and keeps its
//! revocations current while there are no notifications. Without Redis there is none of this. Must never hold up a request for
//! longer than Redis' own time-out.

use crate::app::App;
use crate::metrics::write_single;
use onsale_adapters::redis::Redis;
use onsale_engine::ports::accounts::Revocation;
use onsale_engine::ports::shared::{Notification, Notifications};
use onsale_engine::runtime::{self, supervised_task};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often unsent notifications are sent again.
const SEND_AGAIN: Duration = Duration::from_millis(500);
/// How often revocations are read from the storage while there are no notifications, which bounds how long a token that was
/// revoked on another node still works here.
const READ_WITHOUT_NOTIFICATIONS: Duration = Duration::from_secs(2);
/// The same while there are, because another node may not reach the nodes that receive from us.
const READ_WITH_NOTIFICATIONS: Duration = Duration::from_secs(60);
/// Revocations that wait to be sent; the others are read from the storage.
const MOST_UNSENT: usize = 10_000;

/// What is shared, and what could not be sent yet.
pub struct Sharing {
    redis: Redis,
    unsent: Mutex<Vec<Revocation>>,
    missed: Notify,
}

impl Sharing {
    /// Shares through this Redis.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, unsent: Mutex::default(), missed: Notify::new() }
    }

    /// What it shares through.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Whether somebody answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.redis.health().up
    }

    /// Starts to share claims and copies, and to receive notifications. Once, before the first request.
    pub fn begin(app: &Arc<App>) {
        let Some(sharing) = &app.sharing else { return };
        let redis = Arc::new(sharing.redis.clone());
        app.engine.share(runtime::Sharing { claims: Arc::clone(&redis) as _, copies: Arc::clone(&redis) as _ });
        let hearing = Arc::downgrade(app);
        redis.listen(Arc::new(move |notification| receive(&hearing, notification)));
        tokio::spawn(supervised_task("sharing", crate::server::fatal(), keep_up(Arc::downgrade(app))));
    }

    /// Sends revoked tokens to the other nodes, now or as soon as possible.
    async fn publish(&self, revoked: Vec<Revocation>) {
        if !revoked.is_empty() && self.redis.notify_revoked(&revoked).await.is_err() {
            let mut unsent = self.unsent.lock();
            let room = MOST_UNSENT.saturating_sub(unsent.len());
            unsent.extend(revoked.into_iter().take(room));
        }
    }

    /// Writes how it is, in Prometheus text.
    pub fn write(&self, app: &App, out: &mut String) {
        let health = self.redis.health();
        write_single(out, "onsale_redis_up", u8::from(health.up));
        write_single(out, "onsale_redis_outages_total", health.outages);
        write_single(out, "onsale_redis_unanswered_total", health.unanswered);
        write_single(out, "onsale_redis_cache_hits_total", app.readers.cache.shared_hits());
        let Some(copies) = app.engine.copies() else { return };
        write_single(out, "onsale_redis_copies_total", copies.writes);
        write_single(out, "onsale_redis_copies_whole_total", copies.whole);
        write_single(out, "onsale_redis_copy_lag_seconds", copies.lag.as_secs_f64());
    }
}

impl App {
    /// These tokens stop working: here at once, on other nodes as soon as they receive it. The storage knows already.
    pub async fn revoke(&self, revoked: Vec<Revocation>) {
        self.tokens.revoked().add_all(&revoked);
        if let Some(sharing) = &self.sharing {
            sharing.publish(revoked).await;
        }
    }
}

fn receive(app: &Weak<App>, notification: Notification) {
    let Some(app) = app.upgrade() else { return };
    match notification {
        Notification::Changed(what) => app.readers.cache.forget(what),
        Notification::Revoked(Revocation { access_id, until }) => app.tokens.revoked().add(access_id, until),
        Notification::Missed => {
            app.readers.cache.forget_all();
            if let Some(sharing) = &app.sharing {
                sharing.missed.notify_one();
            }
        }
    }
}

/// Sends what is unsent, and reads revocations as often as is due, until the server drains.
async fn keep_up(app: Weak<App>) {
    let mut read_at = Instant::now();
    loop {
        let Some(app) = app.upgrade() else { return };
        let Some(sharing) = &app.sharing else { return };
        let missed = tokio::select! {
            () = app.draining.cancelled() => return,
            () = sharing.missed.notified() => true,
            () = tokio::time::sleep(SEND_AGAIN) => false,
        };
        if sharing.is_up() {
            let unsent = std::mem::take(&mut *sharing.unsent.lock());
            sharing.publish(unsent).await;
            app.readers.cache.send_again().await;
        }
        let due = if sharing.is_up() { READ_WITH_NOTIFICATIONS } else { READ_WITHOUT_NOTIFICATIONS };
        if missed || read_at.elapsed() >= due {
            match app.accounts.revocations(app.clock.now()).await {
                Ok(revoked) => {
                    app.tokens.revoked().add_all(&revoked);
                    read_at = Instant::now();
                }
                Err(error) => {
                    tracing::warn!(%error, "revocations could not be read; tried again");
                    sharing.missed.notify_one();
                    tokio::time::sleep(SEND_AGAIN).await;
                }
            }
        }
    }
}
