//! Unix streams, with peers of the standard library: served like any other, and where they are not like TCP.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use switchboard::codec::Lines;
use switchboard::{
    Addr, CloseKind, Config, Conn, Context, Credentials, Frame, Handler, IntoListen, Listen, Peer, Reactor,
    Result, UnixAddr,
};

use crate::server::PATIENCE;
use crate::turns::{Scribe, settle, turn_until, turn_until_told};

/// A directory of the test's own, which is removed with all that is in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("switchboard-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory of our own");
        Place(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn addr(&self, name: &str) -> UnixAddr {
        UnixAddr::from_path(self.path(name)).expect("a short path")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A reactor that sends lines back to whoever connects to `listen`.
pub(crate) fn echo(listen: impl IntoListen) -> Reactor<Scribe> {
    let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made");
    reactor.listen(listen).expect("the name is free");
    reactor
}

/// A blocking connection that gives up after [`PATIENCE`].
pub(crate) fn connect(path: &Path) -> UnixStream {
    patient(UnixStream::connect(path).expect("the kernel takes the connection"))
}

fn patient(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

pub(crate) fn say(mut stream: &UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("written");
}

pub(crate) fn hear(mut stream: &UnixStream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

#[test]
fn a_unix_stream_is_served_like_any_other() {
    let place = Place::new("served");
    let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made");
    let listener = reactor.listen(place.addr("socket")).expect("the path is free");
    assert_eq!(reactor.local_addr(listener).expect("bound"), Addr::Unix(place.addr("socket")));
    let mut client = connect(&place.path("socket"));
    say(&client, "one\ntwo\n");
    turn_until_told(&mut reactor, 3);
    hear(&client, "one\ntwo\n");
    assert_eq!(reactor.connections().next().expect("one is open").peer, Addr::Unnamed);

    client.shutdown(std::net::Shutdown::Write).expect("connected");
    turn_until_told(&mut reactor, 4);
    assert_eq!(reactor.handler().log.last().expect("told"), "closed: ended by the peer");
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn a_name_can_be_written_as_text_and_a_bound_client_has_one() {
    use std::os::linux::net::SocketAddrExt as _;

    let name = format!("switchboard-text-{}", std::process::id());
    let mut reactor = echo(format!("unix:@{name}").as_str());
    let theirs = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    let place = Place::new("text");
    theirs.bind(&socket2::SockAddr::unix(place.path("client")).expect("short")).expect("free");
    let to = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    rustix::net::connect(
        &theirs,
        &rustix::net::SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a name"),
    )
    .expect("it listens");
    let client = patient(UnixStream::from(std::os::fd::OwnedFd::from(theirs)));
    assert_eq!(client.peer_addr().expect("connected").as_abstract_name(), to.as_abstract_name());
    say(&client, "who\n");
    turn_until_told(&mut reactor, 2);
    hear(&client, "who\n");
    let peer = reactor.connections().next().expect("one is open").peer;
    assert_eq!(peer, Addr::Unix(place.addr("client")));
}

#[test]
fn a_unix_stream_and_listener_of_someone_else_are_adopted_and_the_path_stays() {
    let place = Place::new("adopted");
    let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    reactor.adopt(theirs, 3).expect("adopted").expect("wanted");
    say(&ours, "a pair\n");
    turn_until_told(&mut reactor, 2);
    hear(&ours, "a pair\n");

    let listener = std::os::unix::net::UnixListener::bind(place.path("socket")).expect("free");
    let id = reactor.adopt_listener(listener, 4).expect("a listener");
    let client = connect(&place.path("socket"));
    say(&client, "a listener\n");
    turn_until_told(&mut reactor, 4);
    hear(&client, "a listener\n");
    reactor.with(|_, cx| cx.close_listener(id));
    settle(&mut reactor);
    drop(reactor);
    assert!(place.path("socket").exists(), "who bound it may listen there again");
}

#[test]
fn only_streams_are_adopted() {
    let mut reactor = Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made");
    let (one, _other) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
    assert_eq!(reactor.adopt(one, 0).expect_err("no stream").kind(), ErrorKind::InvalidInput);
    let packets = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).expect("one");
    let place = Place::new("packets");
    packets.bind(&socket2::SockAddr::unix(place.path("socket")).expect("short")).expect("free");
    packets.listen(1).expect("bound");
    let error = reactor.adopt_listener(packets, 0).expect_err("no stream");
    assert_eq!(error.to_string(), "the descriptor is no listening TCP or Unix socket");
}

#[test]
fn a_send_buffer_that_a_unix_listener_asks_for_is_that_of_what_it_accepts() {
    let place = Place::new("buffer");
    let mut reactor = echo(Listen::unix(place.addr("socket")).send_buffer_size(4608));
    let client = connect(&place.path("socket"));
    let line = "x".repeat(5000);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..12).for_each(|_| say(&client, &format!("{line}\n"))));
        turn_until_told(&mut reactor, 13);
    });
    // So little the kernel takes while nobody reads.
    let info = reactor.connections().next().expect("one is open");
    assert!(info.queued > 40_000, "{info:?}");
}

