//! The echo server of every `select` tutorial, on this library's `select`: inputs, outputs and message queues.
//!
//! Each turn gives all descriptors to the system and looks at all of them, and what was read is written in the turn
//! after, when `select` says that it can be: that is the classic, and what it costs. Unlike the system call of that
//! name it has no limit of 1,024 descriptors, because below it is `poll`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::RecvFlags;
use slab::Slab;
use switchboard::select::{Ready, select};

use super::Args;

/// A queue this long takes its client out of the inputs.
const QUEUED_BYTES_HIGH: usize = 64 * 1024;
pub(super) const BUFFER_BYTES: usize = 16 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let server = super::listen(args)?;
    super::announce(&server)?;
    let mut buffer = vec![0; args.buffer.unwrap_or(BUFFER_BYTES)];
    let mut clients: Slab<Client> = Slab::new();
    loop {
        let sources = || clients.iter().map(|(key, client)| Source::Client(key, client));
        let inputs = sources().filter(Source::is_input).chain([Source::Server(&server)]);
        let outputs = sources().filter(Source::is_output);
        // Only names are kept of what is ready, so that clients can change and go.
        let ready = select(inputs, outputs, sources(), None)?.map(Source::key);
        let Ready { readable, writable, exceptional } = ready;

        for key in exceptional.into_iter().flatten() {
            drop_urgent(&clients[key].stream);
        }
        for key in writable.into_iter().flatten() {
            let Client { stream, queue } = &mut clients[key];
            if queue.send(stream).is_err() {
                clients.remove(key);
            }
        }
        for key in readable {
            let Some(key) = key else {
                accept(&server, |stream| {
                    clients.insert(Client { stream, queue: MessageQueue::default() });
                })?;
                continue;
            };
            // It may have gone as a writable one.
            let Some(Client { stream, queue }) = clients.get_mut(key) else { continue };
            if queue.recv(stream, &mut buffer).is_err() {
                clients.remove(key);
            }
        }
        clients.retain(|_, client| !client.queue.is_finished());
    }
}

/// What can be in the three sets.
#[derive(Clone, Copy)]
enum Source<'a> {
    Server(&'a TcpListener),
    Client(usize, &'a Client),
}

impl Source<'_> {
    /// `None` for the server.
    fn key(self) -> Option<usize> {
        match self {
            Source::Server(_) => None,
            Source::Client(key, _) => Some(key),
        }
    }

    fn is_input(&self) -> bool {
        match self {
            Source::Server(_) => true,
            Source::Client(_, client) => client.queue.is_input(),
        }
    }

    fn is_output(&self) -> bool {
        match self {
            Source::Server(_) => false,
            Source::Client(_, client) => client.queue.is_output(),
        }
    }
}

impl AsFd for Source<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Server(server) => server.as_fd(),
            Source::Client(_, client) => client.stream.as_fd(),
        }
    }
}

struct Client {
    stream: TcpStream,
    queue: MessageQueue,
}

/// What a client sent and has not got back.
#[derive(Default)]
pub(super) struct MessageQueue {
    bytes: VecDeque<u8>,
    has_ended: bool,
}

impl MessageQueue {
    /// Answers whether its client belongs among the inputs: it may send more, and there is room for it.
    pub(super) fn is_input(&self) -> bool {
        !self.has_ended && self.bytes.len() < QUEUED_BYTES_HIGH
    }

    /// Answers whether its client belongs among the outputs: most sockets are writable all the time.
    pub(super) fn is_output(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Answers whether its client got everything and will send no more.
    pub(super) fn is_finished(&self) -> bool {
        self.has_ended && self.bytes.is_empty()
    }

    pub(super) fn recv(&mut self, mut client: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        let len = or_none(client.read(buffer))?;
        self.bytes.extend(&buffer[..len.unwrap_or(0)]);
        self.has_ended = len == Some(0);
        Ok(())
    }

    /// Sends from the front. What is not taken stays there for the next time.
    pub(super) fn send(&mut self, mut client: &TcpStream) -> io::Result<()> {
        let (front, _) = self.bytes.as_slices();
        let len = or_none(client.write(front))?;
        self.bytes.drain(..len.unwrap_or(0));
        Ok(())
    }
}

/// Takes the urgent byte out, which would be reported for ever.
pub(super) fn drop_urgent(client: &TcpStream) {
    // If it fails, the byte is gone already.
    let _ = rustix::net::recv(client, &mut [0], RecvFlags::OOB);
}

/// Accepts all who wait.
pub(super) fn accept(server: &TcpListener, mut welcome: impl FnMut(TcpStream)) -> io::Result<()> {
    loop {
        match server.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                welcome(stream);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
}

/// `None` where there is nothing to be done now.
fn or_none(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}
