//! Whom to connect to, and how.
//!
//! It knows options, their defaults, and the order in which several addresses are tried; it connects nothing and looks
//! no name up.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::addr::{Addr, UnixAddr, canonical};
use crate::options::Options;

/// Whom to connect to, and how: an address is enough, the rest has defaults.
///
/// As text, which it can be parsed from, it is an [`Addr`] or a name and a port: `127.0.0.1:7000`, `example.org:7000`.
///
/// ```
/// use switchboard::Connect;
///
/// let addr: std::net::SocketAddr = "192.0.2.1:7000".parse()?;
/// let connect = Connect::to(addr).nodelay(false);
/// let several = Connect::to_any([addr, "[2001:db8::1]:7000".parse()?])?;
/// let named: Connect = "example.org:7000".parse()?;
/// # let _ = (connect, several, named);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    pub(crate) to: Target,
    pub(crate) options: Options,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stagger: Duration,
    pub(crate) after: Duration,
}

/// Whom to connect to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    One(Addr),
    /// The first of them that answers, in the order in which they are tried.
    Any(Vec<Addr>),
    /// Whoever a name stands for.
    Name(Name),
}

/// A name and a port: what is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

impl Connect {
    /// The most addresses of one connect: 16. Of a name that has more, the others are not tried.
    pub const ADDRS_MAX: usize = 16;

    /// The longest name: 253 bytes (RFC 1035 section 2.3.4, as text).
    pub const NAME_LEN_MAX: usize = 253;

    /// Connects to `addr`.
    pub fn to(addr: impl Into<Addr>) -> Connect {
        Connect::with(Target::One(addr.into().canonical()))
    }

    /// Connects to whichever of `addrs` answers first (RFC 8305): the first is tried, the next one when it has failed or
    /// has not answered within [`stagger`](Connect::stagger), and so on; the first to be connected is it, and the others
    /// are closed. They are tried in this order, but the two IP families in turn; Unix sockets count as IPv4. One whose
    /// backlog is full is tried again behind the others.
    ///
    /// It is one connection: one id, one `opened` with the address of the one that answered, or one `connect_failed`
    /// with the error that says most. The time-out is that of all together. Attempts side by side each take a
    /// descriptor; none is begun beside another at the limit of connections.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] when there is none, or more than
    /// [`ADDRS_MAX`](Connect::ADDRS_MAX) different ones.
    pub fn to_any(addrs: impl IntoIterator<Item: Into<Addr>>) -> io::Result<Connect> {
        let addrs = in_turn(addrs);
        match addrs.len() {
            0 => Err(invalid("no address to connect to".into())),
            1..=Self::ADDRS_MAX => Ok(Connect::with(Target::Any(addrs))),
            count => Err(invalid(format!("connect to {count} addresses, limit is {}", Self::ADDRS_MAX))),
        }
    }

