//! Every server that is in this build, as a process: it serves what its protocol says, whatever its clients do.
//!
//! The clients are blocking sockets of the standard library. A server that is not in this build, for want of a
//! compiler or a library, is left out.

mod server;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use server::{
    Listed, Server, command, echo, expect, expect_end, listed, reset, write_rest_and_read, write_until_stuck,
};

/// More than the kernel keeps for one connection, in both directions.
const MUCH: usize = 16 * 1024 * 1024;

/// Runs `test` with each echo server that is in this build.
fn with_each_echo(test: impl Fn(&Server) -> io::Result<()>) {
    with_each(|protocol| protocol != "broadcast", test);
}

/// Runs `test` with each broadcast server that is in this build.
fn with_each_broadcast(test: impl Fn(&Server) -> io::Result<()>) {
    with_each(|protocol| protocol == "broadcast", test);
}

fn with_each(is_wanted: impl Fn(&str) -> bool, test: impl Fn(&Server) -> io::Result<()>) {
    let servers = listed().expect("the program runs");
    for server in servers.iter().filter(|server| server.is_available && is_wanted(&server.protocol)) {
        let result = Server::start(server, &[]).and_then(|server| test(&server));
        if let Err(error) = result {
            panic!("{}: {error}", server.name);
        }
    }
}

#[test]
fn one_message_after_the_other_comes_back() {
    with_each_echo(|server| {
        let mut stream = server.connect()?;
        for number in 0..20 {
            echo(&mut stream, &server.message(number, 64))?;
        }
        for len in [1, 1000, 8000] {
            echo(&mut stream, &server.message(7, len))?;
        }
        Ok(())
    });
}

#[test]
fn pipelined_messages_come_back_in_order() {
    with_each_echo(|server| {
        let mut stream = server.connect()?;
        for _ in 0..3 {
            echo(&mut stream, &server.messages(1000, 16))?;
        }
        Ok(())
    });
}

#[test]
fn a_message_in_pieces_comes_back_whole() {
    with_each_echo(|server| {
        let mut stream = server.connect()?;
        let mut other = server.connect()?;
        let message = server.message(5, 20);
        for byte in &message {
            stream.write_all(&[*byte])?;
            // By the time that this one is answered, the server has seen the byte.
            echo(&mut other, &message)?;
        }
        expect(&mut stream, &message)
    });
}

#[test]
fn a_client_that_writes_much_before_it_reads_gets_all_of_it() {
    with_each_echo(|server| {
        let mut stream = server.connect_narrow()?;
        let bytes = server.messages(MUCH / 1024, 1024);
        let written = write_until_stuck(&stream, &bytes)?;
        write_rest_and_read(&mut stream, &bytes, written)
    });
}

#[test]
fn a_client_that_ends_its_side_gets_the_rest_and_then_the_end() {
    with_each_echo(|server| {
        // It may end a connection before it has sent the rest, as its own polling has it: nothing of ours.
        if server.name() == "message-io" {
            return Ok(());
        }
        // The kernel keeps that much, so that the end is on its way before anything was read.
        let mut stream = server.connect_narrow()?;
        let bytes = server.messages(256, 1024);
        stream.write_all(&bytes)?;
        stream.shutdown(Shutdown::Write)?;
        expect(&mut stream, &bytes)?;
        expect_end(&mut stream)?;

        // It says nothing at all.
        let mut silent = server.connect()?;
        silent.shutdown(Shutdown::Write)?;
        expect_end(&mut silent)
    });
}

#[test]
fn a_client_that_breaks_off_takes_no_other_with_it() {
    with_each_echo(|server| {
        let mut other = server.connect()?;
        echo(&mut other, &server.message(1, 10))?;

        // Idle, in the middle of a message, with an answer that nobody read, and with more than fits.
        let mut idle = server.connect()?;
        echo(&mut idle, &server.message(2, 10))?;
        reset(&idle)?;
        drop(idle);
        let mut partial = server.connect()?;
        partial.write_all(&server.message(3, 10)[..5])?;
        reset(&partial)?;
        drop(partial);
        let mut unread = server.connect()?;
        unread.write_all(&server.message(4, 10))?;
        reset(&unread)?;
        drop(unread);
        let stuck = server.connect_narrow()?;
        write_until_stuck(&stuck, &server.messages(MUCH / 1024, 1024))?;
        reset(&stuck)?;
        drop(stuck);

        echo(&mut other, &server.message(5, 10))?;
        echo(&mut server.connect()?, &server.message(6, 10))
    });
}

#[test]
fn many_clients_are_served_at_once() {
    with_each_echo(|server| {
        let streams: io::Result<Vec<_>> = (0..50).map(|_| server.connect()).collect();
        let mut streams = streams?;
        for round in 0..5 {
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&server.message(number * 10 + round, 100))?;
            }
            for (number, stream) in streams.iter_mut().enumerate().rev() {
                expect(stream, &server.message(number * 10 + round, 100))?;
            }
        }
        Ok(())
    });
}

/// Connects, and waits until the server has heard of it: from then on it gets every line.
fn listen(server: &Server, greeting: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = server.connect()?;
    stream.write_all(greeting.as_bytes())?;
    let mut listener = BufReader::new(stream);
    hear(&mut listener, greeting)?;
    Ok(listener)
}

/// Reads the next line, which is to be this one.
fn hear(listener: &mut BufReader<TcpStream>, expected: &str) -> io::Result<()> {
    let mut line = String::new();
    listener.read_line(&mut line)?;
    if line != expected {
        return Err(io::Error::other(format!("{line:?} came, and not {expected:?}")));
    }
    Ok(())
}

