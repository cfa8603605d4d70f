//! Options of sockets: the one place that sets and asks for them.
//!
//! It knows the calls and what Linux answers. It does not know when they are made.

use std::io;
use std::os::fd::AsFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{SockRef, TcpKeepalive, Type};

use crate::options::{Keepalive, Options, Transport};

/// What options a socket has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    pub(super) transport: Transport,
    /// Both its own options and those of IPv4 peers are to be set.
    pub(super) is_v6: bool,
}

impl Kind {
    /// That of a socket which is open.
    pub(super) fn of(socket: &impl AsFd) -> io::Result<Kind> {
        let socket = SockRef::from(socket);
        let addr = socket.local_addr()?;
        let transport = if !addr.is_ipv4() && !addr.is_ipv6() {
            Transport::Unix
        } else if socket.r#type()? == Type::STREAM {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        Ok(Kind { transport, is_v6: addr.is_ipv6() })
    }
}

/// Sets what is given.
pub(super) fn set(fd: &impl AsFd, kind: Kind, options: &Options) -> io::Result<()> {
    options.validate_for(kind.transport)?;
    let socket = SockRef::from(fd);
    if let Some(bytes) = options.recv_buffer_size {
        socket.set_recv_buffer_size(bytes).map_err(|error| named("recv_buffer_size", &error))?;
    }
    if let Some(bytes) = options.send_buffer_size {
        socket.set_send_buffer_size(bytes).map_err(|error| named("send_buffer_size", &error))?;
    }
    match options.keepalive {
        None => {}
        Some(Keepalive::Off) => {
            socket.set_keepalive(false).map_err(|error| named("keepalive", &error))?;
        }
        Some(Keepalive::On { after, every, times }) => {
            let numbers = TcpKeepalive::new().with_time(after).with_interval(every).with_retries(times);
            socket.set_tcp_keepalive(&numbers).map_err(|error| named("keepalive", &error))?;
        }
    }
    if let Some(on) = options.nodelay {
        socket.set_tcp_nodelay(on).map_err(|error| named("nodelay", &error))?;
    }
    if let Some(class) = options.traffic_class {
        let class = u32::from(class);
        if kind.is_v6 {
            socket.set_tclass_v6(class).map_err(|error| named("traffic_class", &error))?;
        }
        if !kind.is_v6 || MAPPED && !wrong!(MappedOptionForgotten) {
            socket.set_tos_v4(class).map_err(|error| named("traffic_class", &error))?;
        }
    }
    if let Some(hops) = options.hop_limit {
        let hops = u32::from(hops);
        if kind.is_v6 {
            socket.set_unicast_hops_v6(hops).map_err(|error| named("hop_limit", &error))?;
        }
        if !kind.is_v6 || MAPPED && !wrong!(MappedOptionForgotten) {
            socket.set_ttl_v4(hops).map_err(|error| named("hop_limit", &error))?;
        }
    }
    set_own(&socket, kind, options)
}

