//! Options of sockets on the simulated network: what is kept, and which peers they give up, and when.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{self, CERTAIN, Fault, Faults, SERVER, Script, Sim};
use switchboard::{
    Bind, CloseReason, Config, Conn, ConnId, Connect, Context, DatagramId, Handler, Keepalive, Listen,
    Options, Peer, Result,
};

/// Writes down when connections end and of what, and may greet.
#[derive(Default)]
struct Scribe {
    greets: usize,
    /// What is set in `opened`, and once connections are open.
    at_once: Options,
    later: Options,
    options: Vec<Options>,
    failed: Vec<String>,
    ends: Vec<(Duration, Option<io::ErrorKind>)>,
    opened_at: Duration,
}

fn since_start(cx: &Context) -> Duration {
    cx.now().since(switchboard::Instant::START)
}

impl Handler for Scribe {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        self.opened_at = since_start(cx);
        if let Err(error) = peer.set(&self.at_once) {
            self.failed.push(error.to_string());
        }
        self.options.push(peer.options().expect("a simulated socket has options"));
        cx.set_options(cx.id(), self.later.clone());
        cx.send(&vec![b'x'; self.greets]);
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn options_failed(&mut self, _: &mut Context, _: ConnId, error: &io::Error) {
        self.failed.push(error.to_string());
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.push(error.to_string());
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        let error = match why {
            CloseReason::Io(error) => Some(error.kind()),
            _ => None,
        };
        self.ends.push((since_start(cx).saturating_sub(self.opened_at), error));
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A minute, and then three questions with ten seconds each.
fn keepalive() -> Options {
    Options::new().keepalive(Keepalive::new(secs(60), secs(10), 3))
}

/// A client vanishes with its first bytes; when the server, with these options, learns of it.
fn vanished(options: &Options, scribe: Scribe) -> Scribe {
    let report = Sim::new(1)
        .server(scribe)
        .listen(Listen::new(SERVER).options(options.clone()))
        .client(Script::new().send(b"never arrives").recv_to_end())
        .at(secs(2000), |_, cx| cx.stop(switchboard::Stop::Now))
        .faults(Faults::none().with(Fault::Vanishes, CERTAIN))
        .run();
    report.handler
}

// F12: nobody says that the peer is gone, and nothing is sent: the kernel asks, and gives it up when it must.
#[test]
fn f12_keepalive_ends_a_vanished_peer_at_the_second_that_its_numbers_say() {
    let scribe = vanished(&keepalive(), Scribe::default());
    assert_eq!(scribe.ends, [(secs(60 + 3 * 10), Some(io::ErrorKind::TimedOut))]);
    // Set in `opened`, and by a callback.
    for (at_once, later) in [(keepalive(), Options::new()), (Options::new(), keepalive())] {
        let scribe = vanished(&Options::new(), Scribe { at_once, later, ..Scribe::default() });
        assert_eq!(scribe.ends, [(secs(90), Some(io::ErrorKind::TimedOut))]);
    }
}

// F12: without it, nothing ever ends the connection, until the program does.
#[test]
fn f12_without_keepalive_a_vanished_peer_is_never_noticed() {
    for options in
        [Options::new(), Options::new().user_timeout(secs(5)), keepalive().keepalive(Keepalive::Off)]
    {
        let scribe = vanished(&options, Scribe::default());
        assert_eq!(scribe.ends, [(secs(2000), None)], "{options:?}");
    }
}

// F12: while anything that was sent is not acknowledged nobody is asked. Then the user timeout counts, or a quarter of
// an hour of the system's own.
#[test]
fn f12_output_that_is_not_acknowledged_waits_for_the_user_timeout_and_not_for_keepalive() {
    let greeting = || Scribe { greets: 10, ..Scribe::default() };
    let scribe = vanished(&keepalive(), greeting());
    assert_eq!(scribe.ends, [(secs(924), Some(io::ErrorKind::TimedOut))]);
    let scribe = vanished(&keepalive().user_timeout(secs(20)), greeting());
    assert_eq!(scribe.ends, [(secs(20), Some(io::ErrorKind::TimedOut))]);
    // With both and nothing sent, it says when the asking ends: at the first question that is due after it.
    let scribe = vanished(&keepalive().user_timeout(secs(75)), Scribe::default());
    assert_eq!(scribe.ends, [(secs(80), Some(io::ErrorKind::TimedOut))]);
}

// F12, E2: the user timeout also ends a peer that is there and does not read.
#[test]
fn f12_the_user_timeout_ends_a_peer_that_takes_nothing() {
    sim::seeds(1, |sim| {
        let mut config = Config::default();
        config.write_timeout = secs(500);
        let report = sim
            .server(Scribe { greets: 2 << 20, ..Scribe::default() })
            .config(config)
            .listen(Listen::new(SERVER).options(Options::new().user_timeout(secs(5))))
            .client(Script::new().wait(secs(60)).expect_reset())
            .run();
        assert_eq!(report.handler.ends, [(secs(5), Some(io::ErrorKind::TimedOut))]);
    });
}

// F12: one that reads in time, however slowly, is left alone.
#[test]
fn f12_a_peer_that_reads_now_and_then_is_not_ended_by_the_user_timeout() {
    sim::seeds(1, |sim| {
        let script = (0..8).fold(Script::new(), |script, _| script.wait(secs(4)).recv(256 << 10));
        let report = sim
            .server(Scribe { greets: 2 << 20, ..Scribe::default() })
            .listen(Listen::new(SERVER).options(Options::new().user_timeout(secs(5))))
            .client(script)
            .run();
        assert_eq!(report.handler.ends.len(), 1);
        assert_eq!(report.handler.ends[0].1, None);
        assert_eq!(report.stats.sent, 2 << 20);
    });
}

#[test]
fn options_are_kept_and_answered_as_linux_does() {
    sim::seeds(1, |sim| {
        let given = keepalive().recv_buffer_size(1).send_buffer_size(10_000_000).traffic_class(0xff);
        let report = sim
            .server(Scribe {
                at_once: Options::new().hop_limit(7),
                later: Options::new().device("eth1"),
                ..Scribe::default()
            })
            .listen(Listen::new(SERVER).options(given))
            .client(Script::new().send(b"hello"))
            .run();
        let [options] = &report.handler.options[..] else { panic!("one connection") };
        let expected = keepalive()
            .recv_buffer_size(2304)
            .send_buffer_size(2 * 212_992)
            .traffic_class(0xfc)
            .hop_limit(7)
            .nodelay(true)
            .user_timeout(Duration::ZERO)
            .mark(0)
            .device("")
            .not_sent_low_water(0);
        assert_eq!(*options, expected);
        assert_eq!(report.handler.failed, ["ENODEV: no such device"]);
    });
}

/// Connects with options, and binds with some.
struct Asker {
    failed: Rc<RefCell<Vec<String>>>,
    options: Vec<Options>,
}

impl Handler for Asker {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        self.options.push(peer.options().expect("a simulated socket has options"));
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failed.borrow_mut().push(why.to_string());
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.borrow_mut().push(error.to_string());
    }

    fn bind_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.borrow_mut().push(error.to_string());
    }
}

