//! A proxy: every connection has a partner, what one receives the other sends, and pressure passes through.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use switchboard::codec::Raw;
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Origin, Peer,
    Result, Sent,
};

use crate::peer::{self, is_reset, pattern, read_all, reset};
use crate::script::narrow;
use crate::server::{PATIENCE, Server};

/// Connects each that comes in onward to one address.
struct Proxy {
    onward: SocketAddr,
    partners: HashMap<ConnId, ConnId>,
    /// The most that was ever waiting for one connection.
    most_queued: usize,
}

impl Handler for Proxy {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        if let Origin::Accepted(_) = peer.origin {
            let partner = cx.connect(self.onward, 0).ok()?;
            self.partners.insert(cx.id(), partner);
            self.partners.insert(partner, cx.id());
        }
        Some((Raw, ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        let partner = self.partners[&conn.id];
        if cx.send_to(partner, bytes) == Sent::OverHigh {
            cx.pause(conn.id);
        }
        self.most_queued = self.most_queued.max(cx.queued(partner));
        Ok(())
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.resume(self.partners[&conn.id]);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.finish(self.partners[&conn.id]);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        if let Some(partner) = self.partners.remove(&cx.id()) {
            cx.close(partner, if why.is_orderly() { Close::Flush } else { Close::Abort });
        }
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        if let Some(partner) = self.partners.remove(&cx.id()) {
            cx.close(partner, Close::Abort);
        }
    }
}

fn proxy(listen: Listen, onward: SocketAddr) -> Server<Proxy> {
    Server::start_on(listen, Config::default(), move || Proxy {
        onward,
        partners: HashMap::new(),
        most_queued: 0,
    })
}

fn plain() -> Listen {
    Listen::new(([127, 0, 0, 1], 0).into())
}

fn onward() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    (listener, addr)
}

/// Writes `bytes` and ends its side, while it reads everything there is, which is returned.
fn exchange(stream: TcpStream, bytes: Vec<u8>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut writer = stream.try_clone().expect("cloned");
        let writing = std::thread::spawn(move || {
            writer.write_all(&bytes).expect("written");
            writer.shutdown(Shutdown::Write).expect("ended");
        });
        let mut reader = stream;
        let (received, result) = read_all(&mut reader);
        assert!(result.is_ok(), "{result:?} after {} bytes", received.len());
        writing.join().expect("all is written");
        received
    })
}

#[test]
fn thirty_two_megabytes_each_way_pass_through_a_proxy_within_its_marks() {
    let (listener, addr) = onward();
    let server = proxy(plain(), addr);
    let there = pattern(32 << 20);
    let back: Vec<u8> = there.iter().rev().copied().collect();
    let client = exchange(server.connect(), there.clone());
    let upstream = exchange(listener.accept().expect("a connection").0, back.clone());
    assert!(client.join().expect("exchanged") == back);
    assert!(upstream.join().expect("exchanged") == there);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let most = server.with(|proxy, _| proxy.most_queued);
    let bound = Config::default().queued_bytes_high + Config::default().recv_buffer_bytes;
    assert!(most <= bound, "{most} bytes were waiting, the marks allow {bound}");
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 2);
}

// The peer that has ended its side gets an answer that is much longer than all buffers, slowly.
#[test]
fn f5_half_closes_pass_through_a_proxy_in_both_orders() {
    for client_first in [true, false] {
        let (listener, addr) = onward();
        let server = proxy(narrow(), addr);
        let client = peer::narrow(server.addr);
        let upstream = listener.accept().expect("a connection").0;
        let (mut first, second) = if client_first { (client, upstream) } else { (upstream, client) };
        first.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        first.write_all(b"request").expect("written");
        first.shutdown(Shutdown::Write).expect("ended");
        let answering = std::thread::spawn(move || {
            let mut second = second;
            second.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            let (request, result) = read_all(&mut second);
            assert!(result.is_ok() && request == b"request", "{result:?}");
            second.write_all(&pattern(1 << 20)).expect("written");
        });
        let (received, result) = read_all(&mut first);
        assert!(result.is_ok(), "{result:?}");
        assert!(received == pattern(1 << 20), "{} bytes", received.len());
        answering.join().expect("answered");
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
    }
}

#[test]
fn a_reset_passes_through_a_proxy_as_a_reset() {
    let (listener, addr) = onward();
    let server = proxy(plain(), addr);
    let mut client = server.connect();
    let upstream = listener.accept().expect("a connection").0;
    client.write_all(b"hello").expect("written");
    reset(upstream);
    let (_, result) = read_all(&mut client);
    assert!(is_reset(&result), "{result:?}");
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
}

#[test]
fn a_proxy_that_cannot_connect_onward_resets_its_client() {
    let (listener, addr) = onward();
    drop(listener);
    let server = proxy(plain(), addr);
    let mut client = server.connect();
    // Nothing is written: a write that fails would take the reset away.
    let (_, result) = read_all(&mut client);
    assert!(is_reset(&result), "{result:?}");
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.connects_failed, 1);
}
