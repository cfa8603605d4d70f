//! Registered descriptors of every kind, with the other end held by the test.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{SendFlags, send};
use rustix::pipe::{PipeFlags, pipe_with};
use switchboard::codec::Raw;
use switchboard::{
    Config, Conn, ConnId, Context, Handler, Peer, Reactor, Readiness, Ready, Result, Sent, Source, SourceId,
    Stop,
};

use crate::server::PATIENCE;

/// What is done at `ready`.
type Does = Box<dyn FnMut(&mut Context, Ready<'_>)>;

#[derive(Default)]
struct Told {
    does: BTreeMap<u64, Does>,
    read: Vec<u8>,
    calls: Vec<(SourceId, u64, Readiness)>,
    failed: Vec<(SourceId, ErrorKind, String)>,
}

impl Handler for Told {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        self.calls.push((source.id, source.key, source.readiness));
        if let Some(does) = self.does.get_mut(&source.key) {
            return does(cx, source);
        }
        let mut bytes = [0; 4];
        match source.read(&mut bytes) {
            Ok(0) => cx.deregister(source.id),
            Ok(n) => self.read.extend(&bytes[..n]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn register_failed(&mut self, _: &mut Context, source: SourceId, error: &io::Error) {
        self.failed.push((source, error.kind(), error.to_string()));
    }
}

fn reactor() -> Reactor<Told> {
    Reactor::new(Told::default(), Config::default()).expect("a reactor can be made")
}

fn reactor_that(does: impl FnMut(&mut Context, Ready<'_>) + 'static) -> Reactor<Told> {
    let mut told = Told::default();
    told.does.insert(0, Box::new(does));
    Reactor::new(told, Config::default()).expect("a reactor can be made")
}

fn pipe() -> (OwnedFd, File) {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (reading, File::from(writing))
}

/// Turns until `done`.
#[track_caller]
fn until(reactor: &mut Reactor<Told>, done: impl Fn(&Reactor<Told>) -> bool) {
    let begin = Instant::now();
    while !done(reactor) {
        assert!(begin.elapsed() < PATIENCE, "it never comes: {:?}", reactor.handler().calls);
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
    }
}

/// Turns some times without waiting: whatever were told would be told by then.
fn turns(reactor: &mut Reactor<Told>, count: u32) {
    for _ in 0..count {
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
    }
}

// A19: the end of a pipe is an event without "readable", and is told with it, or nobody would read the end.
#[test]
fn a19_a_pipe_is_read_in_pieces_to_its_end() {
    let mut reactor = reactor();
    let (reading, mut writing) = pipe();
    reactor.register(Source::new(reading).key(7)).expect("a pipe can be polled");
    writing.write_all(b"hello, pipe").expect("written");
    drop(writing);
    reactor.run().expect("it ends when there is no source left");
    let told = reactor.into_handler();
    assert_eq!(told.read, b"hello, pipe");
    assert!(told.calls.iter().all(|(_, key, set)| *key == 7 && set.contains(Readiness::READABLE)));
    assert!(told.calls.last().is_some_and(|(.., set)| set.contains(Readiness::READ_CLOSED)));
}

// A handler that reads a byte is called for the next one in the next turn, though no more bytes come.
#[test]
fn what_is_left_is_told_of_again_once_in_each_turn() {
    let mut reactor = reactor_that(|_, source| {
        assert_eq!(source.read(&mut [0]).expect("a byte"), 1);
    });
    let (reading, mut writing) = pipe();
    reactor.register(Source::new(reading)).expect("registered");
    writing.write_all(&[7; 20]).expect("written");
    for turn in 1..=20 {
        reactor.turn(Some(PATIENCE)).expect("a turn");
        assert_eq!(reactor.stats().ready, turn);
    }
    turns(&mut reactor, 5);
    assert_eq!(reactor.stats().ready, 20);
}

// A4: a source that always has something costs a connection nothing but one call a turn.
#[test]
fn a4_a_source_that_is_always_ready_starves_nobody() {
    let mut reactor = reactor_that(|_, _| {});
    let (reading, mut writing) = pipe();
    reactor.register(Source::new(reading)).expect("registered");
    writing.write_all(b"nobody reads this").expect("written");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("an IP address");
    let mut client = TcpStream::connect(addr).expect("connected");
    client.write_all(b"and me?").expect("written");
    until(&mut reactor, |reactor| reactor.stats().sent == 7);
    let stats = reactor.stats();
    assert!(stats.ready <= stats.turns, "{} in {} turns", stats.ready, stats.turns);
}

#[test]
fn an_eventfd_is_read_and_written_as_what_it_is() {
    let mut reactor = reactor_that(|cx, source| {
        let mut number = [0; 8];
        assert_eq!(source.read(&mut number).expect("a number"), 8);
        assert_eq!(u64::from_ne_bytes(number), 42);
        assert_eq!(source.read(&mut number).expect_err("it is zero").kind(), ErrorKind::WouldBlock);
        cx.deregister(source.id);
    });
    let event = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    rustix::io::write(&event, &42_u64.to_ne_bytes()).expect("written");
    reactor.register(Source::new(event)).expect("registered");
    reactor.run().expect("it ends");
    assert_eq!(reactor.stats().ready, 1);
}

#[test]
fn the_output_of_a_child_comes_to_its_end() {
    let mut child = Command::new("sh")
        .args(["-c", "echo one; echo two"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut reactor = reactor();
    reactor.register(Source::new(child.stdout.take().expect("it is piped"))).expect("registered");
    reactor.run().expect("it ends");
    assert_eq!(reactor.handler().read, b"one\ntwo\n");
    assert!(child.wait().expect("a status").success());
}

#[test]
fn a_fifo_is_read_when_its_writer_comes() {
    let path = std::env::temp_dir().join(format!("switchboard-fifo-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let made = Command::new("mkfifo").arg(&path).status().expect("it runs");
    assert!(made.success());
    // Also opened for writing, so that opening does not wait and the end never comes.
    let reading = OpenOptions::new().read(true).write(true).open(&path).expect("opened");
    let mut reactor = reactor();
    let id = reactor.register(Source::new(reading)).expect("registered");
    turns(&mut reactor, 3);
    let mut writer = OpenOptions::new().write(true).open(&path).expect("opened");
    writer.write_all(b"through a name").expect("written");
    drop(writer);
    until(&mut reactor, |reactor| reactor.handler().read == b"through a name");
    reactor.with(|_, cx| cx.deregister(id));
    reactor.run().expect("it ends");
    fs::remove_file(&path).expect("removed");
}

#[test]
fn a_socket_pair_is_written_when_it_takes_something() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut left = vec![7_u8; 1 << 20];
    let mut reactor = reactor_that(move |cx, source| {
        match source.write(&left) {
            Ok(n) => drop(left.drain(..n)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if left.is_empty() {
            cx.deregister(source.id);
        }
    });
    let source = Source::new(ours).interest(Readiness::WRITABLE);
    reactor.register(source).expect("registered");
    let reads = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).map(|_| all.len())
    });
    reactor.run().expect("it ends");
    assert_eq!(reads.join().expect("no panic").expect("read"), 1 << 20);
}

#[test]
fn an_urgent_byte_is_exceptional_where_that_is_of_interest() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    let mut reactor = reactor_that(|cx, source| cx.deregister(source.id));
    reactor.register(Source::new(server).interest(Readiness::EXCEPTIONAL)).expect("registered");
    (&client).write_all(b"of no interest").expect("written");
    turns(&mut reactor, 5);
    send(&client, b"!", SendFlags::OOB).expect("sent");
    reactor.run().expect("it ends");
    let told: Vec<_> = reactor.handler().calls.iter().map(|(.., set)| *set).collect();
    assert_eq!(told, [Readiness::EXCEPTIONAL]);
}

// A19, B4: a pipe whose reader is gone is an error, and told as writable, too.
#[test]
fn a19_a_reader_that_is_gone_is_an_error_and_a_failed_write() {
    let mut reactor = reactor_that(|cx, source| {
        assert!(source.readiness.contains(Readiness::WRITABLE | Readiness::ERROR), "{source:?}");
        assert_eq!(source.write(b"x").expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
        cx.deregister(source.id);
    });
    let (reading, writing) = pipe();
    drop(reading);
    reactor.register(Source::new(writing).interest(Readiness::WRITABLE)).expect("registered");
    reactor.run().expect("it ends");
}

// The poll takes no regular file, which is said with what can be done.
#[test]
fn a_regular_file_or_a_directory_is_refused_with_what_to_do() {
    let mut reactor = reactor();
    for path in ["Cargo.toml", "src"] {
        let file = File::open(path).expect("it is there");
        let copy = file.try_clone().expect("a copy");
        let error = reactor.register(Source::new(file)).expect_err("always ready");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("read it on a thread"), "{error}");
        let flags = fcntl_getfl(&copy).expect("flags");
        assert!(!flags.contains(OFlags::NONBLOCK), "{path} is left as it was");
    }
    let id = reactor.with(|_, cx| cx.register(Source::new(File::open("Cargo.toml").expect("it is there"))));
    turns(&mut reactor, 1);
    let failed = &reactor.handler().failed;
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].0, failed[0].1), (id, ErrorKind::InvalidInput));
    assert!(failed[0].2.contains("always ready"), "{failed:?}");
    reactor.run().expect("nothing is left");
}

#[test]
fn a_source_is_non_blocking_until_it_is_given_back_unless_it_is_to_be_left() {
    let blocks = |fd: &dyn Fn() -> OFlags| !fd().contains(OFlags::NONBLOCK);
    for leave in [false, true] {
        let mut reactor = reactor();
        let (reading, _writing) = pipe();
        let copy = reading.try_clone().expect("a copy");
        let flags = || fcntl_getfl(&copy).expect("flags");
        let source = Source::new(reading);
        let source = if leave { source.leave_blocking() } else { source };
        let id = reactor.register(source).expect("registered");
        assert_eq!(blocks(&flags), leave);
        let back = reactor.take_source(id).expect("it is there");
        assert!(blocks(&flags));
        assert!(reactor.take_source(id).is_none());
        let again = reactor.register(Source::new(back)).expect("registered again");
        assert_ne!(again, id, "ids are never reused");
        drop(reactor);
        assert!(blocks(&flags), "also when the reactor goes first");
    }
}

// One for reading and a duplicate for writing: the end of one must not make the other block.
#[test]
fn a_source_stays_non_blocking_when_a_duplicate_of_it_is_closed() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let copy = || ours.try_clone().expect("a duplicate");
    let is_nonblocking = || fcntl_getfl(&ours).expect("flags").contains(OFlags::NONBLOCK);
    let mut reactor = reactor();
    let [first, second, third] =
        [copy(), copy(), copy()].map(|copy| reactor.register(Source::new(copy)).expect("registered"));
    assert!(is_nonblocking());
    reactor.with(|_, cx| cx.deregister(first));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(is_nonblocking());
    drop(reactor.take_source(third));
    assert!(is_nonblocking());
    drop(reactor.take_source(second));
    assert!(!is_nonblocking());
}

#[test]
fn a_terminal_is_left_as_it_is() {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let owner = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&owner).and_then(|()| unlockpt(&owner)).expect("it can be opened");
    let user = ioctl_tiocgptpeer(&owner, OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("its other side");
    let shell = user.try_clone().expect("a copy");
    let mut reactor = reactor();
    reactor.register(Source::new(user)).expect("registered");
    rustix::io::write(&owner, b"typed\n").expect("written");
    until(&mut reactor, |reactor| reactor.handler().read == b"typed\n");
    assert!(!fcntl_getfl(&shell).expect("flags").contains(OFlags::NONBLOCK));
}

// A13: a copy of the descriptor keeps what is open alive, and a poll would go on to tell of it.
#[test]
fn a13_a_source_with_a_copy_elsewhere_is_silent_once_it_is_deregistered() {
    let mut reactor = reactor();
    let (reading, mut writing) = pipe();
    let copy = reading.try_clone().expect("a copy");
    let id = reactor.register(Source::new(reading)).expect("registered");
    reactor.with(|_, cx| cx.deregister(id));
    turns(&mut reactor, 1);
    writing.write_all(b"hello?").expect("written");
    turns(&mut reactor, 5);
    assert_eq!((reactor.stats().ready, reactor.stats().stale_events), (0, 0));
    drop(copy);
}

// A10: both are ready in one poll, and whichever is told first closes the other.
#[test]
fn a10_a_source_deregistered_in_the_batch_that_has_its_event_is_not_told() {
    let mut reactor = Reactor::new(Closer::default(), Config::default()).expect("a reactor can be made");
    let pipes = [pipe(), pipe()];
    let mut kept = Vec::new();
    for (reading, mut writing) in pipes {
        writing.write_all(b"x").expect("written");
        kept.push(writing);
        let id = reactor.register(Source::new(reading)).expect("registered");
        reactor.with(|closer, _| closer.ids.push(id));
    }
    reactor.turn(Some(PATIENCE)).expect("a turn");
    assert_eq!((reactor.stats().ready, reactor.stats().stale_events), (1, 1));
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"), "nothing is left");
}

/// Closes all of its sources when it is told of one.
#[derive(Default)]
struct Closer {
    ids: Vec<SourceId>,
}

impl Handler for Closer {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        assert!(self.ids.contains(&source.id));
        for &id in &self.ids {
            cx.deregister(id);
        }
    }
}

