//! Every limit, budget and wait of a reactor, with its default and the reason for it.
//!
//! It knows numbers and which of them contradict each other; it does not act on any.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::Addr;
use crate::listen::OWNER_ONLY;
use crate::options::Options;

/// What a reactor may hold, do in one turn, and wait for.
///
/// Every size is finite. Start from [`Config::default`] and change fields; [`Reactor::new`](crate::Reactor::new)
/// refuses a configuration that contradicts itself and says why.
///
/// ```
/// use std::time::Duration;
/// use switchboard::Config;
///
/// let mut config = Config::default();
/// config.idle_timeout = Some(Duration::from_secs(60));
/// config.connections_max = Some(10_000);
/// config.validate()?;
/// # Ok::<(), switchboard::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Size of the one receive buffer, shared by all connections: 256 KiB, which makes bulk transfer over loopback
    /// cost about 0.5 of what it costs with 64 KiB where the congestion control is BBR, about 0.8 with Reno, and
    /// changes nothing for small messages.
    pub recv_buffer_bytes: usize,
    /// The most bytes of one connection that may wait undecoded, codec headers included: 2 MiB, enough for
    /// the codecs' own default of 1 MiB per frame. A codec that asks for more closes its connection at once.
    pub recv_bytes_max: usize,
    /// Low-water mark of a send queue: 16 KiB. Falling to it wakes the paused reader and calls `writable`.
    pub queued_bytes_low: usize,
    /// High-water mark of a send queue: 64 KiB. Above it the connection is not read, so that a peer that
    /// does not read is not served either; `send` answers `OverHigh`.
    pub queued_bytes_high: usize,
    /// Hard limit of a send queue: 4 MiB. A message that does not fit closes the connection as a slow
    /// consumer. At least `recv_bytes_max` plus the high mark, so that one echoed frame always fits.
    pub queued_bytes_max: usize,
    /// The most bytes that all send queues and undecoded input may hold together: 256 MiB. From three quarters
    /// on, the connection with the most output is not read until its output is gone; at the limit the largest
    /// holder is closed. Counted is what buffers occupy, which may be twice what they hold, or more of the few
    /// that are used again. One visit to one connection can pass the limit before it acts. What waits at sockets for
    /// datagrams is not counted: each has `datagram_bytes_max` of its own, and how many there are the program decides,
    /// not its peers.
    pub memory_bytes_max: usize,
    /// The most connections, accepted and connected together. `None`, the default: the process's descriptor
    /// limit less the larger of 8 and a sixteenth, so that files and logs can still be opened.
    pub connections_max: Option<usize>,
    /// What happens to new connections at the cap: they wait in the kernel's backlog (default) or are refused.
    pub on_cap: OnCap,
    /// The most accepted connections from one IP address. `None`, the default: no such cap. Unix peers have none and
    /// are not counted.
    pub connections_per_address_max: Option<u32>,
    /// The most connections accepted from one listener in one turn: 16, so that a storm of connects leaves
    /// time for those who are in.
    pub accepts_per_turn: usize,
    /// After how many received bytes one connection gives way to the others: 256 KiB, one full buffer.
    pub bytes_per_turn: usize,
    /// After how many frames one connection gives way to the others: 1,024.
    pub frames_per_turn: usize,
    /// The most datagrams received from one socket in one turn: 64, one receive each, so that a flood of them leaves
    /// time for everyone else.
    pub datagrams_per_turn: usize,
    /// The most bytes that may wait to be sent from one socket for datagrams: 256 KiB, about what the kernel keeps as
    /// well. A datagram that does not fit is dropped, which the send says. The kernel is asked only after a callback,
    /// so that all that one callback sends must fit: raise it if one tells thousands.
    pub datagram_bytes_max: usize,
    /// The most posted closures run in one turn: 256.
    pub posts_per_turn: usize,
    /// The most closures that wait to be run: 1,024. `post` answers `Full` beyond it.
    pub posts_max: usize,
    /// The most user timers run in one turn: 1,024. The rest run in the next turns, in order, after I/O.
    pub timers_per_turn: usize,
    /// The most user timers that can be set at once: 1,000,000, about 60 MiB.
    pub timers_max: usize,
    /// The most names that are looked up at once, those included that wait for their turn: 64. A connect by name beyond
    /// it fails.
    pub lookups_max: usize,
    /// How long a connect may take: 10 s, where the kernel alone would try for two minutes.
    pub connect_timeout: Duration,
    /// How long after the opening the first frame must be whole. Off: the protocol's to choose.
    pub first_frame_timeout: Option<Duration>,
    /// How long a connection may be silent in both directions. Off: the protocol's to choose. Time in which the
    /// connection is not read (paused, output above the high mark) does not end it; output of our own counts
    /// as well as input, so a server that pushes does not find out by this who is gone.
    pub idle_timeout: Option<Duration>,
    /// How long after its first byte a frame must be whole; progress does not extend it. Off: the protocol's to choose.
    pub frame_timeout: Option<Duration>,
    /// How long queued output may wait without the peer taking a byte: 30 s.
    pub write_timeout: Duration,
    /// How long a lingering close reads and drops what the peer still sends: 2 s.
    pub linger_timeout: Duration,
    /// How many bytes a lingering close drops at most: 64 KiB.
    pub linger_bytes_max: usize,
    /// How long a drain waits for busy connections before it aborts them: 30 s.
    pub drain_timeout: Duration,
    /// Whether a peer may end its side and still be answered: on. Off: its end closes the connection after
    /// the queue is flushed, and `half_closed` is not called.
    pub half_close: bool,
    /// Whether urgent (out-of-band) bytes are taken out and given to `urgent`: off. Off, the kernel keeps
    /// them out of the stream and they are lost; they never stall it. On or off, of several that were not
    /// received yet only the latest is kept out: Linux may leave the earlier ones in the stream as data.
    pub urgent: bool,
    /// How long the callbacks of one connection may take in a row before a warning is logged: 100 ms, one line a
    /// second at most. Measured
    /// with a resolution of a few milliseconds. `None` switches the measuring off.
    pub slow_callback: Option<Duration>,
    /// How long the loop polls over and over before it sleeps in the kernel: off. What comes within that time is
    /// served without the loop having to be woken, which is most of a short round trip: with 20 µs, one connection
    /// on loopback gets two to three times the exchanges in the same time. A loop that always has work never gets to it.
    ///
    /// The price is processor time, up to this much for each wake-up: nothing while all is silent, a fifth of a
    /// core and more when ten thousand connects or messages a second come one by one. It pays where the process
    /// has a core to itself and answers come fast. It harms where others want the core, as on a small virtual
    /// machine, and where it should rest, as on a laptop. At most 1 ms.
    pub spin: Option<Duration>,
    /// Whether a panic in a callback closes only its connection, or the registered descriptor that it was called for: off.
    /// Off, it leaves `run`, and every socket is closed.
    pub isolate_panics: bool,
    /// How long accepting pauses when the system has no descriptor or no memory: from 5 ms, doubling …
    pub accept_retry_min: Duration,
    /// … to 1 s. A close of one of our own connections ends the pause at once.
    pub accept_retry_max: Duration,
    /// How many events one poll takes at most: 1,024. What does not fit is there at the next one.
    pub events_per_poll: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            recv_buffer_bytes: 256 << 10,
            recv_bytes_max: 2 << 20,
            queued_bytes_low: 16 << 10,
            queued_bytes_high: 64 << 10,
            queued_bytes_max: 4 << 20,
            memory_bytes_max: 256 << 20,
            connections_max: None,
            on_cap: OnCap::Wait,
            connections_per_address_max: None,
            accepts_per_turn: 16,
            bytes_per_turn: 256 << 10,
            frames_per_turn: 1024,
            datagrams_per_turn: 64,
            datagram_bytes_max: 256 << 10,
            posts_per_turn: 256,
            posts_max: 1024,
            timers_per_turn: 1024,
            timers_max: 1_000_000,
            lookups_max: 64,
            connect_timeout: Duration::from_secs(10),
            first_frame_timeout: None,
            idle_timeout: None,
            frame_timeout: None,
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes_max: 64 << 10,
            drain_timeout: Duration::from_secs(30),
            half_close: true,
            urgent: false,
            slow_callback: Some(Duration::from_millis(100)),
            spin: None,
            isolate_panics: false,
            accept_retry_min: Duration::from_millis(5),
            accept_retry_max: Duration::from_secs(1),
            events_per_poll: 1024,
        }
    }
}

