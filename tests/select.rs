//! The select facade on real descriptors: what each set means, and that it means it again and again.
//!
//! Every meaning is asked of both forms, and of the reusable one twice, because the second answer is the one that
//! depends on re-arming. Peers are blocking sockets of the standard library.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use switchboard::select::{DescriptorError, Interest, Ready, Selector, SourceId, select};

const R: Interest = Interest::READABLE;
const W: Interest = Interest::WRITABLE;
const X: Interest = Interest::EXCEPTIONAL;
const ALL: Interest = Interest::ALL;
const NONE: Interest = Interest::NONE;

/// How long to wait for what must come.
const DEADLINE: Duration = Duration::from_secs(10);
const NO_WAIT: Option<Duration> = Some(Duration::ZERO);

/// What `select` says of each source, in the sets that the source is given with.
fn once(sources: &[(BorrowedFd<'_>, Interest)], timeout: Option<Duration>) -> Vec<Interest> {
    let set = |kind| -> Vec<BorrowedFd<'_>> {
        let members = sources.iter().filter(|source| source.1.contains(kind));
        members.map(|source| source.0).collect()
    };
    let (readers, writers, exceptional) = (set(R), set(W), set(X));
    let ready = select(readers, writers, exceptional, timeout).expect("select");
    let ready = ready.map(|fd| fd.as_raw_fd());
    sources.iter().map(|(fd, _)| sets_with(&ready, &fd.as_raw_fd())).collect()
}

/// The same of a selector.
fn with(
    selector: &mut Selector<BorrowedFd<'_>>,
    ids: &[SourceId],
    timeout: Option<Duration>,
) -> Vec<Interest> {
    let ready = selector.select(timeout).expect("select");
    ids.iter().map(|id| sets_with(&ready, id)).collect()
}

fn sets_with<T: PartialEq>(ready: &Ready<T>, element: &T) -> Interest {
    let mut sets = NONE;
    for (set, kind) in [(&ready.readable, R), (&ready.writable, W), (&ready.exceptional, X)] {
        if set.contains(element) {
            sets |= kind;
        }
    }
    sets
}

/// Asserts that both forms come to say `expected`, and keep saying it.
#[track_caller]
fn assert_ready(sources: &[(BorrowedFd<'_>, Interest)], expected: &[Interest]) {
    let mut selector = Selector::new().expect("a selector");
    let insert = |&(fd, interest)| selector.insert(fd, interest).expect("insert");
    let ids: Vec<SourceId> = sources.iter().map(insert).collect();

    // What a peer did may take a moment to cross the loopback interface.
    let wait = Some(Duration::from_millis(1));
    let end = Instant::now() + DEADLINE;
    while once(sources, wait) != expected {
        assert!(Instant::now() < end, "{:?}", once(sources, wait));
    }
    assert_eq!(once(sources, NO_WAIT), expected, "once more");
    for round in ["first", "again", "and again"] {
        assert_eq!(with(&mut selector, &ids, NO_WAIT), expected, "selector, {round}");
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (stream, _) = listener.accept().expect("accept");
    (peer, stream)
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe().expect("a pipe")
}

fn urgent(peer: &TcpStream, byte: u8) {
    rustix::net::send(peer, &[byte], SendFlags::OOB).expect("urgent byte");
}

/// A descriptor that counts as not open: what `O_PATH` opens can only be named.
fn not_open() -> OwnedFd {
    rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("open")
}

fn temporary_file() -> File {
    let name = format!("switchboard-select-{}-{:?}", std::process::id(), thread::current().id());
    let path = env::temp_dir().join(name);
    let file = File::create_new(&path).expect("create");
    fs::remove_file(&path).expect("unlink");
    file
}

/// The timeout of a wait for nothing.
fn pause(timeout: Option<Duration>) -> io::Result<Ready<BorrowedFd<'static>>> {
    select([], [], [], timeout)
}

/// The processor time that this thread has used.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.try_into().expect("not negative")
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").expect("proc");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.expect("in every kernel").trim().parse().expect("a number")
}

// ---- what the sets mean ---------------------------------------------------------------------------------------

#[test]
fn a_quiet_socket_is_writable_only() {
    let (_peer, stream) = tcp_pair();
    assert_ready(&[(stream.as_fd(), ALL)], &[W]);
}

#[test]
fn data_makes_a_socket_readable() {
    let (mut peer, stream) = tcp_pair();
    peer.write_all(b"x").expect("write");
    assert_ready(&[(stream.as_fd(), ALL)], &[R | W]);
}

#[test]
fn a_connection_to_accept_makes_a_listener_readable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    assert_ready(&[(listener.as_fd(), ALL)], &[NONE]);
    let _peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    assert_ready(&[(listener.as_fd(), ALL)], &[R]);
}

#[test]
fn the_end_of_the_stream_is_readable() {
    let (peer, stream) = tcp_pair();
    peer.shutdown(Shutdown::Write).expect("shutdown");
    assert_ready(&[(stream.as_fd(), ALL)], &[R | W]);
    assert_ready(&[(stream.as_fd(), W | X)], &[W]);
}

#[test]
fn a_reset_is_readable_and_writable_and_not_exceptional() {
    let (mut peer, mut stream) = tcp_pair();
    // Closing with unread data sends a reset.
    stream.write_all(b"x").expect("write");
    peer.peek(&mut [0]).expect("it has arrived");
    peer.write_all(b"y").expect("write");
    drop(peer);
    assert_ready(&[(stream.as_fd(), ALL)], &[R | W]);
    assert_ready(&[(stream.as_fd(), R)], &[R]);
    assert_ready(&[(stream.as_fd(), W)], &[W]);
    assert_eq!(stream.read(&mut [0]).ok(), Some(1));
    let error = stream.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_refused_connect_is_readable_and_writable() {
    // A port that was free a moment ago: the listener is gone before the connect.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("socket");
    let result = rustix::net::connect(&socket, &address);
    assert_eq!(result, Err(rustix::io::Errno::INPROGRESS));
    assert_ready(&[(socket.as_fd(), ALL)], &[R | W]);
    assert_ready(&[(socket.as_fd(), X)], &[NONE]);
}

#[test]
fn a_pipe_is_ready_at_the_end_that_can_move() {
    let (reader, writer) = pipe();
    assert_ready(&[(reader.as_fd(), R), (writer.as_fd(), W)], &[NONE, W]);
    rustix::io::write(&writer, b"x").expect("write");
    assert_ready(&[(reader.as_fd(), R), (writer.as_fd(), W)], &[R, W]);
}

#[test]
fn a_full_pipe_is_not_writable() {
    let (reader, writer) = pipe();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("size");
    rustix::io::write(&writer, &vec![0; size]).expect("write");
    assert_ready(&[(reader.as_fd(), R | X), (writer.as_fd(), W | X)], &[R, NONE]);
}

#[test]
fn a_hang_up_is_readable_and_nothing_else() {
    let (reader, writer) = pipe();
    drop(writer);
    assert_ready(&[(reader.as_fd(), R | X)], &[R]);
    assert_ready(&[(reader.as_fd(), X)], &[NONE]);
}

#[test]
fn a_hang_up_without_room_is_not_writable() {
    let (stream, peer) = UnixStream::pair().expect("pair");
    stream.set_nonblocking(true).expect("non-blocking");
    while (&stream).write(&[0; 4096]).is_ok() {}
    peer.shutdown(Shutdown::Both).expect("shutdown");
    assert_ready(&[(stream.as_fd(), ALL)], &[R]);
    let before = cpu_time();
    let timeout = Some(Duration::from_millis(100));
    assert_eq!(once(&[(stream.as_fd(), W | X)], timeout), [NONE]);
    assert!(cpu_time().saturating_sub(before) < Duration::from_millis(50), "it span");
    assert_ready(&[(stream.as_fd(), W)], &[NONE]);
}

#[test]
fn a_pipe_that_nobody_reads_is_writable_because_of_the_error() {
    let (reader, writer) = pipe();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("size");
    rustix::io::write(&writer, &vec![0; size]).expect("write");
    drop(reader);
    assert_ready(&[(writer.as_fd(), W | X)], &[W]);
    assert_ready(&[(writer.as_fd(), X)], &[NONE]);
    // Nothing can ever be read from it, but an attempt would not block.
    assert_ready(&[(writer.as_fd(), ALL)], &[R | W]);
}

#[test]
fn a_terminal_is_readable_when_a_line_is_complete() {
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let master = rustix::pty::openpt(flags).expect("a terminal");
    rustix::pty::unlockpt(&master).expect("unlock");
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("its other end");
    rustix::io::write(&master, b"typed").expect("write");
    assert_ready(&[(terminal.as_fd(), ALL)], &[W]);
    rustix::io::write(&master, b"\n").expect("write");
    assert_ready(&[(terminal.as_fd(), ALL)], &[R | W]);
    drop(terminal);
    assert_ready(&[(master.as_fd(), R | X)], &[R]); // it hung up
}

#[test]
fn regular_files_are_always_ready() {
    let file = temporary_file();
    let (_peer, stream) = tcp_pair();
    assert_ready(&[(file.as_fd(), ALL), (stream.as_fd(), ALL)], &[R | W, W]);
    assert_ready(&[(file.as_fd(), R), (stream.as_fd(), R)], &[R, NONE]);
    assert_ready(&[(file.as_fd(), X), (stream.as_fd(), R)], &[NONE, NONE]);
}

#[test]
fn whatever_has_nothing_to_wait_for_is_ready_like_a_file() {
    let null = File::open("/dev/null").expect("open");
    let directory = File::open("/").expect("open");
    assert_ready(&[(null.as_fd(), R), (directory.as_fd(), R)], &[R, R]);
}

#[test]
fn the_urgent_byte_alone_is_exceptional_and_not_readable() {
    let (peer, stream) = tcp_pair();
    urgent(&peer, b'!');
    assert_ready(&[(stream.as_fd(), ALL)], &[W | X]);
    assert_ready(&[(stream.as_fd(), R | X)], &[X]);
    assert_ready(&[(stream.as_fd(), R)], &[NONE]);
}

#[test]
fn data_and_the_urgent_byte_are_readable_and_exceptional() {
    let (mut peer, stream) = tcp_pair();
    peer.write_all(b"abc").expect("write");
    urgent(&peer, b'!');
    assert_ready(&[(stream.as_fd(), R | X)], &[R | X]);

    let mut byte = [0];
    rustix::net::recv(&stream, &mut byte, RecvFlags::OOB).expect("the urgent byte");
    assert_eq!(&byte, b"!");
    assert_ready(&[(stream.as_fd(), R | X)], &[R]);
}

#[test]
fn the_urgent_byte_and_the_end_are_readable_and_exceptional() {
    let (peer, stream) = tcp_pair();
    urgent(&peer, b'!');
    peer.shutdown(Shutdown::Write).expect("shutdown");
    assert_ready(&[(stream.as_fd(), R | X)], &[R | X]);
}

#[test]
fn a_duplicate_is_a_descriptor_of_its_own() {
    let (mut peer, stream) = tcp_pair();
    let duplicate = stream.try_clone().expect("dup");
    peer.write_all(b"x").expect("write");
    assert_ready(&[(stream.as_fd(), R), (duplicate.as_fd(), R | W)], &[R, R | W]);
}

// ---- one-shot -------------------------------------------------------------------------------------------------

#[test]
fn the_subsets_refer_to_what_was_given_in_the_order_given() {
    let pairs: Vec<_> = (0..4).map(|_| UnixStream::pair().expect("pair")).collect();
    (&pairs[1].0).write_all(b"x").expect("write");
    (&pairs[3].0).write_all(b"x").expect("write");
    let inputs: Vec<&UnixStream> = pairs.iter().rev().map(|pair| &pair.1).collect();

    let all = || inputs.iter().copied();
    let ready = select(all(), [], all(), None).expect("select");

    assert_eq!(ready.readable.len(), 2);
    assert!(std::ptr::eq(ready.readable[0], inputs[0]));
    assert!(std::ptr::eq(ready.readable[1], &raw const pairs[1].1));
    assert!(ready.writable.is_empty() && ready.exceptional.is_empty() && !ready.is_empty());
}

#[test]
fn one_given_twice_comes_back_twice() {
    let (peer, stream) = UnixStream::pair().expect("pair");
    (&peer).write_all(b"x").expect("write");
    let ready = select([&stream, &peer, &stream], [], [], None).expect("select");
    assert_eq!(ready.readable.len(), 2);
}

#[test]
fn counted_sockets_make_the_program_that_python_has() {
    let (peer, stream) = UnixStream::pair().expect("pair");
    let (peer, stream) = (Rc::new(peer), Rc::new(stream));
    let mut inputs = vec![Rc::clone(&peer), Rc::clone(&stream)];
    (&*peer).write_all(b"x").expect("write");

    let ready = select(&inputs, [], &inputs, None).expect("select").map(Rc::clone);
    for input in ready.readable {
        inputs.retain(|other| !Rc::ptr_eq(other, &input));
    }
    assert!(inputs.len() == 1 && Rc::ptr_eq(&inputs[0], &peer));
}

#[test]
fn nothing_to_wait_for_is_a_timer() {
    let begin = Instant::now();
    let ready = pause(Some(Duration::from_millis(20))).expect("select");
    assert!(ready.is_empty() && begin.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    let bad = not_open();
    let (peer, _stream) = UnixStream::pair().expect("pair");
    let message = format!("descriptor {} is not open", bad.as_raw_fd());
    let (good, bad) = (peer.as_fd(), bad.as_fd());

    for (readers, writers, exceptional) in [
        (vec![good, bad], vec![], vec![]),
        (vec![], vec![bad], vec![good]),
        (vec![good], vec![good], vec![bad]),
    ] {
        let error = select(readers, writers, exceptional, None).expect_err("bad descriptor");
        assert_eq!(error.to_string(), message);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<DescriptorError>());
        assert_eq!(inner.expect("inside").descriptor(), bad.as_raw_fd());
    }
}

#[test]
fn what_nobody_waits_for_neither_spins_nor_hides_what_comes_later() {
    let (gone, writer) = pipe();
    drop(writer);
    let (peer, stream) = tcp_pair();
    let before = cpu_time();

    let ready = select([], [], [gone.as_fd()], Some(Duration::from_millis(300))).expect("select");
    assert!(ready.is_empty());
    let helper = thread::spawn(move || {
        // Not a wait for anything: the later it comes, the more there would be to spin.
        pause(Some(Duration::from_millis(200))).expect("a pause");
        urgent(&peer, b'!');
        peer
    });
    let set = [gone.as_fd(), stream.as_fd()];
    let ready = select([], [], set, Some(DEADLINE)).expect("select");
    assert_eq!(ready.map(|fd| fd.as_raw_fd()).exceptional, [stream.as_raw_fd()]);

    assert!(cpu_time().saturating_sub(before) < Duration::from_millis(100), "it span");
    drop(helper.join());
}

// ---- time -----------------------------------------------------------------------------------------------------

#[test]
fn a_timeout_is_never_early() {
    let (_peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    selector.insert(&stream, R | X).expect("insert");
    for micros in [1, 900, 999, 1_000, 1_001, 1_999, 20_500] {
        let timeout = Duration::from_micros(micros);
        let begin = Instant::now();
        assert!(select([&stream], [], [], Some(timeout)).expect("select").is_empty());
        assert!(begin.elapsed() >= timeout);

        let begin = Instant::now();
        assert!(selector.select(Some(timeout)).expect("select").is_empty());
        assert!(begin.elapsed() >= timeout);
    }
}

#[test]
fn the_longest_timeout_is_one() {
    let (peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(&stream, R).expect("insert");
    let helper = thread::spawn(move || {
        pause(Some(Duration::from_millis(20))).expect("a pause");
        (&peer).write_all(b"x").expect("write");
        peer
    });
    for timeout in [Duration::MAX, Duration::from_secs(40 * 86_400)] {
        let ready = select([&stream], [], [], Some(timeout)).expect("select");
        assert_eq!(ready.readable.len(), 1);
        assert_eq!(selector.select(Some(timeout)).expect("select").readable, [id]);
    }
    drop(helper.join());
}

// ---- the selector ---------------------------------------------------------------------------------------------

#[test]
fn what_was_read_in_part_is_reported_again_until_it_is_read() {
    let (mut peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stream, R).expect("insert");
    peer.write_all(b"abc").expect("write");
    drop(peer);

    let mut received = Vec::new();
    loop {
        let ready = selector.select(Some(DEADLINE)).expect("select");
        assert_eq!(ready.readable, [id]);
        let mut byte = [0];
        let stream = selector.get(id).expect("it is there");
        match (&*stream).read(&mut byte).expect("read") {
            0 => break,
            _ => received.extend(byte),
        }
    }
    assert_eq!(received, b"abc");
}

#[test]
fn room_left_is_reported_again_until_it_is_used() {
    let (reader, writer) = pipe();
    rustix::io::ioctl_fionbio(&writer, true).expect("non-blocking");
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(&writer, W).expect("insert");
    let mut chunks = 0;
    while selector.select(NO_WAIT).expect("select").writable == [id] {
        chunks += 1;
        assert_eq!(rustix::io::write(&writer, &[0; 4096]), Ok(4096));
    }
    assert_eq!(chunks * 4096, rustix::pipe::fcntl_getpipe_size(&writer).expect("size"));
    rustix::io::read(&reader, &mut [0; 4096]).expect("read");
    assert_eq!(selector.select(Some(DEADLINE)).expect("select").writable, [id]);
}

#[test]
fn only_what_was_reported_is_rearmed() {
    let pairs: Vec<_> = (0..100).map(|_| UnixStream::pair().expect("pair")).collect();
    let mut selector = Selector::new().expect("a selector");
    let mut ids = Vec::new();
    for (_, stream) in &pairs {
        ids.push(selector.insert(stream, R).expect("insert"));
    }
    for ready in [3, 50, 99] {
        (&pairs[ready].0).write_all(b"x").expect("write");
    }
    let mut select = || {
        let mut readable = selector.select(NO_WAIT).expect("select").readable;
        readable.sort();
        (readable, selector.rearms())
    };
    assert_eq!(select(), (vec![ids[3], ids[50], ids[99]], 0));
    assert_eq!(select(), (vec![ids[3], ids[50], ids[99]], 3));
    (&pairs[3].1).read_exact(&mut [0]).expect("read");
    (&pairs[50].1).read_exact(&mut [0]).expect("read");
    assert_eq!(select(), (vec![ids[99]], 6));
    assert_eq!(select(), (vec![ids[99]], 7));
    (&pairs[99].1).read_exact(&mut [0]).expect("read");
    assert_eq!(select(), (vec![], 8));
    assert_eq!(select(), (vec![], 8));
}

#[test]
fn changing_what_was_just_reported_costs_nothing() {
    let (mut peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(&stream, R).expect("insert");
    peer.write_all(b"x").expect("write");
    for round in 0..10 {
        let ready = selector.select(Some(DEADLINE)).expect("select");
        assert!(!ready.is_empty());
        assert_eq!(selector.rearms(), round);
        assert_eq!(selector.set_interest(id, NONE), Some(if round % 2 == 0 { R } else { W }));
        assert_eq!(selector.set_interest(id, R | W), Some(NONE));
        assert_eq!(selector.set_interest(id, if round % 2 == 0 { W } else { R }), Some(R | W));
    }
}

#[test]
fn a_changed_interest_holds_from_the_next_call() {
    let (mut peer, stream) = tcp_pair();
    peer.write_all(b"x").expect("write");
    urgent(&peer, b'!');
    assert_ready(&[(stream.as_fd(), ALL)], &[ALL]); // all of it has arrived

    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stream.as_fd(), NONE).expect("insert");
    for interest in [NONE, R, W, X, R | W, NONE, R | X, W | X, NONE, ALL, NONE] {
        selector.set_interest(id, interest);
        assert_eq!(selector.interest(id), Some(interest));
        assert_eq!(with(&mut selector, &[id], NO_WAIT), [interest]);
        assert_eq!(with(&mut selector, &[id], NO_WAIT), [interest]);
    }
}

#[test]
fn in_no_set_not_even_an_error_is_reported() {
    let (reader, writer) = pipe();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(reader.as_fd(), R).expect("insert");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [NONE]);
    selector.set_interest(id, NONE);
    drop(writer);
    let before = cpu_time();
    assert_eq!(with(&mut selector, &[id], Some(Duration::from_millis(100))), [NONE]);
    assert!(cpu_time().saturating_sub(before) < Duration::from_millis(50), "it span");
    selector.set_interest(id, R);
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [R]);
}

#[test]
fn in_no_set_a_source_wakes_nobody() {
    let (mut peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stream.as_fd(), R).expect("insert");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [NONE]);
    selector.set_interest(id, NONE);
    let helper = thread::spawn(move || {
        for _ in 0..100 {
            peer.write_all(b"x").expect("write");
            pause(Some(Duration::from_millis(2))).expect("a pause");
        }
        peer
    });
    let before = sleeps();
    assert_eq!(with(&mut selector, &[id], Some(Duration::from_millis(150))), [NONE]);
    assert!(sleeps() - before < 10, "it woke for each byte");
    drop(helper.join());
}

#[test]
fn an_error_that_nobody_waits_for_does_not_make_the_selector_spin() {
    let (gone, writer) = pipe();
    drop(writer);
    let (peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let quiet = selector.insert(gone.as_fd(), X).expect("insert");
    let id = selector.insert(stream.as_fd(), X).expect("insert");
    let before = cpu_time();
    for _ in 0..3 {
        let readiness = with(&mut selector, &[quiet, id], Some(Duration::from_millis(100)));
        assert_eq!(readiness, [NONE, NONE]);
    }
    assert!(cpu_time().saturating_sub(before) < Duration::from_millis(100), "it span");
    urgent(&peer, b'!');
    assert_eq!(with(&mut selector, &[quiet, id], Some(DEADLINE)), [NONE, X]);
    selector.set_interest(quiet, R);
    assert_eq!(with(&mut selector, &[quiet, id], Some(DEADLINE)), [R, X]);
}

#[test]
fn an_urgent_byte_is_reported_until_it_is_read() {
    let (peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stream.as_fd(), R | X).expect("insert");
    urgent(&peer, b'1');
    for _ in 0..3 {
        assert_eq!(with(&mut selector, &[id], Some(DEADLINE)), [X]);
    }
    rustix::net::recv(&stream, &mut [0], RecvFlags::OOB).expect("the urgent byte");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [NONE]);
}

#[test]
fn a_source_that_was_reported_and_removed_is_forgotten() {
    let (mut peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stream, R).expect("insert");
    peer.write_all(b"x").expect("write");
    assert_eq!(selector.select(Some(DEADLINE)).expect("select").readable, [id]);

    let stream = selector.remove(id).expect("it was there");
    assert!(selector.remove(id).is_none() && selector.get(id).is_none());
    assert_eq!((selector.interest(id), selector.set_interest(id, W)), (None, None));
    assert!(selector.is_empty());
    // The duplicate keeps the file open, which is what would let a registration outlive its descriptor.
    let duplicate = stream.try_clone().expect("dup");
    assert!(selector.select(NO_WAIT).expect("select").is_empty());

    // The next to have its number is a stranger to the old id.
    let (_peer, stranger) = UnixStream::pair().expect("pair");
    let mut number = OwnedFd::from(stream);
    rustix::io::dup2(stranger, &mut number).expect("dup2");
    let next = selector.insert(TcpStream::from(number), R | W).expect("insert");
    assert_ne!(next, id);
    for _ in 0..2 {
        let ready = selector.select(NO_WAIT).expect("select");
        assert_eq!((ready.readable, ready.writable), (vec![], vec![next]));
    }
    assert!(selector.get(id).is_none());
    drop(duplicate);
}

#[test]
fn a_descriptor_inserted_twice_is_refused_and_given_back() {
    let (peer, stream) = UnixStream::pair().expect("pair");
    let file = temporary_file();
    let mut selector = Selector::new().expect("a selector");
    for (fd, interest) in [(stream.as_fd(), R), (peer.as_fd(), NONE), (file.as_fd(), R)] {
        let id = selector.insert(fd, interest).expect("insert");
        let refused = selector.insert(fd, W).expect_err("twice");
        let message = format!("descriptor {} is in the selector already", fd.as_raw_fd());
        assert_eq!(refused.to_string(), message);
        assert_eq!(refused.error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(refused.source.as_raw_fd(), fd.as_raw_fd());
        assert_eq!(selector.interest(id), Some(interest), "the first is as it was");
        selector.remove(id).expect("it is there");
        selector.insert(fd, interest).expect("removed, it may come again");
    }
    assert_eq!(selector.len(), 3);
}

#[test]
fn a_descriptor_that_is_not_open_is_refused_and_named() {
    let bad = not_open();
    let number = bad.as_raw_fd();
    let mut selector = Selector::new().expect("a selector");
    let refused = selector.insert(bad, R).expect_err("not open");
    assert_eq!(refused.to_string(), format!("descriptor {number} is not open"));
    assert_eq!(refused.source.as_raw_fd(), number);
    assert!(selector.is_empty());
    let error = io::Error::from(refused);
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_regular_file_in_a_selector_can_change_its_sets_and_leave() {
    let file = temporary_file();
    let (_peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(file.as_fd(), NONE).expect("insert");
    let other = selector.insert(stream.as_fd(), W).expect("insert");
    for interest in [NONE, R, R | W, W, X, NONE, R] {
        selector.set_interest(id, interest);
        assert_eq!(with(&mut selector, &[id, other], NO_WAIT), [interest - X, W]);
    }
    assert!(selector.remove(id).is_some());
    assert_eq!(with(&mut selector, &[id, other], NO_WAIT), [NONE, W]);
    assert_eq!(selector.iter().map(|(id, _)| id).collect::<Vec<_>>(), [other]);
}

/// Standard input is the one descriptor whose file can be exchanged without unsafe code.
#[test]
fn a_file_put_under_the_number_of_another_is_the_one_watched() {
    let stdin = io::stdin();
    let (first, first_writer) = pipe();
    rustix::stdio::dup2_stdin(&first).expect("dup2");
    drop(first);
    let mut selector = Selector::new().expect("a selector");
    let id = selector.insert(stdin.as_fd(), R).expect("insert");
    rustix::io::write(&first_writer, b"x").expect("write");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [R]);

    let (second, second_writer) = pipe();
    rustix::stdio::dup2_stdin(&second).expect("dup2");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [NONE], "nobody wrote to it");
    rustix::io::write(&second_writer, b"x").expect("write");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [R]);

    rustix::stdio::dup2_stdin(not_open()).expect("dup2");
    for _ in 0..2 {
        let error = selector.select(NO_WAIT).expect_err("not open");
        assert_eq!(error.to_string(), "descriptor 0 is not open");
    }
    selector.set_interest(id, NONE);
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [NONE], "in no set it need not be");
    selector.set_interest(id, R);
    let error = selector.select(NO_WAIT).expect_err("not open");
    assert_eq!(error.to_string(), "descriptor 0 is not open");
    rustix::stdio::dup2_stdin(temporary_file()).expect("dup2");
    assert_eq!(with(&mut selector, &[id], NO_WAIT), [R], "a regular file");
    selector.remove(id).expect("it is there");
    assert!(selector.select(NO_WAIT).expect("select").is_empty());
}

