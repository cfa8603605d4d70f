//! Ends: closes, drains and stops from any state, each told once, with nothing left behind.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, Told, closed, event, line};
use crate::config::{Config, Listen};
use crate::context::Stop;
use crate::error::Close;
use crate::readiness::Readiness;

const READABLE: Readiness = Readiness::READABLE;

fn elsewhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

#[test]
fn who_reconnects_in_closed_is_refused_once_the_reactor_stops() {
    let mut bench = Bench::new(Config::default(), |cx, _, told| {
        if let Told::Closed(_) | Told::ConnectFailed(_) = told {
            assert!(cx.connect(elsewhere(), 1).is_err());
        }
        Ok(())
    });
    bench.accept();
    bench.connect();
    bench.reactor.with(|_, cx| cx.stop(Stop::Now));
    assert!(!bench.reactor.turn(None).expect("a last turn"));
    assert_eq!(
        bench.told(),
        [closed("the reactor stopped"), Told::ConnectFailed("the reactor stopped".into())]
    );
    assert_eq!((bench.reactor.stats().open, bench.reactor.connections().count()), (0, 0));
}

#[test]
fn a_connect_that_succeeds_during_a_drain_is_drained_too() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.connect();
    bench.reactor.with(|_, cx| {
        cx.send_to(id, b"hello");
        cx.stop(Stop::Drain);
    });
    bench.settle();
    bench.event(id, Readiness::WRITABLE);
    assert_eq!(sock.sent(), b"hello");
    assert!(sock.0.borrow().ended, "nothing is pending for it");
}

#[test]
fn a_listener_opened_during_a_drain_does_not_hold_it_up() {
    let mut bench = Bench::quiet(Config::default());
    let client = bench.accept();
    bench.reactor.with(|_, cx| cx.pause(client.0));
    bench.reactor.with(|_, cx| cx.stop(Stop::Drain));
    bench.settle();
    bench.reactor.with(|_, cx| cx.listen(Listen::new(elsewhere())));
    assert!(bench.reactor.listen(elsewhere()).is_ok());
    bench.settle();
    bench.reactor.with(|_, cx| cx.close(client.0, Close::Abort));
    assert!(!bench.reactor.turn(None).expect("the reactor runs"), "the drain ends with its last connection");
}

#[test]
fn connects_that_hold_more_than_the_memory_limit_fail() {
    let config = Config { memory_bytes_max: 4 << 20, ..Config::default() };
    let mut bench = Bench::quiet(config);
    let message = vec![7; 3 << 20];
    for _ in 0..2 {
        let (id, _) = bench.connect();
        assert!(bench.reactor.with(|_, cx| cx.send_to(id, &message)).is_queued());
    }
    bench.settle();
    let told = bench.told();
    assert!(matches!(&told[..], [Told::ConnectFailed(why)] if why.starts_with("held ")), "{told:?}");
}

// Each holds a part of a frame: were all of them paused, none could ever finish it.
#[test]
fn the_memory_limit_never_pauses_all_who_could_free_memory() {
    let config = Config {
        recv_bytes_max: 64 << 10,
        queued_bytes_high: 16 << 10,
        queued_bytes_max: 128 << 10,
        memory_bytes_max: 400 << 10,
        ..Config::default()
    };
    let mut bench = Bench::quiet(config);
    let clients: Vec<_> = (0..5).map(|_| bench.accept()).collect();
    for client in &clients {
        bench.receive(client, &vec![b'x'; 63 << 10]);
    }
    for _ in 0..5 {
        bench.pass(Duration::ZERO);
    }
    assert!(bench.reactor.cx.table.held() > bench.reactor.cx.memory_high(), "the limit is near");
    for (id, sock) in &clients {
        sock.receives(b"\n");
        bench.event(*id, READABLE);
    }
    assert_eq!(bench.told().len(), 5);
}

#[test]
fn a_tail_lost_in_a_panic_is_not_counted_any_more() {
    let config = Config { isolate_panics: true, ..Config::default() };
    let mut bench = Bench::new(config, |_, _, told| match told {
        Told::Line(_) => panic!("as the test wants it"),
        _ => Ok(()),
    });
    for _ in 0..3 {
        let client = bench.accept();
        bench.receive(&client, &[b'x'; 100]);
        assert!(bench.reactor.cx.table.held() >= 100);
        bench.receive(&client, b"\n");
        assert_eq!(bench.reactor.cx.table.held(), 0);
    }
    assert_eq!(bench.told().iter().filter(|told| **told == closed("a callback panicked")).count(), 3);
}