// A paused source wakes nobody, not even with its end, and what came meanwhile is told when it goes on.
#[test]
fn a_paused_source_wakes_nobody_and_loses_nothing() {
    let mut reactor = reactor_that(|cx, source| cx.set_interest(source.id, Readiness::EMPTY));
    let (reading, mut writing) = pipe();
    let id = reactor.register(Source::new(reading)).expect("registered");
    writing.write_all(b"one").expect("written");
    until(&mut reactor, |reactor| reactor.stats().ready == 1);
    writing.write_all(b"two").expect("written");
    drop(writing);
    turns(&mut reactor, 5);
    assert_eq!((reactor.stats().ready, reactor.stats().stale_events), (1, 0));
    reactor.with(|told, cx| {
        told.does.clear();
        cx.set_interest(id, Readiness::READABLE);
    });
    reactor.run().expect("it ends");
    assert_eq!(reactor.handler().read, b"onetwo");
}

#[test]
fn interest_can_change_from_reading_to_writing_and_back() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut reactor = reactor_that(|cx, source| {
        if source.readiness.contains(Readiness::READABLE) {
            if source.read(&mut [0; 16]).expect("something, or the end") == 0 {
                return cx.deregister(source.id);
            }
            cx.set_interest(source.id, Readiness::WRITABLE);
        } else {
            source.write(b"answer").expect("there is room");
            cx.set_interest(source.id, Readiness::READABLE);
        }
    });
    reactor.register(Source::new(ours)).expect("registered");
    for _ in 0..3 {
        theirs.write_all(b"question").expect("written");
        let sent = reactor.stats().ready;
        until(&mut reactor, |reactor| reactor.stats().ready == sent + 2);
        let mut answer = [0; 6];
        theirs.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"answer");
    }
    drop(theirs);
    reactor.run().expect("it ends");
}

