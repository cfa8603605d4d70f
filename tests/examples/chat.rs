//! The example `chat` as a process, with people who behave and people who do not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::PATIENCE;
use crate::server::{Server, read_to_any_end, reset};

/// Someone at the other end.
struct Person {
    stream: BufReader<TcpStream>,
}

impl Person {
    /// Connects and reads the question for the nickname.
    fn connect(server: &Server) -> Person {
        let mut person = Person { stream: BufReader::new(server.connect()) };
        assert_eq!(person.hear(), "* welcome! your nickname?");
        person
    }

    /// Comes in as `nick`, and answers with who is there by then.
    #[track_caller]
    fn arrive(server: &Server, nick: &str) -> (Person, String) {
        let mut person = Person::connect(server);
        person.say(nick);
        let hello = person.hear();
        assert!(hello.starts_with(&format!("* hello {nick}! /nick NAME")), "{hello}");
        let here = person.hear();
        (person, here)
    }

    fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("written");
    }

    /// The next line, as it came but for its ending.
    #[track_caller]
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("UTF-8");
        assert!(line.ends_with('\n'), "the end, after {line:?}");
        line.pop();
        line
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) {
        assert_eq!(self.hear(), expected);
    }

    /// Asks for something and reads the one line that answers it.
    #[track_caller]
    fn ask(&mut self, question: &str) -> String {
        self.say(question);
        self.hear()
    }

    #[track_caller]
    fn hears_the_end(&mut self) {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).expect("an orderly end");
        assert_eq!(rest, "");
    }
}

#[test]
fn people_meet_talk_and_leave() {
    let server = Server::start("chat");
    let (mut alice, here) = Person::arrive(&server, "alice");
    assert_eq!(here, "* in lobby: alice; rooms: lobby (1)");
    let (mut bob, here) = Person::arrive(&server, "bob");
    assert_eq!(here, "* in lobby: alice, bob; rooms: lobby (2)");
    alice.hears("* bob came in");

    bob.say("hello, everyone");
    alice.hears("bob: hello, everyone");
    alice.say("  grüße \u{1f980}\r");
    bob.hears("alice:   grüße \u{1f980}");
    // Nothing is said.
    bob.say("");
    bob.say("   ");

    assert_eq!(bob.ask("/nick Robert"), "* you are robert");
    alice.hears("* bob is now robert");
    assert_eq!(bob.ask("/quit"), "* good bye");
    bob.hears_the_end();
    drop(bob);
    alice.hears("* robert left");

    // Half-close: what was said before is heard.
    let (mut carol, _) = Person::arrive(&server, "carol");
    alice.hears("* carol came in");
    carol.say("and gone");
    carol.stream.get_ref().shutdown(Shutdown::Write).expect("our side ends");
    carol.hears_the_end();
    alice.hears("carol: and gone");
    alice.hears("* carol left");

    let (dave, _) = Person::arrive(&server, "dave");
    alice.hears("* dave came in");
    reset(dave.stream.into_inner());
    alice.hears("* dave left: reset by the peer");

    // The names of those who left are free again.
    assert_eq!(alice.ask("/nick bob"), "* you are bob");
    drop(alice);
    server.ends_at(Signal::TERM, "served 4 people, 3 lines");
}

#[test]
fn a_nickname_is_somebodys_alone() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let mut other = Person::connect(&server);
    assert_eq!(other.ask("alice"), "* alice is taken");
    assert_eq!(other.ask("ALICE"), "* alice is taken");
    assert_eq!(other.ask("/nick Alice"), "* alice is taken");
    let bad = "* a name has 1 to 16 letters a-z, digits, - or _";
    for name in ["", "/who", "*", "аlice", "al\u{1b}ice", "seventeen-letters", "a:b", "\u{202e}ecila"] {
        assert_eq!(other.ask(name), bad, "{name:?}");
    }
    assert!(other.ask("/help").starts_with("* /nick NAME, /join ROOM"));
    other.send(b"\xff\xfe\n");
    other.hears(bad);
    assert!(other.ask("sixteen-letters_").starts_with("* hello sixteen-letters_! "));
    alice.hears("* sixteen-letters_ came in");
    // Also in another room, and also one's own.
    other.hears("* in lobby: alice, sixteen-letters_; rooms: lobby (2)");
    assert_eq!(other.ask("/join cellar"), "* in cellar: sixteen-letters_; rooms: cellar (1), lobby (1)");
    assert_eq!(other.ask("/nick alice"), "* alice is taken");
    assert_eq!(other.ask("/nick sixteen-letters_"), "* sixteen-letters_ is taken");
    assert_eq!(other.ask("/nick"), bad);
    assert_eq!(other.ask("/quit"), "* good bye");
    let mut nobody = Person::connect(&server);
    assert_eq!(nobody.ask("/quit"), "* good bye");
    nobody.hears_the_end();
}

