//! Every line to every connection by mio, by hand: what was said in one turn is one piece of memory for all.
//!
//! At the end of the turn each client gets it in one write. Who does not take it all keeps a counted reference to
//! the rest.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::mio::{BUFFER_BYTES, READS_MAX, SERVER, accept, interest, may_be_read, send, short_is_all, wait};
use super::{Args, LINE_BYTES_MAX};

/// Who is so far behind is closed: to leave lines out would not be noticed.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let listener = super::listen(args)?;
    super::announce(&listener)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, SERVER, Interest::READABLE)?;

    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; args.buffer.unwrap_or(BUFFER_BYTES)];
    let mut everyone = Everyone { clients: Slab::new(), said: BytesMut::new(), leaving: Vec::new() };
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if event.token() == SERVER {
                accept(&listener, |stream| everyone.welcome(stream, poll.registry()))?;
            } else {
                everyone.serve(event, &mut buffer, poll.registry())?;
            }
        }
        everyone.tell();
        everyone.part();
    }
}

struct Everyone {
    clients: Slab<Client>,
    /// The lines of this turn.
    said: BytesMut,
    /// Who ended or failed. They go after the turn, so that no event of it can be mistaken for another's.
    leaving: Vec<usize>,
}

impl Everyone {
    fn welcome(&mut self, mut stream: TcpStream, registry: &Registry) -> io::Result<()> {
        let entry = self.clients.vacant_entry();
        registry.register(&mut stream, Token(entry.key()), interest())?;
        entry.insert(Client {
            stream,
            is_open: true,
            partial: Vec::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
        });
        Ok(())
    }

    fn serve(&mut self, event: &Event, buffer: &mut [u8], registry: &Registry) -> io::Result<()> {
        let key = event.token().0;
        let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
        let mut result = Ok(Heard::All);
        if event.is_writable() {
            result = client.send_rest().map(|()| Heard::All);
        }
        if result.is_ok() && client.is_open {
            result = client.hear(event, buffer, &mut self.said);
        }
        match result {
            Ok(Heard::All) => {}
            // Asked for anew, readiness is reported anew.
            Ok(Heard::Some) => registry.reregister(&mut client.stream, event.token(), interest())?,
            Ok(Heard::End) => {
                client.is_open = false;
                self.leaving.push(key);
            }
            Err(_) => self.leaving.extend(client.fail(key)),
        }
        Ok(())
    }

    /// Sends what was said in this turn to all, who share its memory until the last has sent it.
    fn tell(&mut self) {
        if self.said.is_empty() {
            return;
        }
        let said = self.said.split().freeze();
        for (key, client) in &mut self.clients {
            if client.send(&said).is_err() {
                self.leaving.extend(client.fail(key));
            }
        }
    }

    /// Lets go who is leaving and has got everything.
    fn part(&mut self) {
        self.leaving.retain(|&key| {
            let stays = self.clients.get(key).is_some_and(|client| !client.unsent.is_empty());
            if !stays {
                self.clients.try_remove(key);
            }
            stays
        });
    }
}

struct Client {
    stream: TcpStream,
    is_open: bool,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// What the kernel did not take.
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
}

/// How much a client was heard of what it has to say.
enum Heard {
    All,
    Some,
    End,
}

impl Client {
    fn hear(&mut self, event: &Event, buffer: &mut [u8], said: &mut BytesMut) -> io::Result<Heard> {
        if !may_be_read(event) {
            return Ok(Heard::All);
        }
        let short_is_all = short_is_all(event);
        for _ in 0..READS_MAX {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Heard::End),
                Ok(len) => {
                    self.take_lines(&buffer[..len], said)?;
                    if len < buffer.len() && short_is_all {
                        return Ok(Heard::All);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(Heard::All),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(Heard::Some)
    }

    /// Adds to `said` up to the last end of a line. Nobody asks where in between the others are.
    fn take_lines(&mut self, bytes: &[u8], said: &mut BytesMut) -> io::Result<()> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole > 0 {
            said.extend_from_slice(&self.partial);
            said.extend_from_slice(&bytes[..whole]);
            self.partial = Vec::new();
        }
        self.partial.extend_from_slice(&bytes[whole..]);
        if self.partial.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("a line without an end"));
        }
        Ok(())
    }

    fn send(&mut self, said: &Bytes) -> io::Result<()> {
        let sent = if self.unsent.is_empty() { send(&mut self.stream, said)? } else { 0 };
        if sent == said.len() {
            return Ok(());
        }
        self.unsent.push_back(said.slice(sent..));
        self.unsent_bytes += said.len() - sent;
        if self.unsent_bytes > UNSENT_BYTES_MAX {
            return Err(io::Error::other("it does not read"));
        }
        Ok(())
    }

    fn send_rest(&mut self) -> io::Result<()> {
        while let Some(first) = self.unsent.front_mut() {
            let sent = send(&mut self.stream, first)?;
            first.advance(sent);
            self.unsent_bytes -= sent;
            if !first.is_empty() {
                break;
            }
            self.unsent.pop_front();
        }
        Ok(())
    }

    /// It gets no more and says no more. Answers its key if that is new.
    fn fail(&mut self, key: usize) -> Option<usize> {
        self.unsent.clear();
        self.unsent_bytes = 0;
        mem::replace(&mut self.is_open, false).then_some(key)
    }
}
