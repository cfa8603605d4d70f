//! Options of sockets as a value: what each is for, in which unit, and from where to where.
//!
//! It knows numbers and their bounds; it does not know sockets, nor how an option is set.

use std::fmt;
use std::io;
use std::time::Duration;

/// Options of a socket. What is `None` is not touched when they are set, and does not exist there when they were asked
/// for.
///
/// They are given before a socket opens ([`Listen::options`](crate::Listen::options),
/// [`Connect::options`](crate::Connect::options), [`Bind::options`](crate::Bind::options)), in `opened`
/// ([`Peer::set`](crate::Peer::set)), from any callback ([`Context::set_options`](crate::Context::set_options)) or from
/// outside ([`Reactor::set_options`](crate::Reactor::set_options)). What a listener has, Linux gives to all that it
/// accepts: every one of these options.
///
/// A value out of range is refused with [`io::ErrorKind::InvalidInput`] before any is set, and so is an option that is
/// not one of that kind of socket. Then they are set one after the other; the first that the system refuses is named in
/// the error, and those before it stay.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Keepalive, Listen, Options};
///
/// let addr: std::net::SocketAddr = "127.0.0.1:0".parse()?;
/// // A peer that is gone without a word is noticed after 60 + 3 * 10 seconds.
/// let keepalive = Keepalive::new(Duration::from_secs(60), Duration::from_secs(10), 3);
/// let listen = Listen::new(addr).options(Options::new().keepalive(keepalive));
/// # let _ = listen;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// `SO_LINGER` is not among them. On, it makes a close wait, which a loop must not; with zero it makes the close a reset,
/// which is [`Close::Abort`](crate::Close::Abort).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Options {
    /// `SO_RCVBUF`: how many bytes the kernel keeps that were not received. 1 byte to 1 GiB; any socket.
    ///
    /// Left alone, that of TCP adapts, which is nearly always better: set, it never does again. Linux takes at most
    /// `net.core.rmem_max`, doubles that for its own overhead, makes it at least 2,304, and answers with the double.
    /// For a large window of TCP it must be set before the socket connects or listens. At a socket for datagrams, what
    /// arrives while it is full is lost, and nobody is told.
    pub recv_buffer_size: Option<usize>,
    /// `SO_SNDBUF`: how many bytes the kernel keeps that were not sent, or not acknowledged. 1 byte to 1 GiB; any
    /// socket.
    ///
    /// As `recv_buffer_size`, with `net.core.wmem_max` and at least 4,608.
    pub send_buffer_size: Option<usize>,
    /// `SO_KEEPALIVE` and its three numbers: whether a silent peer is asked if it is still there. TCP.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`: for how long what was sent may stay unacknowledged before the connection fails with
    /// `TimedOut`. Whole milliseconds up to 2,147,483,647 (24 days); zero is the system's own way, 15 minutes and more.
    /// TCP on Linux.
    ///
    /// It also counts while the peer is there and its receive buffer is full. With keepalive too, this number says
    /// when the peer is given up, in place of `times`: at the first question that is due after it.
    pub user_timeout: Option<Duration>,
    /// `TCP_NODELAY`: whether small pieces leave at once instead of waiting for an acknowledgement of those before. TCP.
    /// On by default here: output leaves in one piece per batch, so waiting for more would only add latency.
    pub nodelay: Option<bool>,
    /// `IP_TOS` and `IPV6_TCLASS`: the traffic class of what is sent, the DSCP in its upper six bits. TCP and UDP.
    ///
    /// The lower two bits are ECN's; of TCP they are the kernel's own and are ignored. At an IPv6 socket it is that of
    /// IPv4 peers as well.
    pub traffic_class: Option<u8>,
    /// `IP_TTL` and `IPV6_UNICAST_HOPS`: over how many routers what is sent may go. 1 to 255, Linux begins with 64. TCP
    /// and UDP; of multicast, [`Bind::multicast_hops`](crate::Bind::multicast_hops) says so.
    pub hop_limit: Option<u8>,
    /// `IP_MTU_DISCOVER`: whether what is sent must not be cut up on its way. TCP and UDP on Linux.
    ///
    /// On, a datagram that is larger than the path takes is refused (`EMSGSIZE`, told with
    /// `Handler::datagram_failed`). Off, the network may cut up anything. As `None` the system learns what the path takes
    /// and cuts up datagrams that are larger.
    pub dont_fragment: Option<bool>,
    /// `SO_MARK`: a number on everything that is sent, for the firewall and for policy routing. TCP and UDP on Linux.
    /// It takes the capability `CAP_NET_ADMIN`, and the error says so; 0 is none.
    pub mark: Option<u32>,
    /// `SO_BINDTODEVICE`: the name of the one interface that may be used, as `eth0`, for what is received and for what is
    /// sent. Up to 15 bytes; the empty name is any. TCP and UDP on Linux. To change it once it is set takes the capability
    /// `CAP_NET_RAW`.
    pub device: Option<String>,
    /// `TCP_NOTSENT_LOWAT`: of how many bytes not sent yet on the kernel takes no more, although the send buffer has room
    /// for what is sent and not acknowledged. 0 is the system's way, without such a limit. TCP on Linux.
    ///
    /// For programs that decide late what goes first: what the kernel has cannot be overtaken.
    pub not_sent_low_water: Option<u32>,
}