#[test]
fn a_selector_owns_what_it_is_given_and_lends_it() {
    let (peer, stream) = UnixStream::pair().expect("pair");
    let mut selector = Selector::new().expect("a selector");
    selector.insert(stream, R).expect("insert");
    drop(selector);
    assert_eq!((&peer).read(&mut [0]).expect("the end"), 0);
}

#[test]
fn debug_output_shows_descriptors_and_their_sets() {
    let (_peer, stream) = UnixStream::pair().expect("pair");
    let mut selector = Selector::new().expect("a selector");
    selector.insert(&stream, R | X).expect("insert");
    let output = format!("{selector:?}");
    let expected = format!("sources: {{{}: READABLE | EXCEPTIONAL}}", stream.as_raw_fd());
    assert!(output.contains(&expected), "{output}");
    assert_eq!(format!("{NONE:?}"), "NONE");
}

// ---- many descriptors, and signals ----------------------------------------------------------------------------

#[test]
fn there_is_no_limit_at_1024_descriptors() {
    const PIPES: usize = 1_500;
    let limit = getrlimit(Resource::Nofile);
    let needed = 2 * PIPES as u64 + 500;
    if limit.current.is_some_and(|current| current < needed) {
        // The other tests of this process do not mind a higher limit.
        let raised = rustix::process::Rlimit { current: Some(needed), ..limit };
        setrlimit(Resource::Nofile, raised).expect("this test needs 3,500 descriptors");
    }
    let pipes: Vec<_> = (0..PIPES).map(|_| pipe()).collect();
    let last = &pipes[PIPES - 1];
    assert!(last.0.as_raw_fd() > 1_024);
    rustix::io::write(&last.1, b"x").expect("write");

    let readers: Vec<&OwnedFd> = pipes.iter().map(|pipe| &pipe.0).collect();
    let writers: Vec<&OwnedFd> = pipes.iter().map(|pipe| &pipe.1).collect();
    let ready = select(readers.clone(), writers, readers, None).expect("select");
    let ready = ready.map(AsRawFd::as_raw_fd);
    assert_eq!(ready.readable, [last.0.as_raw_fd()]);
    assert_eq!(ready.writable.len(), PIPES);

    let mut selector = Selector::new().expect("a selector");
    for pipe in &pipes {
        selector.insert(&pipe.0, R | X).expect("insert");
        selector.insert(&pipe.1, W).expect("insert");
    }
    for _ in 0..2 {
        let ready = selector.select(None).expect("select");
        assert_eq!(ready.writable.len(), PIPES, "each set comes back whole");
        assert_eq!(ready.readable.len(), 1);
        assert!(ready.exceptional.is_empty());
    }
}

