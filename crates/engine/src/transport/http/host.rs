//! The host of a URL: an address in its one proper spelling, or a name.
//!
//! `127.1`, `0x7f.0.0.1`, `2130706433` and `0177.0.0.1` are addresses to many operating systems.
//! They are neither here: a host whose last label is a number must be a proper address, as in the
//! URL standard, and is refused otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// From [`http::Uri::host`], which keeps the brackets of an IPv6 address.
    pub(super) fn parse(host: &'a str) -> Result<Self, &'static str> {
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("an IPv6 address ends with ]")?;
            return inner.parse::<Ipv6Addr>().map(|ip| Self::Address(ip.into())).map_err(|_| "not an IPv6 address");
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Address(ip.into()));
        }
        if host.is_empty() {
            return Err("the URL has no host");
        }
        if ends_in_a_number(host) {
            return Err("a number, but not an IPv4 address in its usual spelling");
        }
        Ok(Self::Name(host))
    }
}

fn ends_in_a_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        assert_eq!(Host::parse("127.0.0.1"), Ok(Host::Address(Ipv4Addr::LOCALHOST.into())));
        assert_eq!(Host::parse("[::1]"), Ok(Host::Address(Ipv6Addr::LOCALHOST.into())));
        for odd in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.0.0.01",
            "1.2.3.4.5",
            "256.0.0.1",
            "host.0x",
            "[::1",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "",
            ".",
        ] {
            assert!(Host::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn names_are_left_to_the_resolver() {
        for name in ["localhost", "example.com", "example.com.", "1.example", "0x7f.example", "a1", "x0x1"] {
            assert_eq!(Host::parse(name), Ok(Host::Name(name)));
        }
    }
}