#[test]
fn a_room_hears_its_own_only() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let (mut bob, _) = Person::arrive(&server, "bob");
    alice.hears("* bob came in");
    assert_eq!(bob.ask("/join Cellar"), "* in cellar: bob; rooms: cellar (1), lobby (1)");
    alice.hears("* bob went to cellar");
    assert_eq!(bob.ask("/join cellar"), "* you are in cellar already");
    bob.say("anybody here?");
    alice.say("only me");
    assert_eq!(alice.ask("/join cellar"), "* in cellar: alice, bob; rooms: cellar (2)");
    bob.hears("* alice came in");
    alice.say("now you hear me");
    bob.hears("alice: now you hear me");
    assert_eq!(alice.ask("/who"), "* in cellar: alice, bob; rooms: cellar (2)");
    assert!(alice.ask("/join").starts_with("* a name has"));
    assert!(alice.ask("/join a room").starts_with("* a name has"));
    // The lobby is there for those who come, also when it was empty.
    let (_carol, here) = Person::arrive(&server, "carol");
    assert_eq!(here, "* in lobby: carol; rooms: cellar (2), lobby (1)");
}

#[test]
fn there_are_so_many_rooms_and_no_more() {
    let server = Server::start("chat");
    // The lobby is one of them while someone is in it.
    let people: Vec<Person> = (0..99)
        .map(|number| {
            let (mut person, _) = Person::arrive(&server, &format!("p{number}"));
            let answer = person.ask(&format!("/join r{number}"));
            assert!(answer.starts_with(&format!("* in r{number}: p{number};")), "{answer}");
            person
        })
        .collect();
    let (mut late, _) = Person::arrive(&server, "late");
    assert_eq!(late.ask("/join another"), "* there are 100 rooms, and no more");
    assert!(late.ask("/join r7").starts_with("* in r7: late, p7; rooms: r0 (1), "));
    assert!(late.ask("/join another").starts_with("* in another: late; rooms: another (1), r0 (1), "));
    assert_eq!(late.ask("/join one-more"), "* there are 100 rooms, and no more");
    // Into the lobby there is always a way.
    assert!(late.ask("/join lobby").starts_with("* in lobby: late; rooms: lobby (1), r0 (1), "));
    drop(people);
}

// N6: what one sends to be written to the terminals of others.
#[test]
fn n6_control_characters_are_shown_and_do_nothing() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let (mut mallory, _) = Person::arrive(&server, "mallory");
    alice.hears("* mallory came in");
    for (sent, heard) in [
        (&b"\x1b[2J\x1b]0;title\x07"[..], r"\u{1b}[2J\u{1b}]0;title\u{7}"),
        (b"nul \0 backspace \x08 delete \x7f", r"nul \u{0} backspace \u{8} delete \u{7f}"),
        // A return in the middle would write over the name in front.
        (b"x\rbob: I owe you", r"x\u{d}bob: I owe you"),
        (b"x\x0bvertical\x0cform", r"x\u{b}vertical\u{c}form"),
        (b"tab\tis a space", "tab is a space"),
        // C1: CSI in one character, and the same in one byte, which is no UTF-8.
        (b"\xc2\x9b31m \x9b31m", "\\u{9b}31m \u{fffd}31m"),
        (b"\xff bad \xe2\x82 cut", "\u{fffd} bad \u{fffd} cut"),
        // What people write stays as it is.
        ("\u{645}\u{631}\u{62d}\u{628}\u{627} e\u{301} \u{1f469}\u{200d}\u{1f680}".as_bytes(), {
            "\u{645}\u{631}\u{62d}\u{628}\u{627} e\u{301} \u{1f469}\u{200d}\u{1f680}"
        }),
    ] {
        mallory.send(sent);
        mallory.send(b"\n");
        alice.hears(&format!("mallory: {heard}"));
    }
    // What turns the direction of writing, or ends a line in the eyes of some.
    for turning in "\u{61c}\u{85}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                    \u{2066}\u{2067}\u{2068}\u{2069}"
        .chars()
    {
        mallory.say(&format!("abc{turning}def"));
        alice.hears(&format!("mallory: abc{}def", turning.escape_unicode()));
    }
    // Nor do they come back to who sent them.
    let answer = mallory.ask("/\x1b[2J");
    assert!(answer.starts_with(r"* there is no /\u{1b}[2J, only /nick NAME"), "{answer}");
}

#[test]
fn unknown_commands_are_answered_with_those_there_are() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let commands = "/nick NAME, /join ROOM, /who, /quit, /help; anything else is said to your room";
    assert_eq!(alice.ask("/msg bob psst"), format!("* there is no /msg, only {commands}"));
    assert_eq!(alice.ask("/help"), format!("* {commands}"));
    assert_eq!(alice.ask("/help me"), format!("* {commands}"));
}

