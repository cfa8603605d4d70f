//! A server as a process, and blocking clients of it.
//!
//! It knows the line that a server prints and the messages of its protocol; it does not know what is tested.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};

/// After so long a test has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_switchboard-bench");

/// What `serve` without a name says of a server.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) is_available: bool,
}

/// All servers that there are.
pub(crate) fn listed() -> io::Result<Vec<Listed>> {
    let output = Command::new(PROGRAM).arg("serve").output()?;
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let servers = text.lines().map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (name, protocol) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Listed { name, protocol, is_available: !line.contains("not in this build") }
    });
    Ok(servers.collect())
}

/// The program that is this server, on a port that the system chooses.
pub(crate) fn command(server: &Listed, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", &server.name, "--listen", "127.0.0.1:0"]).args(arguments).stdin(Stdio::null());
    command
}

/// A server that is killed when the test is over, however it ends.
pub(crate) struct Server {
    child: Child,
    name: String,
    protocol: String,
    addr: SocketAddr,
}

impl Server {
    pub(crate) fn start(server: &Listed, arguments: &[&str]) -> io::Result<Server> {
        let mut child = command(server, arguments).stdout(Stdio::piped()).spawn()?;
        match addr_of(&mut child) {
            Ok(addr) => {
                Ok(Server { child, name: server.name.clone(), protocol: server.protocol.clone(), addr })
            }
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        with_deadline(TcpStream::connect(self.addr)?)
    }

    /// A connection on which the kernel keeps little on this side.
    pub(crate) fn connect_narrow(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(65536)?;
        socket.set_send_buffer_size(65536)?;
        socket.connect(&self.addr.into())?;
        with_deadline(socket.into())
    }

    /// One message of this server's protocol that carries `number` and is about `len` bytes long.
    pub(crate) fn message(&self, number: usize, len: usize) -> Vec<u8> {
        let mut body = number.to_string().into_bytes();
        body.resize(body.len().max(len), b'.');
        match self.protocol.as_str() {
            "raw" => body,
            "length" => {
                let len = u32::try_from(body.len()).expect("a short message");
                [&len.to_be_bytes()[..], &body].concat()
            }
            _ => [&body[..], b"\n"].concat(),
        }
    }

    /// So many messages, one behind the other.
    pub(crate) fn messages(&self, count: usize, len: usize) -> Vec<u8> {
        (0..count).map(|number| self.message(number, len)).collect::<Vec<_>>().concat()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Without effect on one that has ended.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads the one line that a server prints.
fn addr_of(child: &mut Child) -> io::Result<SocketAddr> {
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    BufReader::new(stdout).read_line(&mut line)?;
    let addr = line.strip_prefix("listening on ").and_then(|line| line.strip_suffix('\n'));
    addr.and_then(|addr| addr.parse().ok())
        .ok_or_else(|| io::Error::other(format!("it does not say where it listens: {line:?}")))
}

fn with_deadline(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `bytes` and waits until they have come back.
pub(crate) fn echo(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    expect(stream, bytes)
}

pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    if answer != bytes {
        return Err(io::Error::other("what came back is not what was sent"));
    }
    Ok(())
}

pub(crate) fn expect_end(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other("more came back than was sent")),
    }
}

/// Writes without reading, until the kernel and the server take no more or all is written; answers how much was.
///
/// That nothing more is taken is seen by nothing being taken for a while. Where that is wrong, for want of processor
/// time, less is tested, and nothing fails.
pub(crate) fn write_until_stuck(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    const A_WHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    stream.set_nonblocking(true)?;
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(len) => written += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let ready = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&A_WHILE))?;
                if ready == 0 {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    stream.set_nonblocking(false)?;
    Ok(written)
}

/// Writes the rest of `bytes` and the end of the stream while it reads all of them back, and then the end.
pub(crate) fn write_rest_and_read(stream: &mut TcpStream, bytes: &[u8], written: usize) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            writer.write_all(&bytes[written..])?;
            writer.shutdown(Shutdown::Write)
        });
        expect(stream, bytes)?;
        expect_end(stream)?;
        writing.join().map_err(|_| io::Error::other("the writer panicked"))?
    })
}

/// Ends a connection in the way that tells the peer at once: with a reset.
pub(crate) fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
