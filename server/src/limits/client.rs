//! The address that a request came from, as a limit counts it. Behind proxies it is what the nearest ones that are
//! ours have noted; what stands before that in `X-Forwarded-For` is the caller's own claim and is not believed.

use crate::limits::Who;
use http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr};

/// How much of an IPv6 address is one subscriber.
const SUBSCRIBER_BITS: u32 = 64;

/// Whose requests count together: the address of the caller behind `hops` proxies, an IPv6 one without the half that
/// its subscriber may choose.
#[must_use]
pub fn address(peer: IpAddr, headers: &HeaderMap, hops: usize) -> Who {
    let address = forwarded(headers, hops).unwrap_or(peer);
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => subscriber(address),
    }
}

fn subscriber(address: Ipv6Addr) -> Who {
    address.to_bits() >> (u128::BITS - SUBSCRIBER_BITS) << (u128::BITS - SUBSCRIBER_BITS)
}

/// The entry that the farthest of our proxies has added: the `hops`-th from the end. With fewer entries the caller
/// has gone around a proxy, and its peer counts.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    if hops == 0 {
        return None;
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev().filter_map(|line| line.to_str().ok());
    let entry = lines.flat_map(|line| line.rsplit(',')).nth(hops - 1)?.trim();
    // Some proxies note the port, too.
    let bare = entry.parse().ok();
    bare.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    fn check(lines: &[&str], hops: usize, expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let expected = address(expected.parse().unwrap(), &HeaderMap::new(), 0);
        assert_eq!(address(peer, &headers, hops), expected, "{lines:?} {hops}");
    }

    #[test]
    fn a_caller_cannot_choose_its_address() {
        check(&["198.51.100.9"], 0, "192.0.2.1");
        check(&[], 1, "192.0.2.1");
        check(&["203.0.113.7"], 1, "203.0.113.7");
        check(&["198.51.100.9, 203.0.113.7"], 1, "203.0.113.7");
        check(&["198.51.100.9", "203.0.113.7"], 1, "203.0.113.7");
        check(&["198.51.100.9, 203.0.113.7, 10.0.0.2"], 2, "203.0.113.7");
        check(&["203.0.113.7:4711"], 1, "203.0.113.7");
        check(&["nonsense"], 1, "192.0.2.1");
        check(&["203.0.113.7"], 2, "192.0.2.1");
    }

    #[test]
    fn an_ipv6_subscriber_is_one() {
        let of = |text: &str| address(text.parse().unwrap(), &HeaderMap::new(), 0);
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
