//! The example `select_echo` as a process, with blocking clients of the standard library.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Running, example};
use rustix::net::SendFlags;

const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    running: Running,
    address: std::net::SocketAddr,
}

fn server() -> Server {
    let mut command = Command::new(example("select_echo"));
    start(command.args(["--listen", "127.0.0.1:0"]))
}

fn start(command: &mut Command) -> Server {
    let mut running = Running::start(command);
    let address = running.address();
    let how = format!("try: nc {} {}", address.ip(), address.port());
    assert_eq!(running.line(), how);
    Server { running, address }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("connect");
        client.set_read_timeout(Some(DEADLINE)).expect("timeout");
        client.set_write_timeout(Some(DEADLINE)).expect("timeout");
        client
    }

    /// Ends it, compares the last line it prints, and answers how many turns that says it took.
    #[track_caller]
    fn ends_with(self, clients: usize, bytes: usize) -> usize {
        let (code, line) = self.running.terminate();
        assert_eq!(code, Some(0));
        let expected = format!("served {clients} clients, echoed {bytes} bytes in ");
        let turns = line.strip_prefix(&expected).and_then(|rest| rest.strip_suffix(" turns\n"));
        let turns = turns.unwrap_or_else(|| panic!("expected {expected:?}, got {line:?}"));
        turns.parse().expect("a number")
    }

    /// The processor time it has used, in ticks of which there are a hundred in a second.
    fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.running.pid().as_raw_nonzero());
        let stat = fs::read_to_string(path).expect("stat");
        let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
        // utime and stime, the fields 14 and 15 of which the name is the second.
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |field: &str| field.parse::<u64>().expect("a number");
        ticks(fields[11]) + ticks(fields[12])
    }
}

#[track_caller]
fn assert_echo(mut client: &TcpStream, message: &[u8]) {
    client.write_all(message).expect("write");
    let mut echo = vec![0; message.len()];
    client.read_exact(&mut echo).expect("read");
    assert_eq!(echo, message);
}

/// Bytes that are different everywhere, so that nothing can be lost or swapped unseen.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

#[test]
fn several_clients_are_served_at_once() {
    let server = server();
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for round in 0..5 {
        for (number, client) in clients.iter().enumerate() {
            assert_echo(client, format!("round {round} of {number}\n").as_bytes());
        }
    }
    for client in &clients {
        client.shutdown(Shutdown::Write).expect("shutdown");
    }
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    }
    let bytes: usize = (0..20).map(|number| 5 * format!("round 0 of {number}\n").len()).sum();
    server.ends_with(20, bytes);
}

#[test]
fn what_is_queued_when_a_client_ends_its_side_comes_back_whole() {
    const LEN: usize = 8 * 1024 * 1024;
    let server = server();
    let other = server.connect();
    let mut client = server.connect();
    let bytes = pattern(LEN, 1);
    let mut writer = client.try_clone().expect("clone");
    let sent = bytes.clone();
    let writer = thread::spawn(move || {
        writer.write_all(&sent).expect("write");
        writer.shutdown(Shutdown::Write).expect("shutdown");
    });
    // Nothing is read before the first bytes are stuck on their way, and another is served meanwhile.
    assert_echo(&other, b"still here");
    let mut echo = Vec::new();
    client.read_to_end(&mut echo).expect("read");
    writer.join().expect("the writer");
    assert!(echo == bytes, "{} of {LEN} bytes", echo.len());
    server.ends_with(2, LEN + 10);
}

