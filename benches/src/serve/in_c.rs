//! The servers in C: programs of their own, built beside this one, into which this process turns.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Args, Name, Protocol};

const BUFFER_BYTES: usize = 64 * 1024;

/// Returns only if that cannot be done.
pub(super) fn serve(name: Name, args: &Args) -> io::Result<()> {
    let missing = || {
        let why = name.missing().unwrap_or_default();
        io::Error::new(io::ErrorKind::Unsupported, format!("{} is not in this build: {why}", name.text()))
    };
    let program = program(name).ok_or_else(missing)?;
    let mut command = Command::new(program);
    match name.protocol() {
        Protocol::Lines => drop(command.arg("lines")),
        Protocol::Length => drop(command.arg("length")),
        Protocol::Raw | Protocol::Broadcast => {}
    }
    let addr = args.addr()?;
    command.arg(addr.ip().to_string()).arg(addr.port().to_string());
    command.arg(args.buffer.unwrap_or(BUFFER_BYTES).to_string());
    if name == Name::Libuv {
        command.arg(args.idle_timeout.unwrap_or(0).to_string());
    }
    Err(io::Error::other(format!("{program}: {}", command.exec())))
}

/// Where the program of a server in C is, if it could be built.
pub(super) fn program(name: Name) -> Option<&'static str> {
    match name {
        Name::CEpoll => option_env!("SERVER_EPOLL"),
        Name::CEpollLines | Name::CEpollLength => option_env!("SERVER_EPOLL_FRAMED"),
        Name::CEpollBroadcast => option_env!("SERVER_EPOLL_BROADCAST"),
        Name::Libuv => option_env!("SERVER_LIBUV"),
        _ => None,
    }
}