#[test]
fn every_line_goes_to_every_connection() {
    with_each_broadcast(|server| {
        let mut first = listen(server, "first\n")?;
        let mut second = listen(server, "second\n")?;
        let mut third = listen(server, "third\n")?;
        hear(&mut first, "second\n")?;
        hear(&mut first, "third\n")?;
        hear(&mut second, "third\n")?;

        // One after the other, several at once, and one in pieces.
        for number in 0..20 {
            let line = format!("line {number}\n");
            first.get_mut().write_all(line.as_bytes())?;
            for listener in [&mut first, &mut second, &mut third] {
                hear(listener, &line)?;
            }
        }
        let lines: Vec<_> = (0..200).map(|number| format!("line {number}\n")).collect();
        second.get_mut().write_all(lines.concat().as_bytes())?;
        for listener in [&mut first, &mut second, &mut third] {
            for line in &lines {
                hear(listener, line)?;
            }
        }
        third.get_mut().write_all(b"begin")?;
        first.get_mut().write_all(b"between\n")?;
        for listener in [&mut first, &mut second, &mut third] {
            hear(listener, "between\n")?;
        }
        third.get_mut().write_all(b"ning\n")?;
        for listener in [&mut first, &mut second, &mut third] {
            hear(listener, "beginning\n")?;
        }
        Ok(())
    });
}

#[test]
fn who_leaves_a_broadcast_is_told_the_rest_and_missed_by_nobody() {
    with_each_broadcast(|server| {
        let mut first = listen(server, "first\n")?;
        let mut second = listen(server, "second\n")?;
        let third = listen(server, "third\n")?;
        hear(&mut first, "second\n")?;
        hear(&mut first, "third\n")?;
        hear(&mut second, "third\n")?;

        second.get_mut().write_all(b"good bye\n")?;
        second.get_mut().shutdown(Shutdown::Write)?;
        hear(&mut second, "good bye\n")?;
        expect_end(second.get_mut())?;
        hear(&mut first, "good bye\n")?;

        reset(third.get_ref())?;
        drop(third);
        for _ in 0..20 {
            first.get_mut().write_all(b"anyone there?\n")?;
            hear(&mut first, "anyone there?\n")?;
        }
        drop(listen(server, "fourth\n")?);
        hear(&mut first, "fourth\n")
    });
}

#[test]
fn a_listener_that_does_not_read_holds_up_no_other() {
    with_each_broadcast(|server| {
        let mut first = listen(server, "first\n")?;
        let slow = server.connect_narrow()?;
        // More than the kernel keeps for the slow one, and than a server may keep.
        let line = format!("{}\n", "x".repeat(8000));
        for _ in 0..2 * MUCH / line.len() {
            first.get_mut().write_all(line.as_bytes())?;
            hear(&mut first, &line)?;
        }
        drop(slow);
        Ok(())
    });
}

#[test]
fn silent_connections_end_where_there_is_an_idle_timeout() {
    const HAVE_ONE: [&str; 13] = [
        "calloop",
        "libuv",
        "smol",
        "switchboard",
        "switchboard-broadcast",
        "switchboard-length",
        "switchboard-lines",
        "threads",
        "tokio",
        "tokio-length",
        "tokio-length-batched",
        "tokio-lines",
        "tokio-lines-batched",
    ];
    let servers = listed().expect("the program runs");
    thread::scope(|scope| {
        for server in servers.iter().filter(|server| server.is_available) {
            scope.spawn(move || {
                let has_one = HAVE_ONE.contains(&server.name.as_str());
                let result =
                    if has_one { ends_silent_ones(server) } else { refuses(server, "--idle-timeout") };
                if let Err(error) = result {
                    panic!("{}: {error}", server.name);
                }
            });
        }
    });
}

/// With a timeout of a second: not who is busy for longer than that, and then who is silent.
fn ends_silent_ones(server: &Listed) -> io::Result<()> {
    let server = Server::start(server, &["--idle-timeout", "1"])?;
    let mut stream = server.connect()?;
    let message = server.message(1, 10);
    let started = Instant::now();
    let mut active_at = started;
    while started.elapsed() < Duration::from_millis(1500) {
        active_at = Instant::now();
        let result = echo(&mut stream, &message);
        if active_at.elapsed() > Duration::from_millis(900) {
            // One of the two had no processor for so long that neither can be blamed.
            return Ok(());
        }
        result?;
    }
    expect_end(&mut stream)?;
    // Timers have their resolution, and some count from when they looked at the clock.
    if active_at.elapsed() < Duration::from_millis(950) {
        return Err(io::Error::other(format!("it ended after {:?}", active_at.elapsed())));
    }
    Ok(())
}

/// It says in one line that it has no such option, and ends.
fn refuses(server: &Listed, option: &str) -> io::Result<()> {
    let Output { status, stdout, stderr } = command(server, &[option, "1"]).output()?;
    let stderr = String::from_utf8_lossy(&stderr);
    let says_so = stderr.contains(&format!("has no {option}")) && stderr.lines().count() == 1;
    if status.success() || !stdout.is_empty() || !says_so {
        return Err(io::Error::other(format!("{status}: {stderr}")));
    }
    Ok(())
}

#[test]
fn a_buffer_of_another_size_serves_as_well() {
    let servers = listed().expect("the program runs");
    for server in servers.iter().filter(|server| server.is_available && server.protocol == "raw") {
        let result = if server.name == "message-io" {
            refuses(server, "--buffer")
        } else {
            Server::start(server, &["--buffer", "1000"]).and_then(|server| {
                let mut stream = server.connect()?;
                let bytes = server.messages(100, 1024);
                let written = write_until_stuck(&stream, &bytes)?;
                write_rest_and_read(&mut stream, &bytes, written)
            })
        };
        if let Err(error) = result {
            panic!("{}: {error}", server.name);
        }
    }
}