/// Whether the options of IPv4 can be set at an IPv6 socket, for its IPv4 peers.
const MAPPED: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What only Linux has.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_own(socket: &SockRef<'_>, kind: Kind, options: &Options) -> io::Result<()> {
    if let Some(timeout) = options.user_timeout {
        socket.set_tcp_user_timeout(Some(timeout)).map_err(|error| named("user_timeout", &error))?;
    }
    if let Some(on) = options.dont_fragment {
        if kind.is_v6 {
            let way = if on { Ipv6PathMtuDiscovery::DO } else { Ipv6PathMtuDiscovery::DONT };
            sockopt::set_ipv6_mtu_discover(&**socket, way)
                .map_err(|error| named("dont_fragment", &error.into()))?;
        }
        let way = if on { Ipv4PathMtuDiscovery::DO } else { Ipv4PathMtuDiscovery::DONT };
        sockopt::set_ip_mtu_discover(&**socket, way)
            .map_err(|error| named("dont_fragment", &error.into()))?;
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark).map_err(|error| privileged("mark", "CAP_NET_ADMIN", &error))?;
    }
    if let Some(device) = &options.device {
        let what = format!("device {device:?}");
        socket
            .bind_device(Some(device.as_bytes()))
            .map_err(|error| privileged(&what, "CAP_NET_RAW", &error))?;
    }
    if let Some(bytes) = options.not_sent_low_water {
        socket.set_tcp_notsent_lowat(bytes).map_err(|error| named("not_sent_low_water", &error))?;
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_own(_: &SockRef<'_>, _: Kind, options: &Options) -> io::Result<()> {
    let missing = [
        ("user_timeout", options.user_timeout.is_some()),
        ("dont_fragment", options.dont_fragment.is_some()),
        ("mark", options.mark.is_some()),
        ("device", options.device.is_some()),
        ("not_sent_low_water", options.not_sent_low_water.is_some()),
    ];
    match missing.into_iter().find(|&(_, given)| given) {
        Some((name, _)) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} is an option of Linux only")))
        }
        None => Ok(()),
    }
}

