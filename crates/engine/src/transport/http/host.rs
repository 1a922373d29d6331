//! The host of a URL: an address, or a name.
//!
//! `127.1`, `0x7f.0.0.1`, `2130706433` and `0177.0.0.1` are addresses to browsers and operating
//! systems. Here they are read as the URL standard reads them, so that the guard sees the address that
//! is meant; what ends in a number and is no address is refused. Nobody else gets to interpret them.

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
        if host.is_empty() {
            return Err("the URL has no host");
        }
        let parts = host.strip_suffix('.').unwrap_or(host);
        if !ends_in_a_number(parts) {
            return Ok(Self::Name(host));
        }
        ipv4(parts).map(|ip| Self::Address(ip.into())).ok_or("it ends in a number, but is no IPv4 address")
    }
}

fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    number(last).is_some() || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// One to four numbers; the last one fills the bytes that are left.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let (first, last) = host.rsplit_once('.').map_or((None, host), |(first, last)| (Some(first), last));
    let mut address = 0_u64;
    let mut bits_left = 32_u32;
    for part in first.into_iter().flat_map(|first| first.split('.')) {
        // The last number needs a byte, too.
        bits_left = bits_left.checked_sub(8).filter(|left| *left >= 8)?;
        address |= number(part).filter(|value| *value <= 0xff)? << bits_left;
    }
    address |= number(last).filter(|value| value >> bits_left == 0)?;
    u32::try_from(address).ok().map(Ipv4Addr::from_bits)
}

/// Decimal, octal after `0`, hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X'] => return Some(0),
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // `from_str_radix` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u64::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spellings_are_the_address_they_mean() {
        for same in [
            "127.0.0.1 127.0.0.1. 127.1 127.0.1 2130706433 0x7f000001 0X7F.1 0177.0.0.1 0x7f.0.0.0x1 127.0.0.01",
            "169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518",
            "0.0.0.0 0 0x 0.0 00.0x.0",
        ] {
            let mut spellings = same.split(' ');
            let meant: Ipv4Addr = spellings.next().unwrap().parse().unwrap();
            for odd in spellings {
                assert_eq!(Host::parse(odd), Ok(Host::Address(meant.into())), "{odd}");
            }
        }
        assert_eq!(Host::parse("255.255.255.255"), Ok(Host::Address(Ipv4Addr::BROADCAST.into())));
        assert_eq!(Host::parse("[::1]"), Ok(Host::Address(Ipv6Addr::LOCALHOST.into())));
    }

    #[test]
    fn what_ends_in_a_number_and_is_no_address_is_refused() {
        let odd = "256.0.0.1 1.2.3.4.5 4294967296 127.0.0.08 1.2.65536.1 1.16777216 host.0x host.1 1..2 .1 . 0.0.0.256";
        for odd in odd.split(' ').chain(["", "[::1", "[fe80::1%25eth0]", "[127.0.0.1]", "99999999999999999999"]) {
            assert!(Host::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn names_are_left_to_the_resolver() {
        for name in ["localhost", "example.com", "example.com.", "1.example", "0x7f.example", "a1", "x0x1", "0xg"] {
            assert_eq!(Host::parse(name), Ok(Host::Name(name)));
        }
    }
}
