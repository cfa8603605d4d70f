//! Echo by calloop, as its book has it: an event source for each connection, made of a `Generic` and, with an idle
//! timeout, a `Timer`, in an event loop whose shared data is the one buffer.
//!
//! Level-triggered, as most of its users have it, so that one read is enough. A client is registered for reading,
//! and for writing instead while the kernel does not take what it is sent.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{
    EventLoop, EventSource, Interest, LoopHandle, Mode, Poll, PostAction, Readiness, Token, TokenFactory,
};

use super::Args;

const BUFFER_BYTES: usize = 64 * 1024;

/// The data that all callbacks share.
type Buffer = Vec<u8>;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let listener = super::listen(args)?;
    super::announce(&listener)?;
    let mut event_loop: EventLoop<'_, Buffer> = EventLoop::try_new()?;
    let (handle, idle_timeout) = (event_loop.handle(), args.idle_timeout());
    let listener = Generic::new(listener, Interest::READ, Mode::Level);
    event_loop
        .handle()
        .insert_source(listener, move |_, listener, _| accept(listener, &handle, idle_timeout))
        .map_err(|refusal| refusal.error)?;

    let mut buffer = vec![0; args.buffer.unwrap_or(BUFFER_BYTES)];
    Ok(event_loop.run(None, &mut buffer, |_| {})?)
}

fn accept(
    listener: &TcpListener,
    handle: &LoopHandle<'_, Buffer>,
    idle_timeout: Option<Duration>,
) -> io::Result<PostAction> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(PostAction::Continue),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                _ => return Err(error),
            },
        };
        stream.set_nonblocking(true)?;
        let client = Client {
            socket: Generic::new(stream, Interest::READ, Mode::Level),
            unsent: Vec::new(),
            idle: idle_timeout.map(Idle::new),
        };
        let inserted = handle.insert_source(client, |(), client, buffer| client.echo(buffer));
        inserted.map_err(|refusal| refusal.error)?;
    }
}

/// One connection: its callback is called when it can go on.
struct Client {
    socket: Generic<TcpStream>,
    /// What the kernel did not take. While there is any, nothing is read.
    unsent: Vec<u8>,
    idle: Option<Idle>,
}

impl EventSource for Client {
    type Event = ();
    type Metadata = Client;
    type Ret = io::Result<PostAction>;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut((), &mut Client) -> io::Result<PostAction>,
    {
        let mut is_ready = false;
        self.socket.process_events(readiness, token, |_, _| {
            is_ready = true;
            Ok(PostAction::Continue)
        })?;
        if is_ready {
            // An error of this function would end the loop; how one connection ends is its own affair.
            return Ok(callback((), self).unwrap_or(PostAction::Remove));
        }
        match &mut self.idle {
            Some(idle) => idle.process_events(readiness, token),
            None => Ok(PostAction::Continue),
        }
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.register(poll, tokens)?;
        self.idle.as_mut().map_or(Ok(()), |idle| idle.timer.register(poll, tokens))
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.reregister(poll, tokens)?;
        self.idle.as_mut().map_or(Ok(()), |idle| idle.timer.reregister(poll, tokens))
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.socket.unregister(poll)?;
        self.idle.as_mut().map_or(Ok(()), |idle| idle.timer.unregister(poll))
    }
}

impl Client {
    /// Goes on: with what is to be sent if there is any, else with what there is to be read.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<PostAction> {
        if let Some(idle) = &mut self.idle {
            idle.active_at = Instant::now();
        }
        let mut stream = self.socket.get_ref();
        if !self.unsent.is_empty() {
            let sent = none_if_blocked(stream.write(&self.unsent))?;
            self.unsent.drain(..sent.unwrap_or(0));
            if !self.unsent.is_empty() {
                return Ok(PostAction::Continue);
            }
            self.unsent = Vec::new();
            self.socket.interest = Interest::READ;
            return Ok(PostAction::Reregister);
        }
        let received = match none_if_blocked(stream.read(buffer))? {
            None => return Ok(PostAction::Continue),
            Some(0) => return Ok(PostAction::Remove),
            Some(len) => &buffer[..len],
        };
        let sent = none_if_blocked(stream.write(received))?.unwrap_or(0);
        if sent == received.len() {
            return Ok(PostAction::Continue);
        }
        self.unsent = received[sent..].to_vec();
        self.socket.interest = Interest::WRITE;
        Ok(PostAction::Reregister)
    }
}

/// A timer that is set anew only when it is due: until then an activity costs a look at the clock.
struct Idle {
    timer: Timer,
    timeout: Duration,
    active_at: Instant,
}

impl Idle {
    fn new(timeout: Duration) -> Idle {
        Idle { timer: Timer::from_duration(timeout), timeout, active_at: Instant::now() }
    }

    fn process_events(&mut self, readiness: Readiness, token: Token) -> io::Result<PostAction> {
        let due = self.active_at + self.timeout;
        self.timer.process_events(readiness, token, |_, ()| {
            // A timer that is dropped removes the source that it is part of.
            if due <= Instant::now() { TimeoutAction::Drop } else { TimeoutAction::ToInstant(due) }
        })
    }
}

fn none_if_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}
