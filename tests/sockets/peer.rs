//! What blocking peers do beside writing and reading: small buffers, resets, reading to whatever end.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::server::PATIENCE;

/// A connection with a receive buffer as small as the system allows, which gives up after [`PATIENCE`].
pub(crate) fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a size");
    socket.connect(&addr.into()).expect("the server accepts");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger can be set");
    drop(stream);
}

/// Everything up to the end or an error, and which.
pub(crate) fn read_all(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let result = stream.read_to_end(&mut all).map(|_| ());
    (all, result)
}

/// Whether a read told of a reset.
pub(crate) fn is_reset(result: &io::Result<()>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// `n` bytes of which no two short pieces at different places are equal, always the same.
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(42);
    let block: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(65_521).collect();
    block.iter().copied().cycle().take(n).collect()
}
