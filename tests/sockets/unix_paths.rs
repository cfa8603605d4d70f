//! The paths of Unix sockets: who may connect, what was left over, what is removed.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;

use rustix::fs::FlockOperation;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use switchboard::{Addr, Config, Listen, Reactor, UnixAddr};

use crate::turns::{Scribe, settle, turn_until, turn_until_told};
use crate::unix::{Place, connect, echo, hear, say};
use crate::unix_datagrams::bound;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// Leaves a socket behind, as a process does that is killed.
fn leave_over(path: &Path) {
    drop(UnixListener::bind(path).expect("free"));
    assert!(path.exists());
}

fn refused(listen: impl Into<Listen>) -> std::io::Error {
    let mut reactor = Reactor::new(Scribe::new(), Config::default()).expect("a reactor can be made");
    reactor.listen(listen.into()).expect_err("not to be listened on")
}

// K8: without a word only for the owner, and with one exactly that, whatever the umask takes from other files.
#[test]
fn k8_a_path_has_the_permissions_that_were_asked_for() {
    let place = Place::new("modes");
    let addr = place.addr("socket");
    let reactor = echo(addr.clone());
    assert_eq!(mode(&place.path("socket")), 0o600);
    drop(reactor);
    for asked in [0o600, 0o660, 0o666, 0o777, 0o222] {
        let _reactor = echo(Listen::unix(addr.clone()).mode(asked));
        assert_eq!(mode(&place.path("socket")), asked);
        connect(&place.path("socket"));
    }
}

#[test]
fn a_path_goes_with_its_listener() {
    let place = Place::new("goes");
    let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made");
    let first = reactor.listen(place.addr("first")).expect("free");
    reactor.listen(place.addr("second")).expect("free");
    let client = connect(&place.path("first"));
    reactor.with(|_, cx| cx.close_listener(first));
    turn_until_told(&mut reactor, 1);
    settle(&mut reactor);
    assert!(!place.path("first").exists() && place.path("second").exists());
    // Who was waiting is served.
    say(&client, "in time\n");
    turn_until_told(&mut reactor, 2);
    hear(&client, "in time\n");
    drop(reactor);
    assert!(!place.path("second").exists());
}

// K7: the process that bound it is gone.
#[test]
fn k7_a_socket_that_was_left_over_is_replaced() {
    let place = Place::new("left-over");
    leave_over(&place.path("socket"));
    let mut reactor = echo(place.addr("socket"));
    let client = connect(&place.path("socket"));
    say(&client, "hello\n");
    turn_until_told(&mut reactor, 2);
    hear(&client, "hello\n");
    drop(reactor);
    assert!(!place.path("socket").exists());
}

// K7: whoever is bound to it, listening already or not yet, keeps it, and is not disturbed by the question.
#[test]
fn k7_a_socket_that_is_in_use_is_left_alone() {
    let place = Place::new("in-use");
    let listener = UnixListener::bind(place.path("listening")).expect("free");
    listener.set_nonblocking(true).expect("it can be");
    let _datagrams = UnixDatagram::bind(place.path("datagrams")).expect("free");
    let bound = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    bound.bind(&socket2::SockAddr::unix(place.path("bound")).expect("short")).expect("free");
    for name in ["listening", "datagrams", "bound"] {
        let error = refused(place.addr(name));
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let expected = format!("{} cannot be bound to: another socket has that name", place.addr(name));
        assert_eq!(error.to_string(), expected);
        assert!(place.path(name).exists());
    }
    assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
    connect(&place.path("listening"));
    listener.accept().expect("it goes on");
}