#[test]
fn a_linger_without_a_limit_on_bytes_is_no_overflow() {
    let config = Config { linger_bytes_max: usize::MAX, ..Config::default() };
    let mut bench = Bench::new(config, |_, _, told| match told {
        Told::Line(_) => Err(Close::Linger),
        _ => Ok(()),
    });
    let client = bench.accept();
    bench.receive(&client, b"bye\nmore");
    client.1.receives(b"");
    bench.event(client.0, READABLE.or(Readiness::READ_CLOSED));
    assert_eq!(bench.told(), [line("bye"), closed("closed by this program")]);
}

// F3: one that lingers and never stops sending gives way to the others, as one that is served does.
#[test]
fn f3_dropping_input_has_a_budget_too() {
    let config = Config { linger_bytes_max: 1 << 30, ..Config::default() };
    let mut bench = Bench::new(config, |_, _, told| match told {
        Told::Line(text) if text == b"bye" => Err(Close::Linger),
        _ => Ok(()),
    });
    let (lingers, served) = (bench.accept(), bench.accept());
    bench.receive(&lingers, b"bye\n");
    lingers.1.receives(&vec![0; 4 << 20]);
    served.1.receives(b"hello\n");
    let both = [event(lingers.0, READABLE), event(served.0, READABLE)];
    bench.net.0.borrow_mut().polls.push_back(Ok(both.to_vec()));
    bench.reactor.turn(None).expect("the reactor runs");
    assert_eq!(bench.told(), [line("bye"), line("hello")]);
    let left = lingers.1.0.borrow().recv.iter().flatten().map(Vec::len).sum::<usize>();
    assert!(left > 2 << 20, "{left} bytes are left for later turns");
    bench.settle();
    assert!(lingers.1.0.borrow().recv.is_empty(), "all of it was dropped in the end");
}

// Two that wait for each other: the peer sends before it reads, and we do not read before it does.
#[test]
fn a_paused_connection_with_input_unread_is_read_and_dropped_once_it_closes() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.accept();
    bench.reactor.with(|_, cx| cx.pause(id));
    sock.receives(&[b'x'; 1000]);
    bench.event(id, READABLE);
    sock.sends(Ok(1));
    bench.reactor.with(|_, cx| {
        cx.send_to(id, b"bye");
        cx.close(id, Close::Linger);
    });
    bench.settle();
    assert!(sock.0.borrow().recv.is_empty(), "what the peer sent is dropped while our output waits");
}

#[test]
fn a_failed_connect_frees_a_descriptor_for_accepting() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.connect();
    bench.settle();
    bench.net.0.borrow_mut().accepts.push_back(Err(std::io::ErrorKind::OutOfMemory));
    bench.events(&[super::listener_event()]);
    assert_eq!(bench.reactor.stats().accept_pauses, 1);
    bench.net.0.borrow_mut().accepts.push_back(Ok(super::Sock::default()));
    sock.0.borrow_mut().errors.push_back(Some(std::io::ErrorKind::ConnectionRefused));
    bench.event(id, Readiness::WRITABLE.or(Readiness::ERROR));
    assert_eq!(bench.reactor.stats().accepted, 1, "without a wait");
}

#[test]
fn a_handle_that_outlives_its_reactor_takes_nothing_more() {
    let bench = Bench::quiet(Config::default());
    let handle = bench.reactor.handle();
    drop(bench);
    assert!(handle.post(|_, _| ()).is_err());
}

// G7: the first `writable` may come as soon as the connection is opened.
#[test]
fn g7_a_panic_in_the_writable_of_a_connection_just_opened_is_isolated() {
    let config = Config { isolate_panics: true, ..Config::default() };
    let mut bench = Bench::new(config, |cx, _, told| {
        match told {
            Told::Opened => _ = cx.send(&vec![7; 70_000]),
            Told::Writable => panic!("as the test wants it"),
            _ => {}
        }
        Ok(())
    });
    bench.accept();
    assert_eq!(bench.told(), [Told::Writable, closed("a callback panicked")]);
}

// G7: the next one in the same batch is served before the broken connection closes.
#[test]
fn g7_what_a_panicking_callback_has_sent_reaches_nobody() {
    let config = Config { isolate_panics: true, ..Config::default() };
    let mut bench = Bench::new(config, |cx, _, told| {
        if let Told::Line(text) = told {
            cx.send(text);
            assert!(text != b"secret", "as the test wants it");
        }
        Ok(())
    });
    let (broken, next) = (bench.accept(), bench.accept());
    broken.1.receives(b"secret\n");
    next.1.receives(b"hello\n");
    bench.events(&[event(broken.0, READABLE), event(next.0, READABLE)]);
    assert_eq!(bench.told(), [line("secret"), line("hello"), closed("a callback panicked")]);
    assert_eq!((broken.1.sent(), next.1.sent()), (vec![], b"hello".to_vec()));
}