#[test]
fn a_client_that_does_not_read_stops_being_read() {
    let server = server();
    let client = server.connect();
    client.set_nonblocking(true).expect("non-blocking");
    let chunk = vec![7; 64 * 1024];
    let mut sent = 0;
    // Everything between us has a limit, so that writing comes to an end. `quiet` is how many times in a row another
    // client was served while nothing more could be sent.
    let other = server.connect();
    let (mut quiet, mut rounds) = (0, 0);
    while quiet < 50 {
        match (&client).write(&chunk) {
            Ok(len) => (sent, quiet) = (sent + len, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                quiet += 1;
            }
        }
        assert!(sent < 256 * 1024 * 1024, "it reads without limit");
        assert_echo(&other, b"ping");
        rounds += 1;
    }
    let status = format!("/proc/{}/status", server.running.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).expect("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|size| size.trim().strip_suffix(" kB"));
    let resident: usize = resident.expect("VmRSS").trim().parse().expect("a number");
    assert!(resident < 16 * 1024, "{resident} KiB for a queue of 80 KiB");

    client.set_nonblocking(false).expect("blocking");
    client.shutdown(Shutdown::Write).expect("shutdown");
    let mut echo = Vec::new();
    (&client).read_to_end(&mut echo).expect("read");
    assert_eq!(echo.len(), sent);
    server.ends_with(2, sent + 4 * rounds);
}

#[test]
fn a_reset_of_one_client_does_not_harm_another() {
    let server = server();
    let client = server.connect();
    for _ in 0..20 {
        let broken = server.connect();
        (&broken).write_all(&vec![1; 100_000]).expect("write");
        broken.peek(&mut [0]).expect("the first bytes are back");
        drop(broken); // with unread data: a reset
        assert_echo(&client, b"alive");
    }
    drop(server);
}

#[test]
fn a_reset_while_accepted_does_not_harm_another() {
    let server = server();
    for _ in 0..50 {
        let gone = socket2::Socket::from(server.connect());
        gone.set_linger(Some(Duration::ZERO)).expect("linger");
        drop(gone);
    }
    assert_echo(&server.connect(), b"alive");
}

#[test]
fn an_urgent_byte_neither_spins_nor_closes() {
    let server = server();
    let client = server.connect();
    assert_echo(&client, b"before");
    for _ in 0..3 {
        rustix::net::send(&client, b"!", SendFlags::OOB).expect("urgent byte");
        assert_echo(&client, b"abc");
    }
    // Nothing that is read after this one takes it away.
    rustix::net::send(&client, b"!", SendFlags::OOB).expect("urgent byte");
    assert_idle(&server);
    server.ends_with(1, 15);
}

#[test]
fn nothing_to_do_costs_nothing() {
    let server = server();
    let clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &clients {
        assert_echo(client, b"x");
    }
    assert_idle(&server);
    server.ends_with(10, 10);
}

/// Asserts that it uses less than a fifth of the processor while nobody asks for anything.
#[track_caller]
fn assert_idle(server: &Server) {
    let before = server.cpu_ticks();
    let nobody = [] as [std::os::fd::BorrowedFd<'_>; 0];
    let pause = Some(Duration::from_millis(500));
    switchboard::select::select(nobody, nobody, nobody, pause).expect("a pause");
    assert!(server.cpu_ticks() - before < 10, "it turns for nothing");
}

#[test]
fn without_descriptors_it_waits_until_a_client_leaves() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 16; exec \"$0\" --listen 127.0.0.1:0"])
        .arg(example("select_echo"))
        .stderr(Stdio::null());
    let server = start(&mut command);
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &clients {
        (&*client).write_all(b"x").expect("write");
    }
    // Those who come first are served first, the last when enough of them have left: at once, for it would take
    // more than two of the pauses of a second to get through them otherwise.
    let first = clients.remove(0);
    (&first).read_exact(&mut [0]).expect("read");
    let last = clients.pop().expect("there are more");
    assert_idle(&server);

    let begin = Instant::now();
    for mut client in clients {
        client.read_exact(&mut [0]).expect("read");
    }
    (&last).read_exact(&mut [0]).expect("read");
    assert!(begin.elapsed() < Duration::from_millis(1_500), "it slept through clients leaving");
    assert_echo(&first, b"still here");
    server.ends_with(30, 40);
}

#[test]
fn a_reply_takes_a_turn_to_read_and_a_turn_to_write() {
    let server = server();
    let client = server.connect();
    for _ in 0..100 {
        assert_echo(&client, b"ping");
    }
    // One more to accept and one for the signal.
    assert_eq!(server.ends_with(1, 400), 2 * 100 + 2);
}

#[test]
fn sigterm_ends_it_with_what_was_served() {
    let server = server();
    let client = server.connect();
    assert_echo(&client, b"hello");
    server.ends_with(1, 5);
}