/// The longest spin: who waits longer than this is not helped by being woken sooner.
const SPIN_MAX: Duration = Duration::from_millis(1);

/// The largest size of anything that is counted in bytes: 1 GiB keeps every sum within 32 bits.
const BYTES_MAX: usize = 1 << 30;

impl Config {
    /// Says what is wrong with this configuration, if anything.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_sizes()?;
        self.validate_budgets()?;
        let waits = [
            ("connect_timeout", Some(self.connect_timeout)),
            ("first_frame_timeout", self.first_frame_timeout),
            ("idle_timeout", self.idle_timeout),
            ("frame_timeout", self.frame_timeout),
            ("write_timeout", Some(self.write_timeout)),
            ("accept_retry_min", Some(self.accept_retry_min)),
            ("spin", self.spin),
        ];
        for (name, wait) in waits {
            if wait == Some(Duration::ZERO) {
                return Err(ConfigError::new(format!("{name} is zero, nothing could ever meet it")));
            }
        }
        if let Some(spin) = self.spin.filter(|&spin| spin > SPIN_MAX) {
            return Err(ConfigError::new(format!("spin of {spin:?} is above {SPIN_MAX:?}")));
        }
        if self.accept_retry_min > self.accept_retry_max {
            return Err(ConfigError::new(format!(
                "accept_retry_min of {:?} is above accept_retry_max of {:?}",
                self.accept_retry_min, self.accept_retry_max
            )));
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("recv_buffer_bytes", self.recv_buffer_bytes, 512),
            ("recv_bytes_max", self.recv_bytes_max, 1),
            ("queued_bytes_high", self.queued_bytes_high, 1),
            ("queued_bytes_max", self.queued_bytes_max, 1),
            ("datagram_bytes_max", self.datagram_bytes_max, 1),
        ];
        for (name, bytes, least) in sizes {
            if bytes < least || bytes > BYTES_MAX {
                return Err(ConfigError::new(format!("{name} of {bytes} is outside {least} to {BYTES_MAX}")));
            }
        }
        if self.queued_bytes_low > self.queued_bytes_high {
            return Err(ConfigError::new(format!(
                "queued_bytes_low of {} is above queued_bytes_high of {}",
                self.queued_bytes_low, self.queued_bytes_high
            )));
        }
        let least = self.recv_bytes_max + self.queued_bytes_high;
        if self.queued_bytes_max < least {
            return Err(ConfigError::new(format!(
                "queued_bytes_max of {} is below recv_bytes_max + queued_bytes_high = {least}: \
                 the echo of one frame might not fit",
                self.queued_bytes_max
            )));
        }
        if self.memory_bytes_max < self.queued_bytes_max {
            return Err(ConfigError::new(format!(
                "memory_bytes_max of {} is below queued_bytes_max of {}: one connection could use it up",
                self.memory_bytes_max, self.queued_bytes_max
            )));
        }
        Ok(())
    }

    fn validate_budgets(&self) -> Result<(), ConfigError> {
        let counts = [
            ("connections_max", self.connections_max.unwrap_or(1)),
            ("connections_per_address_max", self.connections_per_address_max.map_or(1, |max| max as usize)),
            ("accepts_per_turn", self.accepts_per_turn),
            ("bytes_per_turn", self.bytes_per_turn),
            ("frames_per_turn", self.frames_per_turn),
            ("datagrams_per_turn", self.datagrams_per_turn),
            ("posts_per_turn", self.posts_per_turn),
            ("posts_max", self.posts_max),
            ("timers_per_turn", self.timers_per_turn),
            ("timers_max", self.timers_max),
            ("lookups_max", self.lookups_max),
            ("events_per_poll", self.events_per_poll),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(ConfigError::new(format!("{name} is zero, nothing could ever happen")));
            }
        }
        // A poll has room for all of them at once.
        if self.events_per_poll > 65_536 {
            return Err(ConfigError::new(format!(
                "events_per_poll of {} is above 65536",
                self.events_per_poll
            )));
        }
        if self.timers_max > u32::MAX as usize / 2 {
            return Err(ConfigError::new(format!(
                "timers_max of {} is above {}",
                self.timers_max,
                u32::MAX / 2
            )));
        }
        Ok(())
    }
}