/// Whether and how a silent peer is asked if it is still there, by the kernel and without the program.
///
/// Only a machine that is gone, or no longer reachable, is noticed by it; a program that hangs is not, as its kernel
/// answers. `Config::idle_timeout` notices both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Keepalive {
    /// Nobody is asked: a peer that vanished while nothing is sent is never noticed. The system's default.
    Off,
    /// A peer that was silent is asked again and again, and then given up: the connection fails with `TimedOut`.
    On {
        /// For how long it must have been silent. Whole seconds from 1 to 32,767; Linux begins with 7,200.
        after: Duration,
        /// How long after a question the next one follows. Whole seconds from 1 to 32,767; Linux begins with 75.
        every: Duration,
        /// How many questions may stay unanswered. 1 to 127; Linux begins with 9.
        times: u32,
    },
}

impl Keepalive {
    /// [`Keepalive::On`] with these numbers: a peer that is gone is noticed `after + every * times` after its last sign
    /// of life.
    pub fn new(after: Duration, every: Duration, times: u32) -> Keepalive {
        Keepalive::On { after, every, times }
    }
}

/// What kind of socket options are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Unix,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
            Transport::Unix => "Unix sockets",
        })
    }
}

/// The largest size of a buffer: Linux doubles it, in 31 bits.
const BUFFER_MAX: usize = 1 << 30;

/// What Linux has room for (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`, `MAX_TCP_KEEPCNT`).
const KEEPALIVE_SECS_MAX: u64 = 32_767;
const KEEPALIVE_TIMES_MAX: u32 = 127;

/// The system counts them in an `int`.
const USER_TIMEOUT_MILLIS_MAX: u128 = i32::MAX as u128;

/// The longest name of an interface, in bytes (`IFNAMSIZ` less the zero byte behind it).
const DEVICE_LEN_MAX: usize = 15;

/// Each says what the field of its name does.
impl Options {
    /// None yet.
    pub fn new() -> Options {
        Options::default()
    }