    /// Connects to whatever `host` stands for: it is looked up first, and its addresses are tried as in
    /// [`to_any`](Connect::to_any). An IP address is taken as it is.
    ///
    /// The system's resolver does it (`getaddrinfo`), on a thread of its own: the loop never waits. One name is looked
    /// up at a time, so that those behind a name whose servers do not answer wait. The time-out of the connect counts
    /// from the beginning. A name that cannot be looked up is told by `connect_failed`, with the name in the reason.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] when the name is empty, is longer than
    /// [`NAME_LEN_MAX`](Connect::NAME_LEN_MAX) bytes, or has white space, control characters or
    /// any of `:/[]` in it, as a URL has.
    pub fn name(host: &str, port: u16) -> io::Result<Connect> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Connect::to(SocketAddr::new(ip, port)));
        }
        if host.is_empty() {
            return Err(invalid("the name to connect to is empty".into()));
        }
        if host.len() > Self::NAME_LEN_MAX {
            return Err(invalid(format!(
                "the name to connect to has {} bytes, limit is {}",
                host.len(),
                Self::NAME_LEN_MAX
            )));
        }
        if host.chars().any(|char| char.is_control() || char.is_whitespace() || ":/[]".contains(char)) {
            return Err(invalid(format!("{host:?} is no name")));
        }
        Ok(Connect::with(Target::Name(Name { host: host.into(), port })))
    }

    fn with(to: Target) -> Connect {
        Connect {
            to,
            options: Options::new(),
            local: None,
            timeout: None,
            stagger: Duration::from_millis(250),
            after: Duration::ZERO,
        }
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

    /// Connects from this address of ours; port 0 lets the system choose. Default: the system chooses both. For a Unix
    /// socket it is not looked at.
    ///
    /// For machines with several addresses, and for servers that look at where one comes from. One that is not ours,
    /// one in use and ports that have run out are told by `connect_failed`. Chosen this way, a port serves one
    /// destination at a time, where the system's own choice serves one for each: about 28,000 connections from one
    /// address on Linux. A port other than 0 is bound with `SO_REUSEADDR`, so that one in TIME-WAIT can be used.
    #[must_use]
    pub fn local(mut self, addr: impl Into<SocketAddr>) -> Connect {
        self.local = Some(canonical(addr.into()));
        self
    }

    /// How long the connect may take, with looking its name up and with all of its addresses. Default:
    /// `Config::connect_timeout`. With zero it ends as soon as it can.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Connect {
        self.timeout = Some(timeout);
        self
    }

    /// How long one address may take before the next one is tried beside it, if there are several: 250 ms. Kept within
    /// 10 ms and 2 s (RFC 8305 section 5).
    #[must_use]
    pub fn stagger(mut self, stagger: Duration) -> Connect {
        self.stagger = stagger.clamp(Duration::from_millis(10), Duration::from_secs(2));
        self
    }

    /// Begins once `after` has passed, counted from the end of the callback that asks for it: for another attempt after
    /// one that failed, with what a [`Backoff`](crate::Backoff) says. Default: at once.
    ///
    /// It is a connection from the beginning, and counts as one: it can be sent to, and closed. The time-out begins when
    /// the attempt does.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Connect {
        self.after = after;
        self
    }

    /// The address that it is known by until it is connected.
    pub(crate) fn peer(&self) -> Addr {
        match &self.to {
            Target::One(addr) => addr.clone(),
            Target::Any(addrs) => addrs.first().cloned().unwrap_or(Addr::Unnamed),
            Target::Name(_) => Addr::Unnamed,
        }
    }
}