/// What happens to new connections while `connections_max` are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnCap {
    /// They wait in the kernel's backlog until a connection closes.
    #[default]
    Wait,
    /// They are accepted and reset at once, so that a client learns of it.
    Refuse,
}

/// Why a [`Config`] was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    message: String,
}

impl ConfigError {
    fn new(message: String) -> ConfigError {
        ConfigError { message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Where to listen, and how: an address is enough, the rest has defaults.
///
/// ```
/// use switchboard::Listen;
///
/// let addr: std::net::SocketAddr = "127.0.0.1:0".parse()?;
/// let listen = Listen::new(addr).key(7).backlog(128);
/// # let _ = listen;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) addr: Addr,
    pub(crate) key: u64,
    pub(crate) mode: u32,
    pub(crate) backlog: u32,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: Option<bool>,
    pub(crate) options: Options,
}

impl Listen {
    /// Listens on `addr`; port 0 lets the system choose, and `Reactor::local_addr` says which it was.
    pub fn new(addr: SocketAddr) -> Listen {
        Listen::at(addr.into())
    }

    pub(crate) fn at(addr: Addr) -> Listen {
        Listen {
            addr,
            key: 0,
            mode: OWNER_ONLY,
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            options: Options::new(),
        }
    }

    /// A number of the program's own that `Peer::key` repeats for every connection of this listener. Default 0.
    #[must_use]
    pub fn key(mut self, key: u64) -> Listen {
        self.key = key;
        self
    }

    /// How many connections the kernel holds ready before they are accepted. Default 1,024; Linux cuts it
    /// down to `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Listen {
        self.backlog = connections;
        self
    }

    /// `SO_REUSEADDR`: whether a restarted server gets its address back at once although old connections are
    /// still in TIME-WAIT. Default on (Unix meaning; it does not allow two listeners at once).
    #[must_use]
    pub fn reuse_address(mut self, on: bool) -> Listen {
        self.reuse_address = on;
        self
    }

    /// `SO_REUSEPORT`: whether several listeners share the address, the kernel spreading new connections
    /// over them. All of them must set it. Default off. A listener that closes loses what waits in its own
    /// backlog and was not accepted.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Listen {
        self.reuse_port = on;
        self
    }

