//! Our own addresses: both networks give a connect the one it asks for, or refuse it for the same reason.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::kernel::Kernel;
use super::rig::Beside;
use super::simulated::Simulated;
use crate::addr::Addr;
use crate::connect::Connect;
use crate::id::ListenerId;
use crate::net::{Listener as _, Network, Stream as _};
use crate::socket::Socket as _;

/// What became of connects from addresses that were said, in words.
fn answers<B: Beside>(mut beside: B) -> Vec<String> {
    let ip = beside.ip();
    let mut said = Vec::new();
    let net = beside.network();
    let listeners = [0, 1].map(|id| net.listen(&(ip, 0).into(), ListenerId(id)).expect("a free port"));
    let [to, other] = listeners.each_ref().map(|one| one.local_addr().expect("bound"));
    let socket_addr = |addr: &Addr| addr.socket_addr().expect("an IP address");

    let mut connect = |beside: &mut B, to: &Addr, from: SocketAddr| {
        let answer = beside.network().connect(to, &Connect::to(to.clone()).local(from));
        beside.settle();
        said.push(match &answer {
            Ok(stream) => {
                let local = stream.local_addr().expect("bound");
                let port = if from.port() == 0 {
                    local.port().is_some_and(|port| port != 0)
                } else {
                    local == from.into()
                };
                format!("connected from {}, port as asked: {port}", local.ip() == Some(ip))
            }
            Err(error) => format!("{:?}", error.kind()),
        });
        answer
    };
    let any = SocketAddr::new(ip, 0);
    let chosen = connect(&mut beside, &to, any).expect("a free port");
    let port = socket_addr(&chosen.local_addr().expect("bound"));
    // One that the system chose is shared with nobody, whoever it is connected to.
    let _: io::Result<_> = connect(&mut beside, &to, port);
    let _: io::Result<_> = connect(&mut beside, &other, port);
    chosen.reset_on_close().expect("set");
    drop(chosen);
    beside.settle();
    // One that was said is, by connections to different destinations.
    let first = connect(&mut beside, &to, port);
    let second = connect(&mut beside, &other, port);
    let third = connect(&mut beside, &to, port);
    drop((first, second, third));
    // A listener's, one that is not ours, and one that is connected to itself.
    let _: io::Result<_> = connect(&mut beside, &other, socket_addr(&to));
    let _: io::Result<_> = connect(&mut beside, &to, SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 0));
    // Outside of the range that ports are chosen from.
    let itself = SocketAddr::new(ip, 61_007);
    let itself = connect(&mut beside, &Addr::from(itself), itself).expect("nobody has it");
    assert_eq!(itself.peer_addr().ok(), itself.local_addr().ok());
    said
}

#[test]
fn connects_from_an_address_of_ours_are_answered_as_the_kernel_answers() {
    let kernel = answers(Kernel::new().expect("loopback sockets"));
    assert_eq!(kernel.len(), 9, "{kernel:?}");
    assert_eq!(answers(Simulated::new()), kernel);
}
