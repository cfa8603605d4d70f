//! Where a peer is.
//!
//! It knows addresses, their canonical form and how they are written; it does not know sockets or names
//! (`example.org`).

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// The address of one end of a connection, or of a socket for datagrams.
///
/// An IPv4 peer of a listener on `::` is shown as IPv4, not as `::ffff:192.0.2.1`, so that a rule about an
/// address cannot be passed by writing it differently.
///
/// As text, which it is shown as and can be parsed from, it is `127.0.0.1:7000`, `[::1]:7000`, `unix:/run/some.sock`
/// or, for an abstract name, `unix:@some`:
///
/// ```
/// use switchboard::Addr;
///
/// let addr: Addr = "unix:/run/some.sock".parse()?;
/// assert_eq!(addr.unix().and_then(|addr| addr.as_path()), Some("/run/some.sock".as_ref()));
/// assert_eq!("[::ffff:192.0.2.1]:80".parse::<Addr>()?.to_string(), "192.0.2.1:80");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket's path or abstract name.
    Unix(UnixAddr),
    /// No address: a Unix socket that is not bound, as most that connect are not; or the system does not give one for
    /// this kind of socket, or it was gone before it was asked.
    Unnamed,
}

impl Addr {
    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|addr| addr.port())
    }

    /// IP address and port, where there are any.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Addr::Ip(addr) => Some(*addr),
            Addr::Unix(_) | Addr::Unnamed => None,
        }
    }

    /// The same in canonical form, which one that a program has put together itself may not have.
    pub(crate) fn canonical(self) -> Addr {
        match self {
            Addr::Ip(addr) => Addr::from(addr),
            Addr::Unix(_) | Addr::Unnamed => self,
        }
    }

    /// A Unix socket's path or abstract name, where there is one.
    pub fn unix(&self) -> Option<&UnixAddr> {
        match self {
            Addr::Unix(addr) => Some(addr),
            Addr::Ip(_) | Addr::Unnamed => None,
        }
    }
}

/// Takes the canonical form: an IPv4 address mapped into IPv6 becomes IPv4.
impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::Ip(canonical(addr))
    }
}

/// A clone of it: whom a datagram is from is lent, and an answer is sent there.
impl From<&Addr> for Addr {
    fn from(addr: &Addr) -> Addr {
        addr.clone()
    }
}

impl From<UnixAddr> for Addr {
    fn from(addr: UnixAddr) -> Addr {
        Addr::Unix(addr)
    }
}

/// Fails with [`io::ErrorKind::InvalidInput`], saying what was expected. Never looks a name up: that would block.
impl FromStr for Addr {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Addr> {
        match text.strip_prefix("unix:") {
            Some(name) => match name.strip_prefix('@') {
                Some(name) => UnixAddr::from_abstract_name(name).map(Addr::Unix),
                None => UnixAddr::from_path(name).map(Addr::Unix),
            },
            None => match text.parse::<SocketAddr>() {
                Ok(addr) => Ok(Addr::from(addr)),
                Err(_) => Err(invalid(format!(
                    "{text:?} is not an address and a port such as 127.0.0.1:7000, nor unix: and a path"
                ))),
            },
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(addr) => addr.fmt(f),
            Addr::Unix(addr) => addr.fmt(f),
            Addr::Unnamed => f.write_str("unnamed"),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The path or the abstract name of a Unix socket. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixAddr {
    /// As the system has it: an abstract name has a zero byte in front, a path has none.
    bytes: Arc<[u8]>,
}

impl UnixAddr {
    /// The longest path, and the longest abstract name, in bytes: what `sockaddr_un` has room for, less the zero byte
    /// behind a path, or in front of a name. 107 on Linux; 103 on systems with a smaller one.
    pub const LEN_MAX: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

    /// A socket in the file system.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] when the path is empty, has a zero byte or is longer than
    /// [`LEN_MAX`](UnixAddr::LEN_MAX), saying by how much: the system would cut it, or answer with an error that does
    /// not say why. A relative path from the directory of the socket is the way out.
    pub fn from_path(path: impl AsRef<Path>) -> io::Result<UnixAddr> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(invalid("the path of a Unix socket is empty".into()));
        }
        if bytes.contains(&0) {
            return Err(invalid(format!(
                "the path {} of a Unix socket has a zero byte",
                bytes.escape_ascii()
            )));
        }
        if bytes.len() > Self::LEN_MAX {
            return Err(invalid(format!(
                "the path {} of a Unix socket has {} bytes, of which the system takes {}",
                bytes.escape_ascii(),
                bytes.len(),
                Self::LEN_MAX
            )));
        }
        Ok(UnixAddr { bytes: bytes.into() })
    }