#[test]
fn a_connect_and_a_bind_have_options_and_wrong_ones_are_told() {
    sim::seeds(1, |sim| {
        let failed = Rc::new(RefCell::new(Vec::new()));
        let report = sim
            .server(Asker { failed: Rc::clone(&failed), options: Vec::new() })
            .acceptor(9, || Script::new().recv_to_end())
            .at(Duration::ZERO, |_, cx| {
                // Whoever is not there yet is connected to later.
                let there = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9);
                for options in [Options::new().nodelay(false), Options::new().hop_limit(0)] {
                    assert!(cx.connect(Connect::to(there).options(options), 0).is_ok());
                }
                let bind = Bind::new(SocketAddr::new(SERVER.ip(), 9000));
                cx.bind(bind.clone().options(Options::new().nodelay(true)));
                let socket = cx.bind(bind.options(Options::new().traffic_class(9)));
                cx.set_datagram_options(socket, Options::new().hop_limit(0));
            })
            .at(secs(1), |_, cx| cx.stop(switchboard::Stop::Now))
            .run();
        assert_eq!(report.handler.options.len(), 1);
        assert_eq!(report.handler.options[0].nodelay, Some(false));
        let mut told = failed.borrow().clone();
        told.sort();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("hop_limit of 0") && told[2].contains("hop_limit of 0"), "{told:?}");
        assert_eq!(told[1], "nodelay is no option of UDP");
    });
}