// K7: what is no socket was not left over by one.
#[test]
fn k7_a_file_that_is_no_socket_is_left_alone() {
    let place = Place::new("files");
    fs::write(place.path("file"), "precious").expect("written");
    fs::create_dir(place.path("directory")).expect("made");
    symlink(place.path("file"), place.path("link")).expect("made");
    symlink(place.path("nothing"), place.path("dangling")).expect("made");
    leave_over(&place.path("dead"));
    symlink(place.path("dead"), place.path("link to a dead one")).expect("made");
    for name in ["file", "directory", "link", "dangling", "link to a dead one"] {
        let error = refused(place.addr(name));
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let expected =
            format!("{} cannot be bound to: there is a file, and it is no socket", place.addr(name));
        assert_eq!(error.to_string(), expected);
        assert!(fs::symlink_metadata(place.path(name)).is_ok());
    }
    assert_eq!(fs::read(place.path("file")).expect("still there"), b"precious");
    let error = refused(place.addr("no/directory"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no/directory"), "{error}");
}

// K7: someone has put a socket of their own in the place of ours.
#[test]
fn k7_only_our_own_file_is_removed() {
    let place = Place::new("own");
    let reactor = echo(place.addr("socket"));
    fs::remove_file(place.path("socket")).expect("ours");
    let theirs = UnixListener::bind(place.path("socket")).expect("free");
    drop(reactor);
    connect(&place.path("socket"));
    theirs.accept().expect("it is still theirs");
}

// K7: of several that start at once and find the same socket left over, one gets it and keeps it.
#[test]
fn k7_of_many_that_find_a_socket_left_over_one_gets_it() {
    let place = Place::new("race");
    for _ in 0..40 {
        leave_over(&place.path("socket"));
        let starters = 4;
        let together = Barrier::new(starters);
        let got: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("made");
                together.wait();
                let result = reactor.listen(place.addr("socket"));
                // Nobody lets go of it before all have tried.
                together.wait();
                let stays = result.is_ok().then(|| {
                    let client = connect(&place.path("socket"));
                    say(&client, "ours\n");
                    turn_until_told(&mut reactor, 2);
                    hear(&client, "ours\n");
                });
                together.wait();
                (stays.is_some(), result.err().map(|error| error.kind()))
            };
            let threads: Vec<_> = (0..starters).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(got.iter().filter(|(stays, _)| *stays).count(), 1, "{got:?}");
        let others = got.iter().filter_map(|(_, error)| *error);
        assert!(
            others.clone().count() == starters - 1 && others.into_iter().all(|e| e == ErrorKind::AddrInUse)
        );
        assert!(!place.path("socket").exists());
    }
}

// K7: without the lock nothing is removed, and what needs no removal needs no lock.
#[test]
fn k7_a_directory_that_someone_else_has_locked_only_hinders_a_removal() {
    let place = Place::new("locked");
    leave_over(&place.path("socket"));
    let directory = fs::File::open(place.path(".")).expect("it is there");
    rustix::fs::flock(&directory, FlockOperation::LockExclusive).expect("free");
    let error = refused(place.addr("socket"));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("its directory cannot be locked"), "{error}");
    assert!(place.path("socket").exists());
    drop(echo(place.addr("another")));
    drop(directory);
    drop(echo(place.addr("socket")));
}

// K8: a decimal number is no way to write permissions, and what is left of it without its highest bits is none at all.
#[test]
fn k8_permissions_written_as_a_decimal_number_are_refused() {
    let place = Place::new("decimal");
    for mistaken in [600, 660, 666, 777, 0o1000] {
        let error = refused(Listen::unix(place.addr("socket")).mode(mistaken));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("in decimal {mistaken}")), "{error}");
        assert!(!place.path("socket").exists());
    }
}

/// A socket bound to a path of as many bytes as `sockaddr_un` has, so that there is no room for the zero byte behind it:
/// Linux takes it, and tells it with the zero byte, longer than a `sockaddr_un` is.
fn of_108_bytes(place: &Place, kind: SocketType) -> OwnedFd {
    let mut path = place.path("").into_os_string().into_vec();
    path.resize(UnixAddr::LEN_MAX + 1, b'x');
    let socket = rustix::net::socket(AddressFamily::UNIX, kind, None).expect("a socket");
    let at = SocketAddrUnix::new(path).expect("just short enough");
    rustix::net::bind(&socket, &at).expect("free");
    socket
}

// K9: a peer may have a path one byte longer than we can write. It is served, and has no name.
#[test]
fn k9_a_peer_whose_path_is_too_long_is_served_unnamed() {
    let place = Place::new("peer-108");
    let mut reactor = echo(place.addr("socket"));
    let client = of_108_bytes(&place, SocketType::STREAM);
    rustix::net::connect(&client, &SocketAddrUnix::new(place.path("socket")).expect("short")).expect("room");
    let client = UnixStream::from(client);
    say(&client, "hello\n");
    turn_until_told(&mut reactor, 2);
    assert_eq!(reactor.connections().next().expect("one is open").peer, Addr::Unnamed);
    hear(&client, "hello\n");
    reactor.adopt(client, 1).expect("adopted, the other way round");
    turn_until_told(&mut reactor, 3);
}

// K9: the same of one that sends datagrams.
#[test]
fn k9_a_sender_whose_path_is_too_long_is_told_as_unnamed() {
    let place = Place::new("sender-108");
    let (mut reactor, _) = bound(place.addr("socket"));
    let sender = UnixDatagram::from(of_108_bytes(&place, SocketType::DGRAM));
    sender.send_to(b"hello", place.path("socket")).expect("sent");
    turn_until(&mut reactor, |reactor| !reactor.handler().received.is_empty());
    assert_eq!(reactor.handler().received, [(Addr::Unnamed, b"hello".to_vec(), false)]);
}
