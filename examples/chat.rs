//! A chat with rooms and nicknames, for people with `nc` or `telnet`.
//!
//! ```text
//! cargo run --release --example chat
//! nc 127.0.0.1 7003                     (in as many terminals as you like)
//! ```
//!
//! It shows what is private to a connection (its session) beside what all share (the handler), a message encoded once
//! for many, and what a server owes its users: limits that say what they are, a slow reader who costs the others
//! nothing, terminals that nobody else can write to, and a last word before it ends. No cell and no lock.
//!
//! Ctrl-C and SIGTERM tell everyone, deliver that, print what was served and exit with 0. A second one does not wait.

mod shared;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::{
    Bytes, Close, CloseReason, Config, Conn, ConnId, Context, Handler, OnSlow, Peer, Reactor, Result, signals,
};

const HELP: &str = "/nick NAME, /join ROOM, /who, /quit, /help; anything else is said to your room";
const LOBBY: &str = "lobby";
const PEOPLE_MAX: usize = 1000;
const ROOMS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 16;
/// A longer line is not said. One longer than the codec's limit of 8 KiB ends the connection.
const LINE_BYTES_MAX: usize = 1000;
/// Who leaves 64 KiB (`queued_bytes_high`) waiting, with the kernel's buffers full as well, is disconnected: that can
/// be seen, and one can come back. With `Skip` a conversation would have holes that nobody notices.
const SLOW: OnSlow = OnSlow::Close;

/// What everyone shares. A room is there while someone is in it.
#[derive(Default)]
struct Chat {
    rooms: BTreeMap<String, Room>,
    lines: u64,
    closing: bool,
}

/// Who is in a room, by nickname.
type Room = BTreeMap<String, ConnId>;

/// What is kept for one connection, once it has a nickname.
struct Person {
    nick: String,
    room: String,
}

/// What the person is told who asked for something: that it was done, or why not.
type Answer = Result<String, String>;

impl Handler for Chat {
    type Codec = Lines;
    type Session = Option<Person>;

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, Option<Person>)> {
        cx.send(b"* welcome! your nickname?\n");
        Some((Lines::new(), None))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        let text = printable(line);
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let answer = match (conn.session, word, rest.trim()) {
            (_, "/quit", _) => {
                cx.send(b"* good bye\n");
                return Err(Close::Linger);
            }
            (_, "/help", _) => Ok(HELP.to_owned()),
            (session @ None, "/nick", nick) | (session @ None, nick, _) => self.arrive(cx, session, nick),
            (Some(person), "/nick", nick) => self.rename(cx, person, nick),
            (Some(person), "/join", room) => self.join(cx, person, room),
            (Some(person), "/who", _) => Ok(self.who(&person.room)),
            (Some(_), word, _) if word.starts_with('/') => Err(format!("there is no {word}, only {HELP}")),
            (Some(_), _, _) if line.len() > LINE_BYTES_MAX => {
                Err(format!("{} bytes are not said, the limit is {LINE_BYTES_MAX}", line.len()))
            }
            (Some(_), "", _) => return Ok(()),
            (Some(person), _, _) => {
                self.lines += 1;
                self.tell(cx, &person.room, format!("{}: {text}\n", person.nick));
                return Ok(());
            }
        };
        let (Ok(answer) | Err(answer)) = answer;
        writeln!(cx.out(), "* {answer}");
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, why: &CloseReason) {
        writeln!(cx.out(), "* good bye: {why}");
    }

    fn draining(&mut self, cx: &mut Context) {
        self.closing = true;
        let people = self.rooms.values().flat_map(Room::values).copied();
        cx.broadcast(people, &Bytes::from_static(b"* the chat closes, good bye\n"), SLOW);
    }

    fn closed(&mut self, cx: &mut Context, session: Option<Person>, why: &CloseReason) {
        let Some(Person { nick, room }) = session else { return };
        self.leave(&nick, &room);
        match why {
            // Everyone is told once, not by everyone.
            _ if self.closing => {}
            _ if why.is_orderly() => self.tell(cx, &room, format!("* {nick} left\n")),
            _ => self.tell(cx, &room, format!("* {nick} left: {why}\n")),
        }
    }
}

impl Chat {
    fn arrive(&mut self, cx: &mut Context, session: &mut Option<Person>, nick: &str) -> Answer {
        let nick = self.free_nick(nick)?;
        if self.rooms.values().map(Room::len).sum::<usize>() >= PEOPLE_MAX {
            return Err(format!("{PEOPLE_MAX} people are here, and no more can come in; try again later"));
        }
        self.enter(cx, &nick, LOBBY);
        let answer = format!("hello {nick}! {HELP}\n* {}", self.who(LOBBY));
        *session = Some(Person { nick, room: LOBBY.to_owned() });
        Ok(answer)
    }

