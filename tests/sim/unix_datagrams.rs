//! Unix sockets for datagrams on the simulated network: nothing is lost that the sender is not told of.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{self, Faults, Sim};
use switchboard::{
    Addr, Bind, Config, Conn, Context, Datagram, DatagramId, Handler, Peer, Result, Sent, Stats, UnixAddr,
};

const COUNT: u8 = 40;

fn name(name: &str) -> UnixAddr {
    UnixAddr::from_path(format!("/run/{name}.sock")).expect("a short path")
}

/// Sends numbers from one of its sockets to the other, which sends them back.
#[derive(Default)]
struct Both {
    echo: Option<DatagramId>,
    asker: Option<DatagramId>,
    /// Whether the asker is connected to the echo.
    connected: bool,
    answers: Vec<u8>,
    failures: Vec<io::ErrorKind>,
}

impl Both {
    fn begin(&mut self, cx: &mut Context) {
        let echo = cx.bind(name("echo"));
        let bind = Bind::unix(name("asker"));
        let bind = if self.connected { bind.connect(name("echo")) } else { bind };
        let to = if self.connected { Addr::Unnamed } else { name("echo").into() };
        let asker = cx.bind(bind);
        for number in 0..COUNT {
            assert_eq!(cx.send_datagram(asker, &to, &[number]), Sent::Accepted);
        }
        (self.echo, self.asker) = (Some(echo), Some(asker));
    }
}

impl Handler for Both {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        assert!(!datagram.truncated && datagram.bytes.len() == 1);
        if Some(datagram.socket) == self.echo {
            assert_eq!(*datagram.from, name("asker").into());
            assert_eq!(cx.send_datagram(datagram.socket, datagram.from, datagram.bytes), Sent::Accepted);
        } else {
            assert_eq!(*datagram.from, name("echo").into());
            self.answers.push(datagram.bytes[0]);
        }
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failures.push(error.kind());
    }
}

fn run(sim: Sim, connected: bool, faults: Faults) -> (Vec<u8>, Vec<io::ErrorKind>, Stats) {
    let told = Rc::new(RefCell::new((Vec::new(), Vec::new())));
    let copy = Rc::clone(&told);
    let mut config = Config::default();
    config.write_timeout = Duration::from_secs(3600);
    let report = sim
        .server(Both { connected, ..Both::default() })
        .config(config)
        .at(Duration::ZERO, Both::begin)
        .at(Duration::from_secs(600), move |both, cx| {
            *copy.borrow_mut() = (both.answers.clone(), both.failures.clone());
            for socket in [both.echo, both.asker].into_iter().flatten() {
                cx.close_datagram(socket);
            }
        })
        .faults(faults)
        .run();
    let (answers, failures) = told.take();
    (answers, failures, report.stats)
}

// D9 of datagrams: more than the queues hold, from a socket that is told of room and from one that is not.
#[test]
fn d9_datagrams_to_a_full_receiver_all_arrive_in_order() {
    for connected in [false, true] {
        let (answers, failures, stats) = run(Sim::new(1), connected, Faults::none());
        assert_eq!(answers, (0..COUNT).collect::<Vec<_>>(), "{connected} {failures:?}");
        assert_eq!(stats.datagrams_dropped, 0);
        assert!(stats.calls.poll < 200, "it waits between two tries: {stats:?}");
    }
}

#[test]
fn d9_under_every_fault_a_datagram_arrives_or_is_told_to_have_been_dropped() {
    sim::seeds(150, |sim| {
        let connected = sim.choices().choose("connected", 2) == 1;
        let (answers, failures, stats) = run(sim, connected, Faults::harmless());
        assert!(answers.is_sorted() || answers.is_empty(), "{answers:?}");
        let dropped = usize::try_from(stats.datagrams_dropped).expect("few");
        assert_eq!(answers.len() + dropped, usize::from(COUNT), "{failures:?}");
    });
}
