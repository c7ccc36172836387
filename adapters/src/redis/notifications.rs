//! Notifications to every node over the channel `onsale:news`: what of the catalogue has changed, and which tokens were
//! revoked. What is published while a node is not subscribed is lost to it; it is notified that it may have missed some,
//! each time that it subscribes and each time that Redis comes back. Must never carry what only one node may know.

use crate::redis::Redis;
use crate::redis::link::Link;
use futures_util::StreamExt;
use onsale_engine::id::EventId;
use onsale_engine::ports::accounts::Revocation;
use onsale_engine::ports::shared::{Described, Listener, Notification, Notifications};
use onsale_engine::ports::{Later, StoreError};
use onsale_engine::time::Timestamp;
use redis::{RedisResult, aio::PubSub};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The channel.
pub(super) const CHANNEL: &str = "onsale:news";
/// How long to subscribe may take.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(2);

impl Notifications for Redis {
    fn notify_revoked<'a>(&'a self, revoked: &'a [Revocation]) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if revoked.is_empty() {
                return Ok(());
            }
            let mut publish = redis::pipe();
            for revocation in revoked {
                publish.publish(CHANNEL, written(Notification::Revoked(*revocation))).ignore();
            }
            self.link.ask(|mut redis| async move { publish.query_async::<()>(&mut redis).await }).await
        })
    }

    fn listen(&self, listener: Listener) {
        tokio::spawn(listen(Arc::clone(&self.link), listener));
    }
}

/// Stays subscribed until the process ends; a new connection after every outage, because an old one may be dead without knowing.
async fn listen(link: Arc<Link>, listener: Listener) {
    let mut returns = link.returns();
    loop {
        returns.mark_unchanged();
        let subscribed = tokio::time::timeout(SUBSCRIBE_WITHIN, subscribe(&link)).await;
        if let Ok(Ok(connection)) = subscribed {
            listener(Notification::Missed);
            let mut messages = connection.into_on_message();
            loop {
                tokio::select! {
                    message = messages.next() => {
                        let Some(message) = message else { break };
                        let text: String = message.get_payload().unwrap_or_default();
                        match read(&text) {
                            Some(notification) => listener(notification),
                            None => tracing::warn!("a notification that this version cannot read"),
                        }
                    }
                    _ = returns.changed() => break,
                }
            }
        }
        tokio::time::sleep(link.settings().retry_every).await;
    }
}

async fn subscribe(link: &Link) -> RedisResult<PubSub> {
    let mut connection = link.client().get_async_pubsub().await?;
    connection.subscribe(CHANNEL).await?;
    Ok(connection)
}

/// A notification as a message.
pub(super) fn written(notification: Notification) -> String {
    match notification {
        Notification::Changed(Described::Event(id)) => format!("event {id}"),
        Notification::Changed(Described::Venue(id)) => format!("venue {id}"),
        Notification::Changed(Described::Hall(id)) => format!("hall {id}"),
        Notification::Revoked(Revocation { access_id, until }) => format!("revoked {access_id} {}", until.0),
        Notification::Missed => "missed".to_owned(),
    }
}

fn read(text: &str) -> Option<Notification> {
    let mut parts = text.split(' ');
    let kind = parts.next()?;
    if kind == "missed" {
        return Some(Notification::Missed);
    }
    let id = Uuid::try_parse(parts.next()?).ok()?;
    Some(match kind {
        "event" => Notification::Changed(Described::Event(EventId(id))),
        "venue" => Notification::Changed(Described::Venue(id)),
        "hall" => Notification::Changed(Described::Hall(id)),
        "revoked" => Notification::Revoked(Revocation { access_id: id, until: Timestamp(parts.next()?.parse().ok()?) }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_are_read_as_they_were_written() {
        let id = Uuid::from_u128(7);
        for notification in [
            Notification::Changed(Described::Event(EventId(id))),
            Notification::Changed(Described::Venue(id)),
            Notification::Changed(Described::Hall(id)),
            Notification::Revoked(Revocation { access_id: id, until: Timestamp(1_780_000_000_000_000) }),
            Notification::Missed,
        ] {
            assert_eq!(read(&written(notification)), Some(notification));
        }
        for strange in ["", "event", "event x", "revoked 00000000-0000-0000-0000-000000000007", "gossip 7"] {
            assert_eq!(read(strange), None, "{strange}");
        }
    }
}