#[test]
fn a_source_registered_and_deregistered_in_one_callback_is_closed_unseen() {
    let mut reactor = reactor();
    let (reading, mut writing) = pipe();
    reactor.with(|_, cx| {
        let id = cx.register(Source::new(reading));
        cx.deregister(id);
        cx.deregister(id);
        cx.set_interest(id, Readiness::READABLE);
    });
    turns(&mut reactor, 1);
    assert_eq!(writing.write(b"x").expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"), "nothing is left");
}

#[test]
fn a_source_that_waits_to_be_registered_can_be_taken_back() {
    let mut reactor = reactor();
    let (reading, _writing) = pipe();
    let id = reactor.with(|_, cx| cx.register(Source::new(reading)));
    assert!(reactor.take_source(id).is_some());
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"), "nothing is left");
}

/// Whether anyone still has the other end of a pipe.
fn is_open(writing: &File) -> bool {
    rustix::io::write(writing.as_fd(), b"x").is_ok()
}

#[test]
fn a_stop_and_the_end_of_a_drain_close_what_is_registered() {
    for stop in [Stop::Now, Stop::Drain] {
        let mut reactor = reactor_that(|_, _| {});
        let ends: Vec<_> = (0..3)
            .map(|_| {
                let (reading, writing) = pipe();
                reactor.register(Source::new(reading)).expect("registered");
                writing
            })
            .collect();
        assert!(ends.iter().all(is_open));
        reactor.with(|_, cx| cx.stop(stop));
        reactor.run().expect("it stops");
        assert!(!ends.iter().any(is_open), "{stop:?}");
        let (reading, _writing) = pipe();
        assert!(reactor.register(Source::new(reading)).is_err(), "it has stopped");
    }
}

// A drain waits for connections, and sources are served meanwhile.
#[test]
fn during_a_drain_sources_are_served_until_the_last_connection_is_over() {
    let mut reactor = reactor();
    let (reading, mut writing) = pipe();
    reactor.register(Source::new(reading)).expect("registered");
    let (ours, theirs) = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| Ok((TcpStream::connect(listener.local_addr()?)?, listener.accept()?.0)))
        .expect("a pair");
    reactor.adopt(ours, 0).expect("adopted");
    // A connection that has not read its output is not over.
    reactor.with(|_, cx| {
        let id = cx.connections().next().expect("one").id;
        cx.send_to(id, &vec![7; 3 << 20]);
        cx.stop(Stop::Drain);
    });
    turns(&mut reactor, 3);
    writing.write_all(b"still there").expect("written");
    until(&mut reactor, |reactor| reactor.handler().read == b"still there");
    let reads = std::thread::spawn(move || {
        let mut all = Vec::new();
        (&theirs).read_to_end(&mut all).map(|_| all.len())
    });
    reactor.run().expect("it ends");
    assert_eq!(reads.join().expect("no panic").expect("read"), 3 << 20);
    assert!(!is_open(&writing));
}

