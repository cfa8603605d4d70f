//! Programs of datagrams on the simulated network, where datagrams are lost, doubled, delayed and refused.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{self, CERTAIN, Fault, Faults, Sim};
use switchboard::{
    Bind, Config, Conn, Context, Datagram, DatagramId, Handler, Peer, Result, Sent, datagrams,
};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 9000);
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9000);

/// Asks for each of some numbers until it is answered.
struct Asker {
    socket: Option<DatagramId>,
    open: BTreeSet<u8>,
    answers: u32,
    failures: u32,
}

impl Asker {
    fn new(count: u8) -> Asker {
        Asker { socket: None, open: (0..count).collect(), answers: 0, failures: 0 }
    }

    fn ask(&mut self, cx: &mut Context) {
        let Some(socket) = self.socket else { return };
        for &number in &self.open {
            assert_ne!(cx.send_datagram(socket, ECHO, &vec![number; usize::from(number)]), Sent::Closed);
        }
        if self.open.is_empty() {
            cx.close_datagram(socket);
        } else {
            let again = cx.set_alarm(Duration::from_millis(300), 0);
            assert!(again.is_ok(), "{again:?}");
        }
    }
}

impl Handler for Asker {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        self.ask(cx);
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        let number = u8::try_from(datagram.bytes.len()).expect("as it was sent");
        assert!(datagram.bytes.iter().all(|&byte| byte == number) && !datagram.truncated);
        assert_eq!(datagram.from.socket_addr(), Some(ECHO));
        self.answers += 1;
        if self.open.remove(&number) && self.open.is_empty() {
            self.ask(cx);
        }
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, _: &std::io::Error) {
        self.failures += 1;
    }

    fn bind_failed(&mut self, cx: &mut Context, _: DatagramId, _: &std::io::Error) {
        self.socket = Some(cx.bind(SERVER));
    }
}

/// An asker and an echo, each on a host of its own.
fn run(sim: Sim, count: u8, faults: Faults) -> Asker {
    let echo = datagrams(|cx, datagram| {
        cx.send_datagram(datagram.socket, datagram.from, datagram.bytes);
    });
    let report = sim
        .server(Asker::new(count))
        .config(Config::default())
        .at(Duration::ZERO, |asker, cx| {
            asker.socket = Some(cx.bind(SERVER));
            asker.ask(cx);
        })
        .reactor(echo, Config::default(), |_, cx| {
            cx.bind(ECHO);
        })
        // A run without clients is over when nothing but timers is left: this keeps it going.
        .at(Duration::from_secs(100), |_, _| ())
        .faults(faults)
        .run();
    report.handler
}

#[test]
fn without_faults_each_question_has_one_answer() {
    sim::seeds(1, |sim| {
        let asker = run(sim, 20, Faults::none());
        assert_eq!((asker.open.len(), asker.failures), (0, 0));
    });
}

// B6, A15, K4: interrupted calls, no buffer space and sends that take nothing, at any two places.
#[test]
fn k4_a_fault_at_any_two_calls_is_survived_by_asking_again() {
    for fault in
        [Fault::Interrupt, Fault::Squeeze, Fault::NoBuffers, Fault::Latency, Fault::Lost, Fault::Twice]
    {
        let explored = sim::deviations(2, 1_000_000, |sim| {
            let asker = run(sim, 2, Faults::none().with(fault, 1));
            assert!(asker.open.is_empty(), "{:?} were not answered", asker.open);
        });
        assert!(explored.complete && explored.runs > 4, "{fault:?}: {explored:?}");
    }
}

#[test]
fn everything_is_answered_in_the_end_whatever_the_network_does() {
    sim::seeds(300, |sim| {
        let faults = Faults::swarm()
            .with(Fault::Lost, 200)
            .with(Fault::Twice, 100)
            .without(Fault::Panics)
            .without(Fault::Unregistered)
            .without(Fault::Standstill);
        let asker = run(sim, 20, faults);
        assert!(asker.open.is_empty(), "{:?} were not answered", asker.open);
    });
}

