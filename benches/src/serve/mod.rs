//! The servers that are measured. Each says where it listens and serves until its process is ended.
//!
//! Each is written as the documentation and the examples of its library teach it, and is all there is in its
//! process: one thread, unless its library brings more. What is not the library's is the same for all, so that
//! it is not what is measured: the listening socket comes from [`listen`], and every server takes as many
//! connections as the system lets it. An error of one connection ends that one, in silence. An error of
//! accepting ends the server, because one that goes on in want of descriptors measures something else.

mod calloop;
mod in_c;
mod message_io;
mod mio;
mod mio_broadcast;
mod name;
mod select;
mod selector;
mod smol;
mod switchboard;
mod switchboard_broadcast;
mod threads;
mod tokio;
mod tokio_broadcast;
mod tokio_length;
mod tokio_lines;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

pub(crate) use name::{Name, Protocol};

/// Which server, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server; without one, says what each speaks and what it is made with
    #[arg(value_enum)]
    name: Option<Name>,
    /// The address to listen on; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:7000", value_name = "ADDR")]
    listen: String,
    /// Ends a connection that is silent for so many seconds, where the library has a way to do that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    idle_timeout: Option<u64>,
    /// Sets every limit and timeout that is off by default, where the server is this library's
    #[arg(long)]
    limits: bool,
    /// Receives so many bytes at a time [default: what the library does, or 65536 where that is left to us]
    #[arg(long, value_name = "BYTES", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1 << 30))]
    buffer: Option<usize>,
}

/// How long a line may be: what `Lines` of switchboard has, for all who have a limit.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Serves as `args` say, until the process is ended.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let Some(name) = args.name else {
        list();
        return Ok(());
    };
    if let (Some(_), Some(why)) = (args.idle_timeout, name.lacks_idle_timeout()) {
        return Err(args.unfit("--idle-timeout", why));
    }
    raise_descriptor_limit()?;
    if args.limits && !name.text().starts_with("switchboard") {
        return Err(args.unfit("--limits", "they are this library's"));
    }
    match name {
        Name::Switchboard => switchboard::raw(args),
        Name::SwitchboardLines => switchboard::lines(args),
        Name::SwitchboardLength => switchboard::length(args),
        Name::SwitchboardBroadcast => switchboard_broadcast::serve(args),
        Name::Mio => mio::serve(args),
        Name::MioBroadcast => mio_broadcast::serve(args),
        Name::Tokio => tokio::serve(args),
        Name::TokioLines => tokio_lines::serve(args),
        Name::TokioLinesBatched => tokio_lines::serve_batched(args),
        Name::TokioLength => tokio_length::serve(args),
        Name::TokioLengthBatched => tokio_length::serve_batched(args),
        Name::TokioBroadcast => tokio_broadcast::serve(args),
        Name::MessageIo => message_io::serve(args),
        Name::Calloop => calloop::serve(args),
        Name::Smol => smol::serve(args),
        Name::Threads => threads::serve(args),
        Name::Select => select::serve(args),
        Name::Selector => selector::serve(args),
        Name::CEpoll | Name::CEpollLines | Name::CEpollLength | Name::CEpollBroadcast | Name::Libuv => {
            in_c::serve(name, args)
        }
    }
}

/// Prints all servers: name, protocol, and the library or what is missing.
fn list() {
    for &name in Name::all() {
        let made_with = match name.missing() {
            None => name.library().to_owned(),
            Some(why) => format!("not in this build: {why}"),
        };
        println!("{:<22} {:<10} {made_with}", name.text(), name.protocol().text());
    }
}

impl Args {
    fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.map(Duration::from_secs)
    }

    /// For servers whose library chooses how much to receive.
    fn refuse_buffer(&self, why: &str) -> io::Result<()> {
        match self.buffer {
            None => Ok(()),
            Some(_) => Err(self.unfit("--buffer", why)),
        }
    }

    fn unfit(&self, option: &str, why: &str) -> io::Error {
        let name = self.name.map(Name::text).unwrap_or_default();
        io::Error::new(io::ErrorKind::InvalidInput, format!("{name} has no {option}: {why}"))
    }

    fn addr(&self) -> io::Result<SocketAddr> {
        let mut addrs = self.listen.to_socket_addrs()?;
        addrs.next().ok_or_else(|| io::Error::other(format!("{} is no address", self.listen)))
    }
}

/// Opens the socket on which a server listens, non-blocking, with what `Reactor::listen` gives its own: room for
/// 1,024 connections that wait, and no delay of small segments, which on Linux those that it accepts inherit.
fn listen(args: &Args) -> io::Result<TcpListener> {
    let addr = args.addr()?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Says where it listens. What measures waits for this line.
fn announce(listener: &TcpListener) -> io::Result<()> {
    println!("listening on {}", listener.local_addr()?);
    Ok(())
}

/// Lets this process open as many descriptors as the system allows it.
fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
