//! Races of broadcasts: one message to ten thousand queues, and to sockets.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use switchboard::codec::Raw;
use switchboard::{Config, Conn, ConnId, Context, Frame, Handler, OnSlow, Peer, Reactor, Result};

use super::race::{Race, Run};
use super::send_queue::Naive;
use crate::conn::send_queue::{QueueId, SendQueues};
use crate::instant::Instant;

/// The sockets of the process itself, both ends of each: most systems let it have so many without being asked.
const SOCKETS: usize = 400;

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race::new("1 KiB queued for 10,000 connections and sent", "receiver", 10_000, |n| {
            let mut queues = SendQueues::default();
            let mut ids = vec![QueueId::NONE; n];
            Box::new(move || {
                let message = Bytes::from(vec![b'x'; 1024]);
                for id in &mut ids {
                    queues.push_broadcast(id, &message, Instant::START);
                }
                for id in &mut ids {
                    let taken = black_box(queues.front(*id).0).len();
                    queues.advance(id, taken, Instant::START);
                }
            })
        })
        .against("VecDeque<Vec<u8>>", |n| {
            let mut queues: Vec<_> = (0..n).map(|_| Naive::default()).collect();
            Box::new(move || {
                let message = vec![b'x'; 1024];
                for queue in &mut queues {
                    queue.push(&message);
                }
                for queue in &mut queues {
                    let taken = black_box(queue.messages.front()).map_or(0, Vec::len);
                    queue.advance(taken);
                }
            })
        }),
        Race::new("1 KiB broadcast to 400 sockets", "receiver", SOCKETS, ours)
            .against("a blocking write to each", naive),
    ]
}

/// Everyone who is connected.
struct Room(Vec<ConnId>);

impl Handler for Room {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.0.push(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
}

fn ours(receivers: usize) -> Run {
    let mut reactor = Reactor::new(Room(Vec::new()), Config::default()).expect("a reactor can be made");
    let (mut clients, servers) = pairs(receivers);
    for server in servers {
        reactor.adopt(server, 0).expect("taken");
    }
    Box::new(move || {
        reactor.with(|room, cx| {
            let message = Bytes::from(vec![b'x'; 1024]);
            let told = cx.broadcast(room.0.iter().copied(), &message, OnSlow::Close);
            assert_eq!(told.queued, room.0.len());
        });
        reactor.turn(Some(Duration::ZERO)).expect("a turn in good order");
        read(&mut clients);
    })
}

fn naive(receivers: usize) -> Run {
    let (mut clients, mut servers) = pairs(receivers);
    Box::new(move || {
        for server in &mut servers {
            let message = vec![b'x'; 1024];
            server.write_all(&message).expect("taken");
        }
        read(&mut clients);
    })
}

fn read(clients: &mut [TcpStream]) {
    let mut message = [0; 1024];
    for client in clients {
        client.read_exact(&mut message).expect("a message");
    }
}

fn pairs(count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    (0..count)
        .map(|_| {
            let client = TcpStream::connect(addr).expect("a listener");
            (client, listener.accept().expect("a connection").0)
        })
        .unzip()
}