    fn rename(&mut self, cx: &mut Context, person: &mut Person, nick: &str) -> Answer {
        let nick = self.free_nick(nick)?;
        self.tell(cx, &person.room, format!("* {} is now {nick}\n", person.nick));
        if let Some(people) = self.rooms.get_mut(&person.room) {
            people.remove(&person.nick);
            people.insert(nick.clone(), cx.id());
        }
        person.nick = nick;
        Ok(format!("you are {}", person.nick))
    }

    fn join(&mut self, cx: &mut Context, person: &mut Person, room: &str) -> Answer {
        let room = name(room)?;
        if room == person.room {
            return Err(format!("you are in {room} already"));
        }
        if room != LOBBY && !self.rooms.contains_key(&room) && self.rooms.len() >= ROOMS_MAX {
            return Err(format!("there are {ROOMS_MAX} rooms, and no more"));
        }
        self.leave(&person.nick, &person.room);
        self.tell(cx, &person.room, format!("* {} went to {room}\n", person.nick));
        self.enter(cx, &person.nick, &room);
        person.room = room;
        Ok(self.who(&person.room))
    }

    fn who(&self, room: &str) -> String {
        let people = self.rooms.get(room).into_iter().flat_map(Room::keys);
        let people: Vec<_> = people.map(String::as_str).collect();
        let rooms = self.rooms.iter().map(|(room, people)| format!("{room} ({})", people.len()));
        format!("in {room}: {}; rooms: {}", people.join(", "), rooms.collect::<Vec<_>>().join(", "))
    }

    fn enter(&mut self, cx: &mut Context, nick: &str, room: &str) {
        self.rooms.entry(room.to_owned()).or_default().insert(nick.to_owned(), cx.id());
        self.tell(cx, room, format!("* {nick} came in\n"));
    }

    fn leave(&mut self, nick: &str, room: &str) {
        if let Some(people) = self.rooms.get_mut(room) {
            people.remove(nick);
        }
        self.rooms.retain(|_, people| !people.is_empty());
    }

    fn free_nick(&self, nick: &str) -> Answer {
        let nick = name(nick)?;
        let taken = self.rooms.values().any(|people| people.contains_key(&nick));
        if taken { Err(format!("{nick} is taken")) } else { Ok(nick) }
    }

    /// Sends a line to everyone in a room but the one it is about: encoded once, shared by all of them.
    fn tell(&self, cx: &mut Context, room: &str, line: String) {
        let me = cx.id();
        let people = self.rooms.get(room).into_iter().flat_map(Room::values).copied();
        cx.broadcast(people.filter(|&id| id != me), &Bytes::from(line), SLOW);
    }
}

/// A nickname or room as it is kept, or what is wrong with it. Capitals would let one pass for another.
fn name(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(good) {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} letters a-z, digits, - or _"));
    }
    Ok(text.to_ascii_lowercase())
}

/// A line as text that does nothing to a terminal but appear on it.
///
/// What moves the cursor, sets colours, rings, or turns the direction of writing is shown by its number, so that it can
/// be seen that something was there. What is no UTF-8 becomes the replacement character.
fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(line).chars() {
        match c {
            '\t' => text.push(' '),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                text.extend(c.escape_unicode());
            }
            _ if c.is_control() => text.extend(c.escape_unicode()),
            _ => text.push(c),
        }
    }
    text
}

fn main() -> ExitCode {
    shared::main("A chat with rooms and nicknames.", ([127, 0, 0, 1], 7003), [], |addr, []| serve(addr))
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut config = Config::default();
    // Time to think of a nickname, and for those who vanished without a word.
    config.first_frame_timeout = Some(Duration::from_secs(60));
    config.idle_timeout = Some(Duration::from_secs(3600));
    config.drain_timeout = Duration::from_secs(5);
    // Each line goes to many, so that few of one person are enough for one turn.
    config.frames_per_turn = 16;

    let mut reactor = Reactor::new(Chat::default(), config)?;
    let listener = reactor.listen(addr)?;

    // The first signal drains, the second does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.local_addr(listener)?, "")?;
    reactor.run()?;

    let (people, lines) = (reactor.stats().accepted, reactor.handler().lines);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {people} people, {lines} lines");
    Ok(())
}
