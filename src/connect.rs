//! Whom to connect to, and how.
//!
//! It knows options and their defaults; it connects nothing.

use std::net::{IpAddr, SocketAddr};

use crate::addr::{Addr, UnixAddr};
use crate::options::Options;

/// Whom to connect to, and how: an address is enough, the rest has defaults.
///
/// ```
/// use switchboard::Connect;
///
/// let addr: std::net::SocketAddr = "192.0.2.1:7000".parse()?;
/// let connect = Connect::to(addr).nodelay(false);
/// # let _ = connect;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    pub(crate) to: Addr,
    pub(crate) options: Options,
}

impl Connect {
    /// Connects to `addr`.
    pub fn to(addr: impl Into<Addr>) -> Connect {
        Connect { to: addr.into().canonical(), options: Options::new() }
    }

    /// `TCP_NODELAY`. Default on: output leaves in one piece per batch, so waiting for more would only add latency.
    #[must_use]
    pub fn nodelay(mut self, on: bool) -> Connect {
        self.options.nodelay = Some(on);
        self
    }

    /// Options of the socket, set before it connects. What they do not say stays as it was said before.
    #[must_use]
    pub fn options(mut self, options: Options) -> Connect {
        self.options = options.or(self.options);
        self
    }
}

impl From<SocketAddr> for Connect {
    fn from(addr: SocketAddr) -> Connect {
        Connect::to(addr)
    }
}

impl From<Addr> for Connect {
    fn from(addr: Addr) -> Connect {
        Connect::to(addr)
    }
}

impl From<UnixAddr> for Connect {
    fn from(addr: UnixAddr) -> Connect {
        Connect::to(addr)
    }
}

/// `([127, 0, 0, 1], 7000)`, `(Ipv6Addr::LOCALHOST, 7000)`: an IP address and a port.
impl<I: Into<IpAddr>> From<(I, u16)> for Connect {
    fn from((ip, port): (I, u16)) -> Connect {
        Connect::to(SocketAddr::new(ip.into(), port))
    }
}