// K3: nobody is there, which is told to a connected socket each time, and closes nothing.
#[test]
fn k3_a_port_where_nobody_listens_is_told_and_the_socket_goes_on() {
    #[derive(Default)]
    struct Lonely {
        socket: Option<DatagramId>,
        failures: u32,
    }

    impl Handler for Lonely {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            None
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn datagram_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &std::io::Error) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            self.failures += 1;
            if self.failures < 3 {
                cx.send_datagram(socket, switchboard::Addr::Unnamed, b"anyone?");
            } else {
                cx.close_datagram(socket);
            }
        }
    }

    sim::seeds(50, |sim| {
        let report = sim
            .server(Lonely::default())
            .at(Duration::ZERO, |lonely, cx| {
                let socket = cx.bind(Bind::new(SERVER).connect(SocketAddr::new(SERVER.ip(), 7)));
                lonely.socket = Some(socket);
                cx.send_datagram(socket, switchboard::Addr::Unnamed, b"anyone?");
            })
            .at(Duration::from_secs(10), |_, _| ())
            .faults(Faults::none().with(Fault::Latency, CERTAIN / 2))
            .run();
        assert_eq!(report.handler.failures, 3);
    });
}

// K4: there is no way there, which is told once for each datagram, and the one between them arrives.
#[test]
fn k4_what_has_no_way_is_told_once_each() {
    const NO_WAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), 9);

    sim::seeds(1, |sim| {
        let report = sim
            .server(Asker::new(0))
            .unreachable(NO_WAY)
            .at(Duration::ZERO, |_, cx| {
                let socket = cx.bind(SERVER);
                for to in [NO_WAY, ECHO, NO_WAY] {
                    cx.send_datagram(socket, to, b"hello");
                }
            })
            .at(Duration::from_secs(1), |asker, cx| {
                assert_eq!((asker.failures, cx.stats().datagram_errors), (2, 2));
                assert_eq!((cx.stats().datagrams_sent, cx.stats().datagrams_dropped), (1, 2));
                cx.stop(switchboard::Stop::Now);
            })
            .run();
        assert_eq!(report.handler.failures, 2);
    });
}

const ALL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 9000);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

/// Counts what arrives and what fails, and may send to all and to a group.
#[derive(Default)]
struct Counter {
    sends_from: Option<DatagramId>,
    texts: Vec<Vec<u8>>,
    refused: u32,
}

impl Handler for Counter {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        for to in [ALL, SocketAddr::from((GROUP, 9000))] {
            if let Some(socket) = self.sends_from {
                assert_eq!(cx.send_datagram(socket, to, to.to_string().as_bytes()), Sent::Accepted);
            }
        }
    }

    fn datagram(&mut self, _: &mut Context, datagram: Datagram<'_>) {
        self.texts.push(datagram.bytes.to_vec());
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &std::io::Error) {
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        self.refused += 1;
    }
}

// K4: to all is refused unless it was asked for, as on Linux; then everyone at that port has it. A group reaches who is
// in it, and no longer than that.
#[test]
fn k4_broadcast_must_be_asked_for_and_groups_be_joined() {
    sim::seeds(1, |sim| {
        let report = sim
            .server(Counter::default())
            .at(Duration::ZERO, |_, cx| {
                let socket = cx.bind(SERVER);
                cx.join_v4(socket, GROUP, Ipv4Addr::UNSPECIFIED);
                cx.set_alarm(Duration::from_secs(3), 0).expect("below the limit of timers");
            })
            .at(Duration::from_secs(2), |_, cx| {
                let socket = cx.bind(SocketAddr::new(SERVER.ip(), 0));
                assert_eq!(cx.send_datagram(socket, ALL, b"refused"), Sent::Accepted);
            })
            .reactor(Counter::default(), Config::default(), |counter, cx| {
                counter.sends_from = Some(cx.bind(Bind::new(ECHO).broadcast(true)));
                cx.set_alarm(Duration::from_secs(1), 0).expect("below the limit of timers");
            })
            .run();
        assert_eq!(report.handler.texts, [&b"255.255.255.255:9000"[..], b"239.1.2.3:9000"]);
        assert_eq!(report.handler.refused, 1);
    });
}
