//! One message for many: slow receivers, the limit, and what is shared meanwhile.

use std::io::Read;
use std::net::TcpStream;

use bytes::Bytes;
use switchboard::codec::Lines;
use switchboard::{Config, ConnId, OnSlow};

use crate::output::tight;
use crate::peer::{self, is_reset, pattern, read_all};
use crate::script::{Log, Script, narrow_lines};
use crate::server::Server;

/// Three connections, of which the last has more queued than the high mark.
fn two_fast_one_slow(server: &Server<Script<Lines>>) -> (Vec<TcpStream>, Vec<ConnId>) {
    let mut clients = Vec::new();
    for n in 1..=3 {
        clients.push(peer::narrow(server.addr));
        server.wait_until(move |script, _| script.open.len() == n);
    }
    let ids = server.with(|script, _| script.open.clone());
    let slow = ids[2];
    // More than both kernels take together, so that what is queued stays above the high mark.
    server.with(move |_, cx| while cx.try_send(slow, vec![b'x'; 1000].into()).is_ok() {});
    while server.with(move |_, cx| cx.try_send(slow, vec![b'x'; 1000].into()).is_ok()) {}
    assert!(server.with(move |_, cx| cx.queued(slow)) > 1024);
    (clients, ids)
}

#[test]
fn a_broadcast_deals_with_slow_receivers_as_told_and_counts_them() {
    for on_slow in [OnSlow::Queue, OnSlow::Skip, OnSlow::Close] {
        let log = Log::default();
        let server = narrow_lines(tight(), &log, |script| script);
        let (mut clients, ids) = two_fast_one_slow(&server);
        let slow = ids[2];
        let before = server.with(move |_, cx| cx.queued(slow));
        let targets = ids.clone();
        let (result, after) = server.with(move |_, cx| {
            let gone = ConnId::NONE;
            let targets = targets.into_iter().chain([gone]);
            (cx.broadcast(targets, &Bytes::from_static(b"news\n"), on_slow), cx.queued(slow))
        });
        let counts = (result.queued, result.skipped, result.closed);
        match on_slow {
            OnSlow::Queue => assert_eq!((counts, after), ((3, 1, 0), before + 5)),
            OnSlow::Skip => assert_eq!((counts, after), ((2, 2, 0), before)),
            _ => assert_eq!(counts, (2, 1, 1)),
        }
        for client in &mut clients[..2] {
            let mut news = [0; 5];
            client.read_exact(&mut news).expect("the news");
            assert_eq!(&news, b"news\n");
        }
        if on_slow == OnSlow::Close {
            assert!(is_reset(&read_all(&mut clients[2]).1));
            server.wait_until(|script, _| script.open.len() == 2);
            assert!(log.of(slow).last().is_some_and(|text| text.starts_with("closed: slow consumer")));
        }
        drop(clients);
        server.stop();
        log.check();
    }
}

#[test]
fn a_broadcast_that_does_not_fit_closes_that_receiver_only() {
    let log = Log::default();
    let server = narrow_lines(tight(), &log, |script| script);
    let (mut clients, ids) = two_fast_one_slow(&server);
    let news: Bytes = vec![b'n'; 9000].into();
    let result = server.with(move |_, cx| cx.broadcast(ids, &news, OnSlow::Queue));
    assert_eq!((result.queued, result.skipped, result.closed), (2, 0, 1));
    for client in &mut clients[..2] {
        client.read_exact(&mut [0; 9000]).expect("the news");
    }
    let (received, result) = read_all(&mut clients[2]);
    assert!(is_reset(&result), "{result:?}");
    assert!(!received.contains(&b'n'), "nothing of the refused message");
    drop(clients);
    server.stop();
    log.check();
}

// E9, E10: a broadcast is stored once, and when it has left, nothing holds it any more.
#[test]
fn e10_a_broadcast_is_shared_while_it_waits_and_let_go_when_it_has_left() {
    for bytes in [10, 100_000] {
        let log = Log::default();
        let server = narrow_lines(Config::default(), &log, |script| script);
        let mut clients: Vec<_> = (0..20).map(|_| peer::narrow(server.addr)).collect();
        server.wait_until(|script, _| script.open.len() == 20);
        let news: Bytes = pattern(bytes).into();
        let shared = news.clone();
        let ids = server.with(move |script, cx| {
            cx.broadcast(script.open.iter().copied(), &shared, OnSlow::Queue);
            assert!(!shared.is_unique());
            assert!(script.open.iter().all(|id| cx.queued(*id) == bytes));
            script.open.clone()
        });
        for client in &mut clients {
            let mut received = vec![0; bytes];
            client.read_exact(&mut received).expect("the news");
            assert!(received == news);
        }
        server.wait_until(move |_, cx| ids.iter().all(|id| cx.queued(*id) == 0));
        assert!(news.is_unique(), "a queue holds on to what it has sent");
        drop(clients);
        server.stop();
    }
}
