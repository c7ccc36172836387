//! Networks by their addresses and prefixes, as the configuration names proxies: `192.0.2.7`, `10.0.0.0/8`, `fd00::/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that share a prefix. IPv4 ones are kept as IPv6 has them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    prefix: u32,
}

/// A list of networks, separated by commas.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether one of them has this address.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let bits = bits_of(address);
        self.0.iter().any(|network| mask(bits, network.prefix) == network.bits)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix` bits, the rest 0.
fn mask(bits: u128, prefix: u32) -> u128 {
    u128::MAX.checked_shl(u128::BITS - prefix).map_or(0, |mask| bits & mask)
}

/// What was written is no list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNetworks;

impl FromStr for Network {
    type Err = NoNetworks;

    fn from_str(text: &str) -> Result<Self, NoNetworks> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NoNetworks)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Ok(bits), str::parse).map_err(|_| NoNetworks)?;
        let prefix = prefix + u128::BITS - Some(bits).filter(|bits| prefix <= *bits).ok_or(NoNetworks)?;
        Ok(Self { bits: mask(bits_of(address), prefix), prefix })
    }
}

impl FromStr for Networks {
    type Err = NoNetworks;

    fn from_str(text: &str) -> Result<Self, NoNetworks> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// As it is written in the configuration.
impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, network) in self.0.iter().enumerate() {
            let address = std::net::Ipv6Addr::from_bits(network.bits).to_canonical();
            let beyond = if address.is_ipv4() { u128::BITS - 32 } else { 0 };
            let between = if number == 0 { "" } else { ", " };
            write!(f, "{between}{address}/{}", network.prefix.saturating_sub(beyond))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn an_address_is_in_the_networks_that_its_prefix_says() {
        let check = |networks: &str, address: &str, expected: bool| {
            let networks: Networks = networks.parse().unwrap();
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{networks:?} {address}");
        };
        check("", "127.0.0.1", false);
        check("10.0.0.0/8, 192.0.2.7", "10.255.0.1", true);
        check("10.0.0.0/8, 192.0.2.7", "192.0.2.7", true);
        check("10.0.0.0/8, 192.0.2.7", "192.0.2.8", false);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("fd00::/8", "fdff::1", true);
        check("fd00::/8", "fe00::1", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "203.0.113.9", true);
    }

    #[test]
    fn they_are_shown_as_they_are_written() {
        for text in ["", "10.0.0.0/8, 192.0.2.7/32", "fd00::/8"] {
            assert_eq!(text.parse::<Networks>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_network_is_refused() {
        for text in ["example.org", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8;::1"] {
            assert_eq!(text.parse::<Networks>(), Err(NoNetworks), "{text}");
        }
    }
}