struct Asking(Vec<std::io::Result<Credentials>>);

impl Handler for Asking {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        self.0.push(peer.credentials());
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
}

// K8: where permissions do not say who may come in, or there are none, the handler can.
#[test]
fn k8_the_handler_is_told_who_is_at_the_other_end() {
    let place = Place::new("credentials");
    let mut reactor = Reactor::new(Asking(Vec::new()), Config::default()).expect("a reactor can be made");
    reactor.listen(place.addr("socket")).expect("free");
    let tcp = reactor.listen("127.0.0.1:0").expect("a free port");
    let tcp = reactor.local_addr(tcp).expect("bound").socket_addr().expect("an IP address");
    let _unix = connect(&place.path("socket"));
    turn_until(&mut reactor, |reactor| reactor.handler().0.len() == 1);
    let _tcp = crate::turns::connect(tcp);
    turn_until(&mut reactor, |reactor| reactor.handler().0.len() == 2);

    let told = &reactor.handler().0;
    let peer = told[0].as_ref().expect("known");
    assert_eq!(peer.pid, Some(std::process::id()));
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    assert_eq!(peer.gid, rustix::process::getegid().as_raw());
    assert_eq!(told[1].as_ref().expect_err("TCP does not know").kind(), ErrorKind::Unsupported);
}

// K11: a client goes without having read what it was sent.
#[test]
fn k11_a_peer_that_leaves_our_bytes_unread_has_reset_the_connection() {
    let place = Place::new("unread");
    let mut reactor = echo(place.addr("socket"));
    let client = connect(&place.path("socket"));
    say(&client, "never read\n");
    turn_until_told(&mut reactor, 2);
    drop(client);
    turn_until_told(&mut reactor, 3);
    assert_eq!(reactor.handler().log.last().expect("told"), "closed: reset by the peer");
    assert_eq!(reactor.stats().closed(CloseKind::Reset), 1);
}

// K11: what it sent before it went is delivered first, though the answers have nowhere to go.
#[test]
fn k11_what_a_peer_sent_before_it_left_is_delivered() {
    let place = Place::new("left");
    let mut reactor = echo(place.addr("socket"));
    let client = connect(&place.path("socket"));
    say(&client, "one\ntwo\nthree\n");
    drop(client);
    turn_until_told(&mut reactor, 5);
    let log = &reactor.handler().log;
    assert_eq!(log[..4], ["opened 0", "received one", "received two", "received three"]);
    assert_eq!(log[4], "closed: reset by the peer");
}

// K12: a peer sends a descriptor along with its bytes. Nobody asked for it, so the kernel closes it. A receive stops
// behind it, although more has come, and no event will tell of that.
#[test]
fn k12_a_descriptor_that_was_sent_to_us_is_not_kept() {
    let place = Place::new("descriptors");
    let mut reactor = echo(place.addr("socket"));
    let client = connect(&place.path("socket"));
    let (mut read_end, write_end) = std::io::pipe().expect("a pipe");
    for _ in 0..3 {
        let fds = [write_end.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        assert!(message.push(SendAncillaryMessage::ScmRights(&fds)));
        rustix::net::sendmsg(&client, &[IoSlice::new(b"take it\n")], &mut message, SendFlags::empty())
            .expect("sent");
    }
    drop(write_end);
    turn_until_told(&mut reactor, 4);
    hear(&client, "take it\ntake it\ntake it\n");
    // Were it open anywhere, this would wait.
    rustix::io::ioctl_fionbio(&read_end, true).expect("it can be");
    assert_eq!(read_end.read(&mut [0]).expect("the end"), 0);
}

// L2: Linux has urgent bytes on Unix streams since 5.15. They do not stall one either.
#[test]
fn l2_an_urgent_byte_does_not_stall_a_unix_stream() {
    let place = Place::new("urgent");
    let mut reactor = echo(place.addr("socket"));
    let client = connect(&place.path("socket"));
    say(&client, "before\n");
    if rustix::net::send(&client, b"!", SendFlags::OOB).is_err() {
        return;
    }
    say(&client, "after\n");
    turn_until_told(&mut reactor, 3);
    hear(&client, "before\nafter\n");
}