/// Each address once, the families in turn, beginning with that of the first (RFC 8305 section 4).
pub(crate) fn in_turn(addrs: impl IntoIterator<Item: Into<Addr>>) -> Vec<Addr> {
    let mut once: Vec<Addr> = Vec::new();
    for addr in addrs {
        let addr = addr.into().canonical();
        if !once.contains(&addr) {
            once.push(addr);
        }
    }
    let is_v6 = |addr: &Addr| addr.ip().is_some_and(|ip| ip.is_ipv6());
    let first_is_v6 = once.first().is_some_and(is_v6);
    let count = once.len();
    let (like_first, other): (Vec<_>, Vec<_>) = once.into_iter().partition(|addr| is_v6(addr) == first_is_v6);
    let (mut like_first, mut other) = (like_first.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(count);
    while turns.len() < count {
        turns.extend(like_first.next());
        turns.extend(other.next());
    }
    turns
}

/// Whom, as it can be parsed; several addresses with commas between them.
impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Target::One(addr) => addr.fmt(f),
            Target::Any(addrs) => {
                for (at, addr) in addrs.iter().enumerate() {
                    write!(f, "{}{addr}", if at > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Target::Name(name) => write!(f, "{}:{}", name.host, name.port),
        }
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

/// Fails with [`io::ErrorKind::InvalidInput`], saying what was expected. Nothing is looked up here.
impl FromStr for Connect {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Connect> {
        if text.starts_with("unix:") || text.parse::<SocketAddr>().is_ok() {
            return text.parse().map(|addr: Addr| Connect::to(addr));
        }
        match text.rsplit_once(':') {
            // A second colon is that of an IPv6 address without brackets.
            Some((host, port)) if !host.contains(':') && !host.is_empty() => match port.parse() {
                Ok(port) => Connect::name(host, port),
                Err(_) => Err(invalid(format!("{port:?} is no port: a number up to 65535"))),
            },
            Some(_) | None => Err(invalid(format!(
                "{text:?} is not a name or an address and a port such as localhost:7000, nor unix: and a path"
            ))),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_whom_it_connects_to() {
        for text in ["127.0.0.1:7000", "[::1]:7000", "unix:/run/some.sock", "example.org:7000"] {
            assert_eq!(text.parse::<Connect>().expect("an address or a name").to_string(), text);
        }
        let several: [SocketAddr; 2] = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        assert_eq!(Connect::to_any(several).expect("two").to_string(), "127.0.0.1:1, 127.0.0.1:2");
    }

    fn addrs(texts: &[&str]) -> Vec<Addr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn addresses_are_tried_once_each_and_the_families_in_turn() {
        let given = ["[::1]:1", "[::2]:1", "[::ffff:10.0.0.1]:1", "[::1]:1", "10.0.0.1:1", "[::3]:1"];
        assert_eq!(in_turn(addrs(&given)), addrs(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"]));
        let given = ["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"];
        assert_eq!(in_turn(addrs(&given)), addrs(&["10.0.0.1:1", "[::1]:1", "10.0.0.2:1"]));
        assert_eq!(in_turn(addrs(&[])), []);
    }

    #[test]
    fn a_connect_to_no_address_or_too_many_is_refused_with_the_number() {
        let refused = |count: u16| {
            let addrs = (0..count).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            Connect::to_any(addrs).err().map(|error| error.to_string())
        };
        assert_eq!(refused(0).as_deref(), Some("no address to connect to"));
        assert_eq!(refused(16), None);
        assert_eq!(refused(17).as_deref(), Some("connect to 17 addresses, limit is 16"));
    }

    #[test]
    fn a_name_and_a_port_are_parsed_and_an_address_is_no_name() {
        let parse = |text: &str| text.parse::<Connect>().expect("it can be parsed").to;
        assert!(
            matches!(parse("localhost:7000"), Target::Name(name) if &*name.host == "localhost" && name.port == 7000)
        );
        for text in ["127.0.0.1:80", "[::1]:80", "unix:/run/some.sock"] {
            assert!(matches!(parse(text), Target::One(addr) if addr.to_string() == text), "{text}");
        }
        let literal = Connect::name("::1", 80).expect("an address").to;
        assert!(matches!(literal, Target::One(addr) if addr.to_string() == "[::1]:80"));
    }

    #[test]
    fn what_is_no_name_is_refused_and_says_what_was_expected() {
        for (text, said) in [
            ("localhost", "such as localhost:7000"),
            (":80", "such as localhost:7000"),
            ("::1:80x", "such as localhost:7000"),
            ("localhost:http", "\"http\" is no port"),
            ("local host:80", "\"local host\" is no name"),
            ("a\nb:80", "\"a\\nb\" is no name"),
            ("http/localhost:80", "\"http/localhost\" is no name"),
            ("unix:", "is empty"),
        ] {
            let error = text.parse::<Connect>().expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(said), "{error}");
        }
        let longest = "x".repeat(Connect::NAME_LEN_MAX);
        assert!(Connect::name(&longest, 1).is_ok());
        let error = Connect::name(&format!("{longest}x"), 1).expect_err("one byte too long");
        assert_eq!(error.to_string(), "the name to connect to has 254 bytes, limit is 253");
        assert!(Connect::name("", 1).is_err() && Connect::name("localhost:80", 1).is_err());
    }

    #[test]
    fn a_stagger_stays_within_its_bounds() {
        let stagger =
            |millis| Connect::from(([1, 1, 1, 1], 1)).stagger(Duration::from_millis(millis)).stagger;
        assert_eq!([0, 100, 9000].map(stagger).map(|it| it.as_millis()), [10, 100, 2000]);
    }
}