#[test]
fn a_panic_that_leaves_run_closes_what_is_registered() {
    let mut reactor = reactor_that(|_, _| panic!("a bug"));
    let (reading, writing) = pipe();
    reactor.register(Source::new(reading)).expect("registered");
    assert!(is_open(&writing));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reactor.run()));
    assert!(run.is_err());
    assert!(!is_open(&writing));
}

// Isolated, a panic costs the source it came for, which would panic again at once, and no other.
#[test]
fn an_isolated_panic_closes_its_source_alone() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let mut told = Told::default();
    told.does.insert(1, Box::new(|_, _| panic!("a bug")));
    let mut reactor = Reactor::new(told, config).expect("a reactor can be made");
    let ends = [0, 1].map(|key| {
        let (reading, mut writing) = pipe();
        reactor.register(Source::new(reading).key(key)).expect("registered");
        writing.write_all(b"hello").expect("written");
        writing
    });
    until(&mut reactor, |reactor| reactor.stats().panics == 1 && reactor.handler().read == b"hello");
    assert_eq!(ends.each_ref().map(is_open), [true, false]);
}

// A source belongs to no connection, also right after one was served: what is sent there goes nowhere, and a panic there
// closes none.
#[test]
fn a_source_is_nobodys_connection() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let mut told = Told::default();
    told.does.insert(
        0,
        Box::new(|cx, _| {
            assert_eq!(cx.id(), ConnId::NONE);
            assert_eq!(cx.send(b"to nobody"), Sent::Closed);
            cx.stop(Stop::Drain);
            panic!("a bug");
        }),
    );
    let mut reactor = Reactor::new(told, config).expect("a reactor can be made");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("an IP address");
    let mut client = TcpStream::connect(addr).expect("connected");
    until(&mut reactor, |reactor| reactor.stats().open == 1);
    let (reading, mut writing) = pipe();
    reactor.register(Source::new(reading)).expect("registered");
    client.write_all(b"hello").expect("written");
    writing.write_all(b"hello").expect("written");
    until(&mut reactor, |reactor| reactor.stats().panics == 1);
    client.shutdown(std::net::Shutdown::Write).expect("it is open");
    reactor.run().expect("it drains");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("an orderly end");
    assert_eq!(back, b"hello");
}

#[test]
fn a_source_comes_from_another_thread_through_the_handle() {
    let mut reactor = reactor();
    let handle = reactor.handle();
    let (reading, mut writing) = pipe();
    let thread = std::thread::spawn(move || {
        writing.write_all(b"from a thread").expect("written");
        handle.post(move |_, cx| {
            cx.register(Source::new(reading));
        })
    });
    until(&mut reactor, |reactor| reactor.handler().read == b"from a thread");
    thread.join().expect("no panic").expect("posted");
}