#[test]
fn a_long_line_is_not_said_and_an_endless_one_ends_the_connection() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let (mut bob, _) = Person::arrive(&server, "bob");
    alice.hears("* bob came in");
    let longest = "x".repeat(1000);
    bob.say(&longest);
    alice.hears(&format!("bob: {longest}"));
    assert_eq!(bob.ask(&"x".repeat(1001)), "* 1001 bytes are not said, the limit is 1000");
    bob.send(&[b'x'; 9000]);
    let word = read_to_any_end(bob.stream.get_mut());
    assert!(word.starts_with(b"* good bye: bad frame: "), "{}", word.escape_ascii());
    drop(bob);
    let left = alice.hear();
    assert!(left.starts_with("* bob left: bad frame: "), "{left}");
}

#[test]
fn who_does_not_read_is_disconnected_and_the_others_miss_nothing() {
    let server = Server::start("chat");
    let (mut talker, _) = Person::arrive(&server, "talker");
    // Small buffers, so that it does not take long.
    let slow = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    slow.set_recv_buffer_size(4096).expect("a small buffer");
    slow.connect(&server.address.into()).expect("it accepts");
    let mut slow = Person { stream: BufReader::with_capacity(1, TcpStream::from(slow)) };
    slow.hears("* welcome! your nickname?");
    slow.say("slow");
    talker.hears("* slow came in");
    let (mut reader, _) = Person::arrive(&server, "reader");
    talker.hears("* reader came in");

    let reads = thread::spawn(move || {
        let mut left = None;
        for expected in 0.. {
            let mut line = reader.hear();
            if line.starts_with("* slow left") {
                left = Some(line);
                line = reader.hear();
            }
            if line == "talker: the end" {
                return (expected, left);
            }
            assert!(line.starts_with(&format!("talker: {expected} x")), "{line}");
        }
        unreachable!("an endless loop")
    });
    let stuff = "x".repeat(900);
    let mut said = 0;
    // The kernel has room for some megabytes. The talker hears as the others that it is over.
    talker.stream.get_ref().set_nonblocking(true).expect("non-blocking");
    while talker.stream.fill_buf().is_err() {
        talker.stream.get_ref().set_nonblocking(false).expect("blocking");
        for _ in 0..100 {
            talker.say(&format!("{said} {stuff}"));
            said += 1;
        }
        assert!(said < 100_000, "nobody is ever slow");
        talker.stream.get_ref().set_nonblocking(true).expect("non-blocking");
    }
    talker.stream.get_ref().set_nonblocking(false).expect("blocking");
    let left = talker.hear();
    assert!(left.starts_with("* slow left: slow consumer: "), "{left}");
    talker.say("the end");
    let (heard, also_left) = reads.join().expect("everything in order");
    assert_eq!((heard, also_left), (said, Some(left)));
    // Its end is a reset, not one that could be taken for the end of the conversation.
    slow.stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("timeout");
    assert!(slow.stream.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_flood_disconnects_nobody_who_reads() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let (mut bob, _) = Person::arrive(&server, "bob");
    alice.hears("* bob came in");
    let line = format!("{}\n", "x".repeat(999));
    let sends = thread::spawn(move || {
        bob.send(line.repeat(2000).as_bytes());
        bob
    });
    let expected = format!("bob: {}", "x".repeat(999));
    for _ in 0..2000 {
        assert_eq!(alice.hear(), expected);
    }
    sends.join().expect("written");
    alice.hears("* bob left");
    drop(alice);
    server.ends_at(Signal::TERM, "served 2 people, 2000 lines");
}

#[test]
fn everyone_is_told_when_it_ends() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start("chat");
        let (mut alice, _) = Person::arrive(&server, "alice");
        let (mut bob, _) = Person::arrive(&server, "bob");
        alice.hears("* bob came in");
        let (mut carol, _) = Person::arrive(&server, "carol");
        for person in [&mut alice, &mut bob] {
            person.hears("* carol came in");
        }
        assert!(carol.ask("/join cellar").starts_with("* in cellar"));
        alice.say("hi");
        for expected in ["* carol went to cellar", "alice: hi"] {
            bob.hears(expected);
        }
        alice.hears("* carol went to cellar");
        server.signal(signal);
        for person in [&mut alice, &mut bob, &mut carol] {
            person.hears("* the chat closes, good bye");
            person.hears_the_end();
        }
        drop((alice, bob, carol));
        server.ends_with("served 3 people, 1 lines");
    }
}

#[test]
fn n4_someone_who_is_typing_at_the_end_may_finish_the_line() {
    let server = Server::start("chat");
    let (mut alice, _) = Person::arrive(&server, "alice");
    let (mut bob, _) = Person::arrive(&server, "bob");
    alice.hears("* bob came in");
    alice.send(b"/help\n/nick al");
    assert!(alice.hear().starts_with("* /nick NAME"));
    server.signal(Signal::TERM);
    for person in [&mut alice, &mut bob] {
        person.hears("* the chat closes, good bye");
    }
    bob.hears_the_end();
    drop(bob);
    server.waits_for_sockets(1);
    // That everyone leaves is no news any more.
    alice.say("ly");
    alice.hears("* you are ally");
    alice.hears_the_end();
    drop(alice);
    server.ends_with("served 2 people, 0 lines");
}
