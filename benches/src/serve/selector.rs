//! The echo server of every `select` tutorial, on this library's `Selector`: the sets are kept, and changed one by one.
//!
//! Otherwise it is the classic: what was read is written in the turn after, when the selector says that it can be. It
//! costs what is ready, not what is there. It has no limit of 1,024 descriptors.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use switchboard::select::{Interest, Ready, Selector, SourceId};

use super::Args;
use super::select::{BUFFER_BYTES, MessageQueue, accept, drop_urgent};

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let server = super::listen(args)?;
    super::announce(&server)?;
    let mut buffer = vec![0; args.buffer.unwrap_or(BUFFER_BYTES)];
    let mut echo = Echo { selector: Selector::new()?, message_queues: HashMap::new() };
    echo.selector.insert(Source::Server(server), Interest::READABLE)?;
    loop {
        let Ready { readable, writable, exceptional } = echo.selector.select(None)?;
        for id in exceptional {
            if let Some(Source::Client(client)) = echo.selector.get(id) {
                drop_urgent(client);
            }
        }
        for id in writable {
            echo.serve(id, MessageQueue::send);
        }
        for id in readable {
            if let Some(Source::Server(server)) = echo.selector.get(id) {
                let mut arrived = Vec::new();
                accept(server, |stream| arrived.push(stream))?;
                echo.welcome(arrived)?;
            } else {
                echo.serve(id, |queue, client| queue.recv(client, &mut buffer));
            }
        }
    }
}

enum Source {
    Server(TcpListener),
    Client(TcpStream),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Server(server) => server.as_fd(),
            Source::Client(client) => client.as_fd(),
        }
    }
}

struct Echo {
    selector: Selector<Source>,
    message_queues: HashMap<SourceId, MessageQueue>,
}

impl Echo {
    fn welcome(&mut self, arrived: Vec<TcpStream>) -> io::Result<()> {
        for client in arrived {
            let queue = MessageQueue::default();
            let id = self.selector.insert(Source::Client(client), interest(&queue))?;
            self.message_queues.insert(id, queue);
        }
        Ok(())
    }

    /// Lets `how` move bytes of one client, and puts the client into the sets that follow from it.
    fn serve(&mut self, id: SourceId, how: impl FnOnce(&mut MessageQueue, &TcpStream) -> io::Result<()>) {
        // It may have gone in this turn.
        let (Some(Source::Client(client)), Some(queue)) =
            (self.selector.get(id), self.message_queues.get_mut(&id))
        else {
            return;
        };
        if how(queue, client).is_err() || queue.is_finished() {
            self.selector.remove(id);
            self.message_queues.remove(&id);
        } else {
            let interest = interest(queue);
            self.selector.set_interest(id, interest);
        }
    }
}

fn interest(queue: &MessageQueue) -> Interest {
    let mut interest = Interest::EXCEPTIONAL;
    if queue.is_input() {
        interest |= Interest::READABLE;
    }
    if queue.is_output() {
        interest |= Interest::WRITABLE;
    }
    interest
}