/// Asks for all that a socket has.
pub(super) fn get(fd: &impl AsFd, kind: Kind) -> io::Result<Options> {
    let socket = SockRef::from(fd);
    let mut options = Options::new()
        .recv_buffer_size(socket.recv_buffer_size()?)
        .send_buffer_size(socket.send_buffer_size()?);
    match kind.transport {
        Transport::Unix => return Ok(options),
        Transport::Udp => {}
        Transport::Tcp => {
            options.nodelay = Some(socket.tcp_nodelay()?);
            options.keepalive = Some(if socket.keepalive()? {
                Keepalive::On {
                    after: socket.tcp_keepalive_time()?,
                    every: socket.tcp_keepalive_interval()?,
                    times: socket.tcp_keepalive_retries()?,
                }
            } else {
                Keepalive::Off
            });
        }
    }
    let (class, hops) = if kind.is_v6 {
        (socket.tclass_v6()?, socket.unicast_hops_v6()?)
    } else {
        (socket.tos_v4()?, socket.ttl_v4()?)
    };
    options.traffic_class = u8::try_from(class).ok();
    options.hop_limit = u8::try_from(hops).ok();
    get_own(&socket, kind, options)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn get_own(socket: &SockRef<'_>, kind: Kind, mut options: Options) -> io::Result<Options> {
    if kind.transport == Transport::Tcp {
        options.user_timeout = Some(socket.tcp_user_timeout()?.unwrap_or_default());
        options.not_sent_low_water = Some(socket.tcp_notsent_lowat()?);
    }
    options.dont_fragment = if kind.is_v6 {
        match sockopt::ipv6_mtu_discover(&**socket)? {
            Ipv6PathMtuDiscovery::DO | Ipv6PathMtuDiscovery::PROBE => Some(true),
            Ipv6PathMtuDiscovery::DONT => Some(false),
            _ => None,
        }
    } else {
        match sockopt::ip_mtu_discover(&**socket)? {
            Ipv4PathMtuDiscovery::DO | Ipv4PathMtuDiscovery::PROBE => Some(true),
            Ipv4PathMtuDiscovery::DONT => Some(false),
            _ => None,
        }
    };
    options.mark = Some(socket.mark()?);
    let device = socket.device()?.unwrap_or_default();
    options.device = Some(String::from_utf8_lossy(&device).into_owned());
    Ok(options)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn get_own(_: &SockRef<'_>, _: Kind, options: Options) -> io::Result<Options> {
    Ok(options)
}

/// An error with the name of the option that it is about.
#[cold]
fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// The same, of an option that not everyone may set.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[cold]
fn privileged(name: &str, capability: &str, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            io::Error::new(error.kind(), format!("{name} takes the capability {capability}: {error}"))
        }
        _ => named(name, error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::Duration;

    use super::*;
    use crate::addr::Addr;
    use crate::bind::Bind;
    use crate::config::Listen;
    use crate::connect::Connect;
    use crate::net::os::{OsDatagram, OsListener, OsStream};
    use crate::net::{Listener, Stream};
    use crate::socket::Socket;

    /// Every option of TCP that needs no capability, each with a value that no system has by itself.
    fn all() -> Options {
        Options::new()
            .recv_buffer_size(20_000)
            .send_buffer_size(30_000)
            .keepalive(Keepalive::new(Duration::from_secs(61), Duration::from_secs(7), 5))
            .user_timeout(Duration::from_millis(12_345))
            .nodelay(true)
            .traffic_class(0xb8)
            .hop_limit(33)
            .dont_fragment(false)
            .not_sent_low_water(4321)
            .device("lo")
    }

    /// How Linux answers for them.
    fn as_answered() -> Options {
        all().recv_buffer_size(40_000).send_buffer_size(60_000).mark(0)
    }

    fn addrs() -> [SocketAddr; 3] {
        ["127.0.0.1:0", "[::1]:0", "[::]:0"].map(|addr| addr.parse().expect("an address"))
    }

    /// Connects to a listener; both ends.
    fn pair(listener: &OsListener, connect: impl FnOnce(SocketAddr) -> OsStream) -> (OsStream, OsStream) {
        let addr = listener.local_addr().expect("bound").socket_addr().expect("an IP address");
        let ip = match addr {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => [127, 0, 0, 1].into(),
            SocketAddr::V4(_) | SocketAddr::V6(_) => addr.ip(),
        };
        let client = connect(SocketAddr::new(ip, addr.port()));
        let (server, _) = loop {
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => break accepted.expect("it waits"),
            }
        };
        (client, server)
    }

    fn std_stream(addr: SocketAddr) -> OsStream {
        let stream = TcpStream::connect(addr).expect("connected");
        OsStream::adopt(OwnedFd::from(stream)).expect("a stream")
    }

    /// What `socket2` reads, which is not what sets them here.
    #[track_caller]
    fn is_set(socket: &impl AsFd, is_v6: bool) {
        let socket = SockRef::from(socket);
        let sizes = (socket.recv_buffer_size().expect("read"), socket.send_buffer_size().expect("read"));
        assert_eq!(sizes, (40_000, 60_000));
        assert!(socket.keepalive().expect("read") && socket.tcp_nodelay().expect("read"));
        assert_eq!(socket.tcp_keepalive_time().expect("read"), Duration::from_secs(61));
        assert_eq!(socket.tcp_keepalive_interval().expect("read"), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_retries().expect("read"), 5);
        assert_eq!(socket.tcp_user_timeout().expect("read"), Some(Duration::from_millis(12_345)));
        // An IPv6 socket has both, for its IPv4 peers.
        assert_eq!((socket.tos_v4().expect("read"), socket.ttl_v4().expect("read")), (0xb8, 33));
        if is_v6 {
            let both = (socket.tclass_v6().expect("read"), socket.unicast_hops_v6().expect("read"));
            assert_eq!(both, (0xb8, 33));
        }
        assert_eq!(socket.tcp_notsent_lowat().expect("read"), 4321);
        assert_eq!(socket.device().expect("read"), Some(b"lo".to_vec()));
    }

    #[test]
    fn options_of_a_listener_are_set_there_and_at_all_that_it_accepts() {
        for addr in addrs() {
            let listen = Listen::new(addr).only_v6(false).options(all());
            let listener = OsListener::open(&listen).expect("a free port");
            is_set(&listener, addr.is_ipv6());
            let (_client, server) = pair(&listener, std_stream);
            is_set(&server, addr.is_ipv6());
            assert_eq!(server.options().expect("read"), as_answered(), "{addr}");
        }
    }

    #[test]
    fn options_of_a_connect_are_set_before_it_and_read_back_after_it() {
        for addr in addrs() {
            let listener = TcpListener::bind(addr).expect("a free port");
            let listener = OsListener::adopt(listener.into()).expect("a listener");
            let (client, _server) = pair(&listener, |addr| {
                let to = Addr::from(addr);
                OsStream::connect(&to, &Connect::to(to.clone()).options(all())).expect("begun")
            });
            let is_v6 = client.peer_addr().expect("connected").ip().is_some_and(|ip| ip.is_ipv6());
            is_set(&client, is_v6);
            assert_eq!(client.options().expect("read"), as_answered());
        }
    }

    #[test]
    fn options_are_changed_on_an_open_connection_and_what_is_not_given_stays() {
        for addr in addrs() {
            let listener = OsListener::open(&Listen::new(addr).only_v6(false)).expect("a free port");
            let (_client, server) = pair(&listener, std_stream);
            let before = server.options().expect("read");
            assert_eq!((before.keepalive, before.nodelay), (Some(Keepalive::Off), Some(true)));
            assert_eq!((before.user_timeout, before.traffic_class), (Some(Duration::ZERO), Some(0)));
            assert_eq!((before.not_sent_low_water, before.mark), (Some(0), Some(0)));
            assert_eq!(before.device.as_deref(), Some(""));
            server.set_options(&all()).expect("set");
            is_set(&server, addr.is_ipv6());
            let some = Options::new().keepalive(Keepalive::Off).nodelay(false).hop_limit(64);
            server.set_options(&some).expect("set");
            assert_eq!(server.options().expect("read"), some.or(as_answered()));
            server.set_options(&Options::new()).expect("nothing to set");
        }
    }

    #[test]
    fn nothing_is_set_when_one_of_the_options_is_out_of_range() {
        let listener = OsListener::open(&Listen::new(addrs()[0])).expect("a free port");
        let (_client, server) = pair(&listener, std_stream);
        let before = server.options().expect("read");
        let error = server.set_options(&all().hop_limit(0)).expect_err("out of range");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(server.options().expect("read"), before);
    }

    #[test]
    fn what_the_system_refuses_is_named() {
        let listener = OsListener::open(&Listen::new(addrs()[0])).expect("a free port");
        let (_client, server) = pair(&listener, std_stream);
        let error = server.set_options(&Options::new().device("none-such")).expect_err("no such device");
        assert!(error.to_string().starts_with("device \"none-such\": "), "{error}");
        // Whoever runs this may have the capability or not.
        match server.set_options(&Options::new().mark(7)) {
            Ok(()) => assert_eq!(server.options().expect("read").mark, Some(7)),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                assert!(error.to_string().starts_with("mark takes the capability CAP_NET_ADMIN: "));
            }
        }
    }

    #[test]
    fn options_of_a_socket_for_datagrams_are_set_and_read_back() {
        let given = Options::new()
            .recv_buffer_size(20_000)
            .send_buffer_size(30_000)
            .traffic_class(0xff)
            .hop_limit(1)
            .dont_fragment(true)
            .device("lo");
        let answered = given.clone().recv_buffer_size(40_000).send_buffer_size(60_000).mark(0);
        for addr in addrs() {
            let socket = OsDatagram::open(&Bind::new(addr).options(given.clone())).expect("a free port");
            assert_eq!(socket.options().expect("read"), answered, "{addr}");
            let change = Options::new().traffic_class(8).dont_fragment(false);
            socket.set_options(&change).expect("set");
            assert_eq!(socket.options().expect("read"), change.or(answered.clone()));
            let error = socket.set_options(&Options::new().nodelay(true)).expect_err("of TCP");
            assert_eq!(error.to_string(), "nodelay is no option of UDP");
        }
        let error = OsDatagram::open(&Bind::new(addrs()[0]).options(all())).expect_err("some are of TCP");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
