//! Which addresses a fetch may connect to (FEC-30): a peer must not make us its arm into our own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The Internet at large.
    Public,
    /// A private network: RFC 1918, unique local, carrier-grade NAT, test and reserved ranges.
    Private,
    /// This machine.
    Loopback,
    /// Link-local, or the metadata service of a cloud, which hands out credentials.
    LinkLocal,
    /// Unspecified, multicast or broadcast: nobody in particular.
    Nobody,
}

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressRefusal {
    /// Refused unless the relationship allows it.
    #[error("it is link-local or a cloud's metadata service; allow_link_local permits that")]
    LinkLocal,
    /// Refused where nothing can allow it.
    #[error("it is link-local or a cloud's metadata service")]
    LinkLocalAlways,
    /// Refused always.
    #[error("it is an unspecified, multicast or broadcast address")]
    Nobody,
    /// A redirect from elsewhere into a private network.
    #[error(
        "it is private, and what redirects and documents name is in a private network only if the configured host is"
    )]
    Private,
    /// A redirect from elsewhere to this machine.
    #[error("it is this machine, and what redirects and documents name is this machine only if the configured host is")]
    Loopback,
}

/// Judges one address, before anything is sent to it.
///
/// `configured` is where the configured host was reached: `None` while that is the one to connect to,
/// since whoever configured it may point it anywhere but at metadata.
pub(super) fn permitted(
    address: IpAddr,
    configured: Option<Reach>,
    allow_link_local: bool,
) -> Result<(), AddressRefusal> {
    let reach = reach(address);
    let same = configured.is_none_or(|configured| configured == reach);
    match reach {
        Reach::Public => Ok(()),
        Reach::Private if same => Ok(()),
        Reach::Loopback if same => Ok(()),
        Reach::LinkLocal if allow_link_local => Ok(()),
        Reach::Private => Err(AddressRefusal::Private),
        Reach::Loopback => Err(AddressRefusal::Loopback),
        Reach::LinkLocal => Err(AddressRefusal::LinkLocal),
        Reach::Nobody => Err(AddressRefusal::Nobody),
    }
}

/// The kind of place an address leads to; one that carries an IPv4 address counts as that.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        _ if METADATA.contains(&address) => Reach::LinkLocal,
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| reach_v6(address), |inner| reach(inner.into())),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [0, ..] | [255, 255, 255, 255] => Reach::Nobody,
        _ if address.is_multicast() => Reach::Nobody,
        _ if address.is_loopback() => Reach::Loopback,
        _ if address.is_link_local() => Reach::LinkLocal,
        _ if address.is_private() || address.is_documentation() => Reach::Private,
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] | [240..=255, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        _ if address.is_unspecified() || address.is_multicast() => Reach::Nobody,
        _ if address.is_loopback() => Reach::Loopback,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // Unique local, the site-local range before it, documentation, and the discard prefix.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x2001, 0xdb8, ..] | [0x100, 0, 0, 0, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

/// The IPv4 address inside a mapped, compatible, translated (RFC 6052, RFC 8215) or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(from(high, low)),
        _ => None,
    }
}

/// Metadata services outside the link-local ranges: AWS and Google over IPv6, Alibaba, Azure, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fec_30_every_address_has_its_reach() {
        for (address, expected) in [
            ("8.8.8.8", Reach::Public),
            ("2606:4700::1", Reach::Public),
            ("10.0.0.1", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.128.0.1", Reach::Public),
            ("192.0.2.1", Reach::Private),
            ("198.18.0.1", Reach::Private),
            ("240.0.0.1", Reach::Private),
            ("fc00::1", Reach::Private),
            ("fdff::1", Reach::Private),
            ("fec0::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::10.0.0.1", Reach::Private),
            ("64:ff9b:1::10.0.0.1", Reach::Private),
            ("2002:a00:1::", Reach::Private),
            ("127.0.0.1", Reach::Loopback),
            ("127.9.9.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("::127.0.0.1", Reach::Loopback),
            ("::ffff:0:127.0.0.1", Reach::Loopback),
            ("64:ff9b::127.0.0.1", Reach::Loopback),
            ("169.254.169.254", Reach::LinkLocal),
            ("169.254.0.1", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("febf::1", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("64:ff9b::169.254.169.254", Reach::LinkLocal),
            ("2002:a9fe:a9fe::", Reach::LinkLocal),
            ("fd00:ec2::254", Reach::LinkLocal),
            ("fd20:ce::254", Reach::LinkLocal),
            ("100.100.100.200", Reach::LinkLocal),
            ("::ffff:100.100.100.200", Reach::LinkLocal),
            ("168.63.129.16", Reach::LinkLocal),
            ("192.0.0.192", Reach::LinkLocal),
            ("0.0.0.0", Reach::Nobody),
            ("0.1.2.3", Reach::Nobody),
            ("::", Reach::Nobody),
            ("::ffff:0.0.0.0", Reach::Nobody),
            ("224.0.0.1", Reach::Nobody),
            ("ff02::1", Reach::Nobody),
            ("255.255.255.255", Reach::Nobody),
        ] {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn fec_30_a_redirect_never_leads_to_a_more_private_place() {
        use AddressRefusal::{LinkLocal, Loopback, Nobody, Private};
        for (address, configured, allow_link_local, expected) in [
            ("8.8.8.8", None, false, Ok(())),
            ("8.8.8.8", Some(Reach::Loopback), false, Ok(())),
            ("10.0.0.1", None, false, Ok(())),
            ("10.0.0.1", Some(Reach::Private), false, Ok(())),
            ("10.0.0.1", Some(Reach::Public), false, Err(Private)),
            ("10.0.0.1", Some(Reach::Loopback), false, Err(Private)),
            ("::ffff:10.0.0.1", Some(Reach::Public), false, Err(Private)),
            ("127.0.0.1", None, false, Ok(())),
            ("127.0.0.1", Some(Reach::Loopback), false, Ok(())),
            ("127.0.0.1", Some(Reach::Public), false, Err(Loopback)),
            ("127.0.0.1", Some(Reach::Private), true, Err(Loopback)),
            ("169.254.169.254", None, false, Err(LinkLocal)),
            ("169.254.169.254", Some(Reach::LinkLocal), false, Err(LinkLocal)),
            ("169.254.169.254", Some(Reach::Public), true, Ok(())),
            ("fd00:ec2::254", Some(Reach::Private), false, Err(LinkLocal)),
            ("0.0.0.0", None, true, Err(Nobody)),
            ("224.0.0.1", None, true, Err(Nobody)),
        ] {
            assert_eq!(permitted(address.parse().unwrap(), configured, allow_link_local), expected, "{address}");
        }
    }
}
