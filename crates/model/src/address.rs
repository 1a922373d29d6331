//! Which addresses a delivery may go to: global unicast, and what the operator allowed (SSRF guard;
//! design §1 promise 5, contracts/convoy.md §6.3).
//!
//! Judge the address that is connected to, after name resolution, each time. An IPv4 address inside an
//! IPv6 one is judged as the IPv4 address it reaches, and as nothing else: `::/0` on the list does not
//! open `::ffff:127.0.0.1`.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The rules with the operator's exceptions; the default has none.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

impl Guard {
    /// `allowed`: networks that may be reached although they are not public (`--allow-network`).
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    pub fn admits(&self, address: IpAddr) -> bool {
        self.refusal(address).is_none()
    }

    /// Why nothing may be sent to `address`; `None` when it may.
    pub fn refusal(&self, address: IpAddr) -> Option<Refusal> {
        let reached = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
        };
        if self.allowed.iter().any(|network| network.contains(&reached)) {
            return None;
        }
        let (kind, network) = match reached {
            IpAddr::V4(v4) => classify_v4(v4)?,
            IpAddr::V6(v6) => classify_v6(v6)?,
        };
        Some(Refusal { address, kind, network: without_metadata(network, reached) })
    }
}

/// A destination that is refused, why, and the network that would have to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// As it was asked for, wrapped or not.
    pub address: IpAddr,
    pub kind: Kind,
    /// The smallest known block around it; the address alone where the block has a metadata service.
    pub network: IpNet,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind, network } = self;
        let article = if *kind == Kind::Unspecified { "an" } else { "a" };
        write!(f, "destination {address} is {article} {kind} address; allow it with --allow-network {network}")
    }
}

/// What a refused address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    SiteLocal,
    CarrierGradeNat,
    Metadata,
    Multicast,
    Broadcast,
    Documentation,
    Benchmarking,
    /// Reaches IPv4 by a path whose end cannot be judged: Teredo, local-use NAT64.
    Tunnel,
    /// Special purpose or not assigned.
    Reserved,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::SiteLocal => "site-local",
            Self::CarrierGradeNat => "carrier-grade NAT",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Tunnel => "tunnel",
            Self::Reserved => "reserved",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// `head`: the first four groups, `tail` the last four.