    /// `IPV6_V6ONLY` for an IPv6 address: on, IPv4 peers cannot come in through `::`. Default: the system's.
    #[must_use]
    pub fn only_v6(mut self, on: bool) -> Listen {
        self.only_v6 = Some(on);
        self
    }

    /// `TCP_NODELAY`, set once on the listener and inherited by what it accepts. Default on: output leaves
    /// in one piece per batch, so waiting for more would only add latency.
    #[must_use]
    pub fn nodelay(mut self, on: bool) -> Listen {
        self.options.nodelay = Some(on);
        self
    }

    /// `SO_RCVBUF` in bytes, inherited by what is accepted. Default: the system's, which adapts. Linux
    /// doubles the number and then stops adapting. A Unix stream has no such buffer: what was sent and not received
    /// counts against the sender's.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Listen {
        self.options.recv_buffer_size = Some(bytes);
        self
    }

    /// `SO_SNDBUF` in bytes, inherited by what is accepted. Default: the system's, which adapts. Linux
    /// doubles the number and then stops adapting.
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Listen {
        self.options.send_buffer_size = Some(bytes);
        self
    }

    /// Options of the socket, set before it listens; on Linux, everything that it accepts has them too. What they do
    /// not say stays as it was said before.
    #[must_use]
    pub fn options(mut self, options: Options) -> Listen {
        self.options = options.or(self.options);
        self
    }
}

impl From<SocketAddr> for Listen {
    fn from(addr: SocketAddr) -> Listen {
        Listen::new(addr)
    }
}

/// `([127, 0, 0, 1], 7000)`, `(Ipv6Addr::UNSPECIFIED, 0)`: an IP address and a port.
impl<I: Into<IpAddr>> From<(I, u16)> for Listen {
    fn from((ip, port): (I, u16)) -> Listen {
        Listen::new(SocketAddr::new(ip.into(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.validate().expect_err("a contradiction").to_string()
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_contradiction_is_named_with_its_numbers() {
        assert_eq!(
            refusal(|c| c.queued_bytes_low = 100_000),
            "queued_bytes_low of 100000 is above queued_bytes_high of 65536"
        );
        assert!(refusal(|c| c.queued_bytes_max = 65_536).contains("the echo of one frame might not fit"));
        assert!(refusal(|c| c.memory_bytes_max = 1).contains("one connection could use it up"));
        assert_eq!(
            refusal(|c| c.idle_timeout = Some(Duration::ZERO)),
            "idle_timeout is zero, nothing could ever meet it"
        );
        assert_eq!(
            refusal(|c| c.connections_per_address_max = Some(0)),
            "connections_per_address_max is zero, nothing could ever happen"
        );
        assert_eq!(refusal(|c| c.frames_per_turn = 0), "frames_per_turn is zero, nothing could ever happen");
        assert_eq!(
            refusal(|c| c.recv_buffer_bytes = 0),
            "recv_buffer_bytes of 0 is outside 512 to 1073741824"
        );
        assert_eq!(refusal(|c| c.spin = Some(Duration::from_millis(2))), "spin of 2ms is above 1ms");
        assert!(refusal(|c| c.accept_retry_min = Duration::from_secs(2)).contains("above accept_retry_max"));
    }
}
