//! Where a peer is.
//!
//! It knows addresses and their canonical form; it does not know sockets or names (`example.org`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address of one end of a connection.
///
/// An IPv4 peer of a listener on `::` is shown as IPv4, not as `::ffff:192.0.2.1`, so that a rule about an
/// address cannot be passed by writing it differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// No address: the system does not give one for this kind of socket, or it was gone before it was asked.
    Unnamed,
}

impl Addr {
    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Addr::Ip(addr) => Some(addr.ip()),
            Addr::Unnamed => None,
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|addr| addr.port())
    }

    /// IP address and port, where there are any.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Addr::Ip(addr) => Some(*addr),
            Addr::Unnamed => None,
        }
    }
}

/// Takes the canonical form: an IPv4 address mapped into IPv6 becomes IPv4.
impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::Ip(match addr {
            SocketAddr::V4(_) => addr,
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => SocketAddr::from((v4, v6.port())),
                None => addr,
            },
        })
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(addr) => addr.fmt(f),
            Addr::Unnamed => f.write_str("unnamed"),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_takes_its_canonical_form() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().expect("an address");
        assert_eq!(Addr::from(mapped).to_string(), "127.0.0.1:80");
        let v6: SocketAddr = "[::1]:80".parse().expect("an address");
        assert_eq!(Addr::from(v6).to_string(), "[::1]:80");
    }

    #[test]
    fn an_address_is_taken_apart_where_there_is_one() {
        let addr: SocketAddr = "192.0.2.1:80".parse().expect("an address");
        let named = Addr::from(addr);
        assert_eq!((named.ip(), named.port()), (Some(addr.ip()), Some(80)));
        assert_eq!(named.socket_addr(), Some(addr));
        assert_eq!(format!("{named:?}"), "192.0.2.1:80");
        let unnamed = Addr::Unnamed;
        assert_eq!((unnamed.ip(), unnamed.port(), unnamed.socket_addr()), (None, None, None));
        assert_eq!(format!("{unnamed} {unnamed:?}"), "unnamed unnamed");
    }
}