const fn v6(head: [u16; 4], tail: [u16; 4], prefix: u8) -> Ipv6Net {
    let ([a, b, c, d], [e, f, g, h]) = (head, tail);
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

const ZERO: [u16; 4] = [0; 4];

/// IANA's special-purpose registry, and the metadata services of the clouds; the first match counts.
const SPECIAL_V4: &[(Ipv4Net, Kind)] = &[
    (v4(169, 254, 169, 254, 32), Kind::Metadata),
    (v4(169, 254, 170, 2, 32), Kind::Metadata),   // AWS ECS
    (v4(100, 100, 100, 200, 32), Kind::Metadata), // Alibaba
    (v4(192, 0, 0, 192, 32), Kind::Metadata),     // Oracle
    (v4(168, 63, 129, 16, 32), Kind::Metadata),   // Azure: in a public block, but inside the host
    (v4(0, 0, 0, 0, 32), Kind::Unspecified),
    (v4(0, 0, 0, 0, 8), Kind::Reserved),
    (v4(10, 0, 0, 0, 8), Kind::Private),
    (v4(100, 64, 0, 0, 10), Kind::CarrierGradeNat),
    (v4(127, 0, 0, 0, 8), Kind::Loopback),
    (v4(169, 254, 0, 0, 16), Kind::LinkLocal),
    (v4(172, 16, 0, 0, 12), Kind::Private),
    (v4(192, 0, 0, 0, 24), Kind::Reserved),
    (v4(192, 0, 2, 0, 24), Kind::Documentation),
    (v4(192, 88, 99, 0, 24), Kind::Reserved), // 6to4 relays, withdrawn
    (v4(192, 168, 0, 0, 16), Kind::Private),
    (v4(198, 18, 0, 0, 15), Kind::Benchmarking),
    (v4(198, 51, 100, 0, 24), Kind::Documentation),
    (v4(203, 0, 113, 0, 24), Kind::Documentation),
    (v4(224, 0, 0, 0, 4), Kind::Multicast),
    (v4(255, 255, 255, 255, 32), Kind::Broadcast),
    (v4(240, 0, 0, 0, 4), Kind::Reserved),
];

const SPECIAL_V6: &[(Ipv6Net, Kind)] = &[
    (v6([0xfd00, 0xec2, 0, 0], [0, 0, 0, 0x254], 128), Kind::Metadata), // AWS
    (v6([0xfd20, 0xce, 0, 0], [0, 0, 0, 0x254], 128), Kind::Metadata),  // Google
    (v6([0xfd00, 0xc1, 0, 0], [0, 0, 0xa9fe, 0xa9fe], 128), Kind::Metadata), // Oracle
    (v6([0xfd00, 0x42, 0, 0], [0, 0, 0, 0x42], 128), Kind::Metadata),   // Scaleway
    (v6([0xfe80, 0, 0, 0], [0, 0, 0xa9fe, 0xa9fe], 128), Kind::Metadata), // OpenStack
    (v6(ZERO, ZERO, 128), Kind::Unspecified),
    (v6(ZERO, [0, 0, 0, 1], 128), Kind::Loopback),
    (v6([0x64, 0xff9b, 1, 0], ZERO, 48), Kind::Tunnel), // NAT64 for local use
    (v6([0x2001, 0, 0, 0], ZERO, 32), Kind::Tunnel),    // Teredo
    (v6([0x2001, 2, 0, 0], ZERO, 48), Kind::Benchmarking),
    (v6([0x2001, 0, 0, 0], ZERO, 23), Kind::Reserved),
    (v6([0x2001, 0xdb8, 0, 0], ZERO, 32), Kind::Documentation),
    (v6([0x3fff, 0, 0, 0], ZERO, 20), Kind::Documentation),
    (v6([0xfc00, 0, 0, 0], ZERO, 7), Kind::Private),
    (v6([0xfe80, 0, 0, 0], ZERO, 10), Kind::LinkLocal),
    (v6([0xfec0, 0, 0, 0], ZERO, 10), Kind::SiteLocal),
    (v6([0xff00, 0, 0, 0], ZERO, 8), Kind::Multicast),
];

/// All of global unicast that is assigned; whatever lies outside is refused.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], ZERO, 3);

fn classify_v4(address: Ipv4Addr) -> Option<(Kind, IpNet)> {
    let (network, kind) = SPECIAL_V4.iter().find(|(network, _)| network.contains(&address))?;
    Some((*kind, IpNet::V4(*network)))
}

fn classify_v6(address: Ipv6Addr) -> Option<(Kind, IpNet)> {
    if let Some((network, kind)) = SPECIAL_V6.iter().find(|(network, _)| network.contains(&address)) {
        return Some((*kind, IpNet::V6(*network)));
    }
    if GLOBAL_V6.contains(&address) {
        return None;
    }
    Some((Kind::Reserved, IpNet::from(IpAddr::V6(address))))
}

/// The IPv4 address that a packet to `address` ends at, for the ways to write one: mapped
/// (`::ffff:0:0/96`), compatible (`::/96`), NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Who follows the advice of a [`Refusal`] must not open a metadata service with it.
fn without_metadata(network: IpNet, address: IpAddr) -> IpNet {
    let mut metadata_v4 = SPECIAL_V4.iter().filter(|(_, kind)| *kind == Kind::Metadata);
    let mut metadata_v6 = SPECIAL_V6.iter().filter(|(_, kind)| *kind == Kind::Metadata);
    let holds_metadata = match network {
        IpNet::V4(network) => metadata_v4.any(|(metadata, _)| network.contains(metadata)),
        IpNet::V6(network) => metadata_v6.any(|(metadata, _)| network.contains(metadata)),
    };
    if holds_metadata { IpNet::from(address) } else { network }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn kind(text: &str) -> Option<Kind> {
        Guard::default().refusal(ip(text)).map(|refusal| refusal.kind)
    }

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|network| network.parse().expect("a network")).collect())
    }

    #[test]
    fn each_class_is_refused() {
        for (expected, addresses) in [
            (Kind::Unspecified, &["0.0.0.0", "::"][..]),
            (Kind::Loopback, &["127.0.0.1", "127.255.255.255", "::1"]),
            (Kind::Private, &["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"]),
            (Kind::Private, &["fc00::1", "fdff:ffff::1"]),
            (Kind::LinkLocal, &["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"]),
            (Kind::SiteLocal, &["fec0::1", "feff::1"]),
            (Kind::CarrierGradeNat, &["100.64.0.1", "100.127.255.255"]),
            (Kind::Metadata, &["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"]),
            (Kind::Metadata, &["fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"]),
            (Kind::Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1"]),
            (Kind::Broadcast, &["255.255.255.255"]),
            (Kind::Documentation, &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"]),
            (Kind::Benchmarking, &["198.18.0.1", "198.19.255.255", "2001:2::1"]),
            (Kind::Reserved, &["0.0.0.1", "0.255.255.255", "192.0.0.1", "192.88.99.1", "240.0.0.1", "255.255.255.254"]),
            (Kind::Reserved, &["100::1", "5f00::1", "2001:20::1", "4000::1", "::ffff:0:8.8.8.8", "64:ff9b:2::1"]),
            (Kind::Tunnel, &["64:ff9b:1::808:808", "2001:0:4136:e378:8000:63bf:3fff:fdd2"]),
        ] {
            for address in addresses {
                assert_eq!(kind(address), Some(expected), "{address}");
            }
        }
    }

    #[test]
    fn public_addresses_are_admitted() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    #[test]
    fn a_wrapped_address_is_what_it_wraps() {
        for (expected, addresses) in [
            (Kind::Loopback, &["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"][..]),
            (
                Kind::Metadata,
                &["::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"],
            ),
            (Kind::Private, &["::ffff:10.0.0.7", "64:ff9b::10.0.0.7", "2002:a00:7:1::1"]),
            (Kind::Unspecified, &["::ffff:0.0.0.0", "64:ff9b::", "2002::"]),
            (Kind::Reserved, &["::2", "::ffff:240.0.0.1"]),
        ] {
            for address in addresses {
                assert_eq!(kind(address), Some(expected), "{address}");
            }
        }
    }

    #[test]
    fn allowed_networks_are_admitted_wrapped_or_not() {
        let guard = guard(&["127.0.0.0/8", "10.1.0.0/16", "fd12::/16", "2001::/32"]);
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "10.1.2.3", "fd12::1", "2001::1"] {
            assert!(guard.admits(ip(address)), "{address}");
        }
        for address in ["::1", "10.2.0.1", "::ffff:10.2.0.1", "fd13::1", "64:ff9b:1::127.0.0.1"] {
            assert!(!guard.admits(ip(address)), "{address}");
        }
        assert!(guard.admits(ip("8.8.8.8")));
    }

    #[test]
    fn an_ipv6_network_does_not_open_ipv4() {
        let guard = guard(&["::/0"]);
        assert!(guard.admits(ip("::1")));
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "::169.254.169.254", "2002:7f00:1::"] {
            assert!(!guard.admits(ip(address)), "{address}");
        }
    }

    #[test]
    fn the_text_says_what_to_do() {
        let text = |address| Guard::default().refusal(ip(address)).expect("refused").to_string();
        for (address, expected) in [
            ("10.0.0.7", "destination 10.0.0.7 is a private address; allow it with --allow-network 10.0.0.0/8"),
            (
                "::ffff:10.0.0.7",
                "destination ::ffff:10.0.0.7 is a private address; allow it with --allow-network 10.0.0.0/8",
            ),
            ("::", "destination :: is an unspecified address; allow it with --allow-network ::/128"),
            (
                "169.254.1.1",
                "destination 169.254.1.1 is a link-local address; allow it with --allow-network 169.254.1.1/32",
            ),
            ("fd12::1", "destination fd12::1 is a private address; allow it with --allow-network fd12::1/128"),
        ] {
            assert_eq!(text(address), expected);
        }
    }

    fn wrappings(address: Ipv4Addr, rest: u64) -> Vec<Ipv6Addr> {
        let [a, b, c, d] = address.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let six_to_four = (0x2002 << 112) | (u128::from(u32::from(address)) << 80) | u128::from(rest);
        vec![
            address.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low),
            Ipv6Addr::from(six_to_four),
        ]
    }

    fn special_v4() -> impl Strategy<Value = Ipv4Addr> {
        let special = (0..SPECIAL_V4.len(), any::<u32>()).prop_map(|(index, host)| {
            let network = SPECIAL_V4[index].0;
            Ipv4Addr::from(u32::from(network.network()) | (host & u32::from(network.hostmask())))
        });
        prop_oneof![special, any::<u32>().prop_map(Ipv4Addr::from)]
    }

    proptest! {
        #[test]
        fn wrapping_never_makes_a_refused_address_admitted(address in special_v4(), rest in any::<u64>(), allowed in prop_oneof![
            Just(vec![]), Just(vec!["::/0"]), Just(vec!["10.0.0.0/8"]), Just(vec!["fc00::/7", "192.168.0.0/16"]),
        ]) {
            // Everything IPv6 allowed is the hardest case, but opens the tunnels by itself.
            let open = allowed.contains(&"::/0");
            let guard = guard(&allowed);
            for wrapped in wrappings(address, rest) {
                let tunnel = classify_v6(wrapped).is_some_and(|(kind, _)| kind == Kind::Tunnel);
                if !guard.admits(IpAddr::V4(address)) && !(open && (tunnel || embedded(wrapped).is_none())) {
                    prop_assert!(!guard.admits(IpAddr::V6(wrapped)), "{} as {}", address, wrapped);
                }
            }
        }

        #[test]
        fn the_advice_of_a_refusal_works(bits in any::<u128>(), address in special_v4(), six in any::<bool>()) {
            let address = if six { IpAddr::V6(bits.into()) } else { IpAddr::V4(address) };
            if let Some(refusal) = Guard::default().refusal(address) {
                prop_assert!(Guard::new(vec![refusal.network]).admits(address));
            }
        }

        #[test]
        fn only_global_unicast_is_admitted(bits in any::<u128>()) {
            let address = Ipv6Addr::from(bits);
            if Guard::default().admits(IpAddr::V6(address)) {
                prop_assert!(GLOBAL_V6.contains(&address) || embedded(address).is_some());
            }
        }
    }
}