    /// A name that is in no file system (Linux): it goes when its last socket does, and permissions do not protect it.
    /// Any process in the same network namespace can connect, so check
    /// who did.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] when the name is longer than [`LEN_MAX`](UnixAddr::LEN_MAX) bytes, and
    /// with [`io::ErrorKind::Unsupported`] where the system has no such names.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<UnixAddr> {
        let name = name.as_ref();
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            let message = "abstract names of Unix sockets are Linux's";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        if name.is_empty() {
            return Err(invalid("the abstract name of a Unix socket is empty".into()));
        }
        if name.len() > Self::LEN_MAX {
            return Err(invalid(format!(
                "an abstract name of {} bytes, of which the system takes {}",
                name.len(),
                Self::LEN_MAX
            )));
        }
        Ok(UnixAddr { bytes: [&[0], name].concat().into() })
    }

    /// The path, if it is one.
    pub fn as_path(&self) -> Option<&Path> {
        match self.bytes.first() {
            Some(0) | None => None,
            Some(_) => Some(Path::new(OsStr::from_bytes(&self.bytes))),
        }
    }

    /// The abstract name, if it is one. It may have any bytes.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.bytes.strip_prefix(&[0])
    }
}

/// As [`Addr`] shows it. Bytes that are no printable ASCII are escaped, so that a log line stays one.
impl fmt::Display for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_abstract_name() {
            Some(name) => write!(f, "unix:@{}", name.escape_ascii()),
            None => write!(f, "unix:{}", self.bytes.escape_ascii()),
        }
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IPv4 address mapped into IPv6 is that IPv4 address.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(_) => addr,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => addr,
        },
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
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
        assert_eq!((named.socket_addr(), named.unix()), (Some(addr), None));
        assert_eq!(format!("{named:?}"), "192.0.2.1:80");
        let unnamed = Addr::Unnamed;
        assert_eq!((unnamed.ip(), unnamed.port(), unnamed.socket_addr()), (None, None, None));
        assert_eq!(format!("{unnamed} {unnamed:?}"), "unnamed unnamed");
    }

    #[test]
    fn an_address_is_parsed_from_what_it_is_shown_as() {
        for text in ["127.0.0.1:80", "[::1]:80", "unix:/run/some.sock", "unix:relative", "unix:@some"] {
            assert_eq!(text.parse::<Addr>().expect("an address").to_string(), text);
        }
        for text in ["", "localhost:80", "127.0.0.1", "unix:", "unix:@"] {
            let error = text.parse::<Addr>().expect_err("no address");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }

    // K9: one byte more than the system takes.
    #[test]
    fn k9_a_path_too_long_is_a_clear_error() {
        let longest = "x".repeat(UnixAddr::LEN_MAX);
        assert_eq!(UnixAddr::from_path(&longest).expect("it fits").as_path(), Some(Path::new(&longest)));
        let error = UnixAddr::from_path(format!("{longest}x")).expect_err("one byte too long");
        assert!(error.to_string().contains("has 108 bytes, of which the system takes 107"), "{error}");
        assert!(UnixAddr::from_abstract_name(format!("{longest}x")).is_err());
        assert!(UnixAddr::from_path("a\0b").is_err());
    }

    #[test]
    fn a_name_is_a_path_or_abstract_and_shown_in_one_line() {
        let path = UnixAddr::from_path("/a\nb").expect("a path");
        assert_eq!((path.as_abstract_name(), path.to_string().as_str()), (None, "unix:/a\\nb"));
        let name = UnixAddr::from_abstract_name([b'a', 0, 0xff]).expect("a name");
        assert_eq!((name.as_path(), name.as_abstract_name()), (None, Some(&[b'a', 0, 0xff][..])));
        assert_eq!(format!("{name:?}"), "unix:@a\\x00\\xff");
    }
}
