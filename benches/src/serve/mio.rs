//! Echo by mio, by hand: what a program does that wants nothing between it and the poll.
//!
//! Registered once with both interests, so that no request costs an `epoll_ctl`; one buffer for all; the answer is
//! written at once, and kept only if the kernel does not take it.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::Args;

pub(super) const SERVER: Token = Token(usize::MAX);
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// After so many full buffers a client gives way to the others.
pub(super) const READS_MAX: usize = 16;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let listener = super::listen(args)?;
    super::announce(&listener)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, SERVER, Interest::READABLE)?;

    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; args.buffer.unwrap_or(BUFFER_BYTES)];
    let mut clients = Slab::new();
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if event.token() == SERVER {
                accept(&listener, |mut stream| {
                    let entry = clients.vacant_entry();
                    poll.registry().register(&mut stream, Token(entry.key()), interest())?;
                    entry.insert(Client { stream, readable: false, unsent: Vec::new() });
                    Ok(())
                })?;
                continue;
            }
            // A client goes in its own event, of which each poll has one, so that none can be another's.
            let Some(client) = clients.get_mut(event.token().0) else { continue };
            match client.serve(event, &mut buffer) {
                Ok(Next::Wait) => {}
                // Asked for anew, readiness is reported anew: behind what is ready now.
                Ok(Next::GiveWay) => {
                    poll.registry().reregister(&mut client.stream, event.token(), interest())?;
                }
                Ok(Next::End) | Err(_) => drop(clients.remove(event.token().0)),
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    /// There may be more to read, which no event will say again.
    readable: bool,
    /// What the kernel did not take. While there is any, nothing is read.
    unsent: Vec<u8>,
}

enum Next {
    Wait,
    GiveWay,
    End,
}

impl Client {
    fn serve(&mut self, event: &Event, buffer: &mut [u8]) -> io::Result<Next> {
        self.readable |= may_be_read(event);
        let is_blocked = !self.unsent.is_empty() && (!event.is_writable() || !self.send_rest()?);
        if is_blocked || !self.readable {
            return Ok(Next::Wait);
        }
        let short_is_all = short_is_all(event);
        for _ in 0..READS_MAX {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Next::End),
                Ok(len) => {
                    if !self.send(&buffer[..len])? {
                        return Ok(Next::Wait);
                    }
                    if len < buffer.len() && short_is_all {
                        self.readable = false;
                        return Ok(Next::Wait);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.readable = false;
                        return Ok(Next::Wait);
                    }
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(Next::GiveWay)
    }

    /// Answers whether the kernel took it all. What it did not take is kept.
    fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let sent = send(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(sent == bytes.len())
    }

    fn send_rest(&mut self) -> io::Result<bool> {
        let sent = send(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(self.unsent.is_empty())
    }
}

/// Everything, once and for all. Priority, because else nothing says that a read ended at the mark of urgent data.
pub(super) fn interest() -> Interest {
    Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY
}

pub(super) fn may_be_read(event: &Event) -> bool {
    event.is_readable() || event.is_read_closed() || event.is_error()
}

/// Answers whether a read that got less than it asked for got all there was: epoll(7), question 9. There is more
/// behind it where the event says that there is an end, an error or a mark.
pub(super) fn short_is_all(event: &Event) -> bool {
    !(event.is_read_closed() || event.is_error() || event.is_priority())
}

pub(super) fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    loop {
        match poll.poll(events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Accepts all who wait.
pub(super) fn accept(
    listener: &TcpListener,
    mut welcome: impl FnMut(TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => welcome(stream)?,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
}

/// Writes once. Less than all means that there is an event when there is room again.
pub(super) fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
