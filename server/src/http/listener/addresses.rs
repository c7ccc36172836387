//! Counts the open connections of each address, and decides whether it may have one more. IPv6 addresses count by their /64;
//! proxies that the configuration names are not counted, since each carries the connections of many clients. Must never wait,
//! nor keep an address that has no connection.

use crate::limits::{Networks, Who, address};
use http::HeaderMap;
use onsale_engine::shared_map::SharedMap;
use std::net::IpAddr;
use std::sync::Arc;

/// See the module.
pub(super) struct Addresses {
    limit: usize,
    uncounted: Option<Networks>,
    open: SharedMap<Who, usize>,
}

/// A connection that is counted, until this is dropped.
pub(super) struct Counted(Option<(Arc<Addresses>, Who)>);

impl Addresses {
    /// At most `limit` for each address that is not in `uncounted`; without a list no address is counted.
    pub(super) fn new(limit: usize, uncounted: Option<Networks>) -> Arc<Self> {
        Arc::new(Self { limit, uncounted, open: SharedMap::default() })
    }

    /// Counts one more connection of `peer`; `None` when that is one too many.
    pub(super) fn count(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        if self.uncounted.as_ref().is_none_or(|uncounted| uncounted.contain(peer)) {
            return Some(Counted(None));
        }
        let who = address(peer, &HeaderMap::new(), 0);
        let mut open = self.open.entry(who).or_default();
        if *open >= self.limit {
            return None;
        }
        *open += 1;
        Some(Counted(Some((Arc::clone(self), who))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, who)) = self.0.take() else { return };
        addresses.open.remove_if_mut(&who, |_, open| {
            *open = open.saturating_sub(1);
            *open == 0
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_named_proxies_have_none() {
        let addresses = Addresses::new(2, Some("192.0.2.0/24".parse().unwrap()));
        let count = |peer: &str| addresses.count(peer.parse().unwrap());
        let first = [count("203.0.113.1").unwrap(), count("203.0.113.1").unwrap()];
        assert!(count("203.0.113.1").is_none());
        assert!(count("203.0.113.2").is_some());
        // One subscriber has a whole /64.
        let subscriber = [count("2001:db8:1:2::1").unwrap(), count("2001:db8:1:2:3:4:5:6").unwrap()];
        assert!(count("2001:db8:1:2::9").is_none() && count("2001:db8:1:3::9").is_some());
        let proxied: Vec<Counted> = (0..9).map(|_| count("192.0.2.7").unwrap()).collect();
        drop((first, subscriber, proxied));
        assert!(addresses.open.is_empty(), "no address without a connection is kept");
        assert!(count("203.0.113.1").is_some());
    }

    #[test]
    fn without_a_list_of_proxies_no_address_is_counted() {
        let addresses = Addresses::new(1, None);
        let all: Vec<_> = (0..5).map(|_| addresses.count("203.0.113.1".parse().unwrap())).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