    /// [`Options::recv_buffer_size`], in bytes.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Options {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// [`Options::send_buffer_size`], in bytes.
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Options {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// [`Options::keepalive`].
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Options {
        self.keepalive = Some(keepalive);
        self
    }

    /// [`Options::user_timeout`].
    #[must_use]
    pub fn user_timeout(mut self, timeout: Duration) -> Options {
        self.user_timeout = Some(timeout);
        self
    }

    /// [`Options::nodelay`].
    #[must_use]
    pub fn nodelay(mut self, on: bool) -> Options {
        self.nodelay = Some(on);
        self
    }

    /// [`Options::traffic_class`].
    #[must_use]
    pub fn traffic_class(mut self, class: u8) -> Options {
        self.traffic_class = Some(class);
        self
    }

    /// [`Options::hop_limit`].
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Options {
        self.hop_limit = Some(hops);
        self
    }

    /// [`Options::dont_fragment`].
    #[must_use]
    pub fn dont_fragment(mut self, on: bool) -> Options {
        self.dont_fragment = Some(on);
        self
    }

    /// [`Options::mark`].
    #[must_use]
    pub fn mark(mut self, mark: u32) -> Options {
        self.mark = Some(mark);
        self
    }

    /// [`Options::device`].
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Options {
        self.device = Some(name.into());
        self
    }

    /// [`Options::not_sent_low_water`], in bytes.
    #[must_use]
    pub fn not_sent_low_water(mut self, bytes: u32) -> Options {
        self.not_sent_low_water = Some(bytes);
        self
    }

    /// What these say, and where they say nothing, what `base` says.
    #[must_use]
    pub fn or(self, base: Options) -> Options {
        Options {
            recv_buffer_size: self.recv_buffer_size.or(base.recv_buffer_size),
            send_buffer_size: self.send_buffer_size.or(base.send_buffer_size),
            keepalive: self.keepalive.or(base.keepalive),
            user_timeout: self.user_timeout.or(base.user_timeout),
            nodelay: self.nodelay.or(base.nodelay),
            traffic_class: self.traffic_class.or(base.traffic_class),
            hop_limit: self.hop_limit.or(base.hop_limit),
            dont_fragment: self.dont_fragment.or(base.dont_fragment),
            mark: self.mark.or(base.mark),
            device: self.device.or(base.device),
            not_sent_low_water: self.not_sent_low_water.or(base.not_sent_low_water),
        }
    }

    /// Says which value is out of range, if one is: [`io::ErrorKind::InvalidInput`], with the number and the bounds.
    pub fn validate(&self) -> io::Result<()> {
        let buffers =
            [("recv_buffer_size", self.recv_buffer_size), ("send_buffer_size", self.send_buffer_size)];
        for (name, bytes) in buffers {
            if let Some(bytes) = bytes.filter(|bytes| !(1..=BUFFER_MAX).contains(bytes)) {
                return Err(invalid(format!("{name} of {bytes} bytes is outside 1 to {BUFFER_MAX}")));
            }
        }
        if let Some(Keepalive::On { after, every, times }) = self.keepalive {
            for (name, wait) in [("after", after), ("every", every)] {
                let whole = wait.subsec_nanos() == 0;
                if !whole || !(1..=KEEPALIVE_SECS_MAX).contains(&wait.as_secs()) {
                    return Err(invalid(format!(
                        "keepalive {name} {wait:?} is not a number of whole seconds from 1 to {KEEPALIVE_SECS_MAX}"
                    )));
                }
            }
            if !(1..=KEEPALIVE_TIMES_MAX).contains(&times) {
                return Err(invalid(format!(
                    "keepalive with {times} questions is outside 1 to {KEEPALIVE_TIMES_MAX}"
                )));
            }
        }
        if let Some(timeout) = self.user_timeout {
            if timeout.subsec_nanos() % 1_000_000 != 0 || timeout.as_millis() > USER_TIMEOUT_MILLIS_MAX {
                return Err(invalid(format!(
                    "user_timeout of {timeout:?} is not a number of whole milliseconds up to {USER_TIMEOUT_MILLIS_MAX}"
                )));
            }
        }
        if self.hop_limit == Some(0) {
            return Err(invalid("hop_limit of 0 is outside 1 to 255".into()));
        }
        if let Some(device) = &self.device {
            if device.len() > DEVICE_LEN_MAX || device.contains(['\0', '/']) {
                return Err(invalid(format!(
                    "device {device:?} is no name of an interface: up to {DEVICE_LEN_MAX} bytes, without / and zero bytes"
                )));
            }
        }
        if let Some(bytes) = self.not_sent_low_water.filter(|&bytes| i32::try_from(bytes).is_err()) {
            return Err(invalid(format!("not_sent_low_water of {bytes} bytes is above {}", i32::MAX)));
        }
        Ok(())
    }

    /// As [`Options::validate`], and says which is no option of such a socket.
    pub(crate) fn validate_for(&self, transport: Transport) -> io::Result<()> {
        let of_tcp = [
            ("keepalive", self.keepalive.is_some()),
            ("user_timeout", self.user_timeout.is_some()),
            ("nodelay", self.nodelay.is_some()),
            ("not_sent_low_water", self.not_sent_low_water.is_some()),
        ];
        let of_ip = [
            ("traffic_class", self.traffic_class.is_some()),
            ("hop_limit", self.hop_limit.is_some()),
            ("dont_fragment", self.dont_fragment.is_some()),
            ("mark", self.mark.is_some()),
            ("device", self.device.is_some()),
        ];
        let foreign = match transport {
            Transport::Tcp => None,
            Transport::Udp => of_tcp.iter().find(|(_, given)| *given),
            Transport::Unix => of_tcp.iter().chain(&of_ip).find(|(_, given)| *given),
        };
        match foreign {
            Some((name, _)) => Err(invalid(format!("{name} is no option of {transport}"))),
            None => self.validate(),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: &Options) -> String {
        let error = options.validate_for(Transport::Tcp).expect_err("out of range");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_the_number_and_the_bounds() {
        let secs = Duration::from_secs;
        let o = Options::new;
        assert_eq!(
            refusal(&o().recv_buffer_size(0)),
            "recv_buffer_size of 0 bytes is outside 1 to 1073741824"
        );
        assert!(refusal(&o().send_buffer_size(usize::MAX)).contains("outside 1 to 1073741824"));
        for (after, every, times) in [
            (secs(0), secs(1), 1),
            (secs(1), secs(32_768), 1),
            (secs(1), Duration::from_millis(1500), 1),
            (secs(1), secs(1), 0),
            (secs(1), secs(1), 128),
        ] {
            assert!(refusal(&o().keepalive(Keepalive::new(after, every, times))).starts_with("keepalive "));
        }
        assert_eq!(
            refusal(&o().user_timeout(Duration::from_micros(1))),
            "user_timeout of 1µs is not a number of whole milliseconds up to 2147483647"
        );
        assert!(refusal(&o().user_timeout(Duration::MAX)).contains("whole milliseconds"));
        assert_eq!(refusal(&o().hop_limit(0)), "hop_limit of 0 is outside 1 to 255");
        assert!(refusal(&o().device("sixteen_bytes_xx")).contains("up to 15 bytes"));
        assert!(refusal(&o().device("a/b")).contains("no name of an interface"));
        assert_eq!(
            refusal(&o().not_sent_low_water(1 << 31)),
            "not_sent_low_water of 2147483648 bytes is above 2147483647"
        );
    }

    #[test]
    fn the_bounds_themselves_are_in_range() {
        let secs = Duration::from_secs;
        let least = Options::new()
            .recv_buffer_size(1)
            .send_buffer_size(1)
            .keepalive(Keepalive::new(secs(1), secs(1), 1))
            .user_timeout(Duration::ZERO)
            .hop_limit(1)
            .device("")
            .not_sent_low_water(0);
        let most = Options::new()
            .recv_buffer_size(1 << 30)
            .keepalive(Keepalive::new(secs(32_767), secs(32_767), 127))
            .user_timeout(Duration::from_millis(0x7fff_ffff))
            .hop_limit(255)
            .traffic_class(255)
            .mark(u32::MAX)
            .device("fifteen_bytes_x")
            .not_sent_low_water(0x7fff_ffff);
        for options in [Options::new(), least, most] {
            options.validate_for(Transport::Tcp).expect("in range");
        }
    }

    #[test]
    fn an_option_of_another_kind_of_socket_is_named() {
        let refused = |options: Options, transport| {
            options.validate_for(transport).expect_err("not one of its own").to_string()
        };
        assert_eq!(refused(Options::new().nodelay(false), Transport::Udp), "nodelay is no option of UDP");
        let keepalive = Options::new().keepalive(Keepalive::Off);
        assert_eq!(refused(keepalive, Transport::Udp), "keepalive is no option of UDP");
        let mark = Options::new().mark(1);
        assert!(mark.validate_for(Transport::Udp).is_ok());
        assert_eq!(refused(mark, Transport::Unix), "mark is no option of Unix sockets");
        assert!(Options::new().send_buffer_size(1).validate_for(Transport::Unix).is_ok());
    }

    #[test]
    fn of_two_the_first_that_says_something_counts() {
        let base = Options::new().nodelay(true).mark(1).hop_limit(3);
        let both = Options::new().nodelay(false).device("lo").or(base);
        assert_eq!(both, Options::new().nodelay(false).mark(1).hop_limit(3).device("lo"));
        assert_eq!(both.clone().or(Options::new()), both);
        assert_eq!(Options::new().or(both.clone()), both);
    }
}