/// Runs one test of this file alone in a process of its own, and hands the thread it runs in to `meanwhile`.
///
/// Answers `InChild::Yes` in that process, which is where the test then does its work after [`child_is_ready`].
fn in_a_child(test: &str, meanwhile: impl FnOnce(Pid)) -> InChild {
    if env::var_os("SWITCHBOARD_SELECT_CHILD").is_some() {
        return InChild::Yes;
    }
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env("SWITCHBOARD_SELECT_CHILD", "")
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = String::new();
    let thread = loop {
        let begin = said.len();
        assert_ne!(output.read_line(&mut said).expect("UTF-8"), 0, "{said}");
        if let Some((_, thread)) = said[begin..].trim_end().split_once("ready in thread ") {
            break thread.parse().expect("a number");
        }
    };
    meanwhile(Pid::from_raw(thread).expect("not zero"));
    output.read_to_string(&mut said).expect("UTF-8");
    assert!(child.wait().expect("wait").success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    InChild::No
}

#[derive(PartialEq)]
enum InChild {
    Yes,
    No,
}

fn child_is_ready() {
    let thread = fs::read_link("/proc/thread-self").expect("proc");
    let thread = thread.file_name().and_then(|name| name.to_str());
    println!("ready in thread {}", thread.expect("a number"));
}

#[test]
fn a_signal_does_not_end_a_wait_nor_prolong_it() {
    let signals = |thread| {
        for _ in 0..100 {
            // Named by a thread, a process handles the signal in that thread if it can.
            if kill_process(thread, Signal::TERM).is_err() {
                break; // the thread is gone, for its test is over
            }
            pause(Some(Duration::from_millis(20))).expect("a pause");
        }
    };
    if in_a_child("a_signal_does_not_end_a_wait_nor_prolong_it", signals) == InChild::No {
        return;
    }
    let (_peer, stream) = tcp_pair();
    let mut selector = Selector::new().expect("a selector");
    selector.insert(&stream, R).expect("insert");
    let came = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, came).expect("a handler");
    child_is_ready();
    let timeout = Duration::from_millis(190);
    for form in ["select", "selector"] {
        let begin = Instant::now();
        let is_empty = match form {
            "select" => select([&stream], [], [], Some(timeout)).expect("select").is_empty(),
            _ => selector.select(Some(timeout)).expect("select").is_empty(),
        };
        let elapsed = begin.elapsed();
        assert!(is_empty && elapsed >= timeout && elapsed < 5 * timeout, "{form}: {elapsed:?}");
    }
}

#[test]
fn one_descriptor_in_three_sets_counts_once_against_the_descriptor_limit() {
    let test = "one_descriptor_in_three_sets_counts_once_against_the_descriptor_limit";
    if in_a_child(test, |_| {}) == InChild::No {
        return;
    }
    child_is_ready();
    let limit = getrlimit(Resource::Nofile);
    let low = rustix::process::Rlimit { current: Some(64), ..limit };
    setrlimit(Resource::Nofile, low).expect("a low limit");
    let pairs: Vec<_> = (0..20).map(|_| UnixStream::pair().expect("pair")).collect();
    let all: Vec<&UnixStream> = pairs.iter().flat_map(|(one, two)| [one, two]).collect();
    let ready = select(all.clone(), all.clone(), all, None).expect("select");
    assert_eq!(ready.writable.len(), 40);
}
