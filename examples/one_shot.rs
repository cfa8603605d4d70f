//! One request, one answer, one connection: the end of the stream ends the message.
//!
//! ```text
//! cargo run --release --example one_shot -- serve
//! cargo run --release --example one_shot -- call 127.0.0.1:7013 'some words to count'
//! nc -N 127.0.0.1 7013 < README.md     (Ncat does without -N)
//! curl http://127.0.0.1:7013/some/words
//! ```
//!
//! "One way to use shutdown effectively is in an HTTP-like exchange", says the Python Socket Programming HOWTO: the client
//! sends its request and shuts its side down, "I'm done sending, but can still listen"; the server sees the end, so that
//! it has the whole request, answers, and closes; the client sees that end, so that it has the whole answer. The server
//! here counts lines, words and bytes. HTTP/1.0 is the same idea with the request ended by an empty line, so that it
//! answers `curl` as well. Ctrl-C and SIGTERM finish what is open.

#[path = "shared/two_sided.rs"]
mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use switchboard::codec::{Decoder, FrameError, Step, ToEnd};
use switchboard::{Close, CloseReason, Config, Conn, Context, Frame, Handler, Peer, Reactor, Result};

/// A longer request is refused.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// A longer head of an HTTP request is refused.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What an HTTP request begins with. Everything else ends with the client's side.
const METHODS: [&[u8]; 5] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE "];

/// What was asked for.
enum Request<'a> {
    /// All that came until the client ended its side.
    Whole(&'a [u8]),
    /// The first line and the headers of an HTTP request.
    Http(&'a [u8]),
}

/// Tells the two kinds of request apart by their first bytes, and finds the end of each.
struct OneRequest {
    rest: ToEnd,
    scanned: usize,
}

impl OneRequest {
    fn new() -> OneRequest {
        OneRequest { rest: ToEnd::new().frame_bytes_max(REQUEST_BYTES_MAX), scanned: 0 }
    }
}

impl Decoder for OneRequest {
    type Frame<'a> = Request<'a>;
    type Error = FrameError;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<Request<'a>>, FrameError> {
        if !METHODS.iter().any(|method| input.starts_with(method)) {
            return Ok(self.rest.decode(input)?.map(Request::Whole));
        }
        // An empty line may have been cut anywhere by the end of what was there before.
        let from = self.scanned.saturating_sub(3);
        if let Some(at) = input[from..].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let used = from + at + 4;
            return Ok(Step::Frame { frame: Request::Http(&input[..used]), used });
        }
        self.scanned = input.len();
        if input.len() > HEAD_BYTES_MAX {
            return Err(FrameError::Unended { limit: HEAD_BYTES_MAX });
        }
        Ok(Step::NeedMore { at_least: input.len() + 1 })
    }

    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, FrameError> {
        // `GET` without an empty line behind it may be the text of somebody who ended it.
        Ok(self.rest.end(input)?.map(Request::Whole))
    }
}

/// Lines, words and bytes, as `wc` counts them.
fn count(text: &[u8]) -> String {
    let lines = memchr::memchr_iter(b'\n', text).count();
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    format!("{lines} lines, {words} words, {} bytes\n", text.len())
}

struct Counter;

impl Handler for Counter {
    type Codec = OneRequest;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(OneRequest, ())> {
        Some((OneRequest::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, request: Frame<'_, Self>) -> Result {
        match request {
            Request::Whole(text) => {
                cx.send(count(text).as_bytes());
            }
            Request::Http(head) => {
                let first = head.split(|&byte| byte == b'\r').next().unwrap_or(head);
                let mut words = first.split(|&byte| byte == b' ');
                let method = words.next();
                let (status, body) = if matches!(method, Some(b"GET" | b"HEAD")) {
                    // `/some/words` is two words.
                    let path = words.next().unwrap_or_default();
                    let text: Vec<u8> =
                        path.iter().map(|&byte| if byte == b'/' { b' ' } else { byte }).collect();
                    ("200 OK", count(text.trim_ascii()))
                } else {
                    ("501 Not Implemented", "only GET and HEAD\n".to_owned())
                };
                let mut out = cx.out();
                // The end of the connection is the end of the body, too; the length is for those who keep count.
                write!(
                    out,
                    "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                if method != Some(b"HEAD") {
                    write!(out, "{body}");
                }
            }
        }
        // What else comes is read and dropped for a while: a close with bytes unread would destroy the answer.
        Err(Close::Linger)
    }

    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, why: &CloseReason) {
        writeln!(cx.out(), "{why}");
    }
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut config = Config::default();
    // Whoever does not come to an end would have its place for good.
    config.first_frame_timeout = Some(Duration::from_secs(10));
    let mut reactor = Reactor::new(Counter, config)?;
    let listener = reactor.listen(addr)?;
    shared::run(&mut reactor, listener)?;
    let (clients, requests) = (reactor.stats().accepted, reactor.stats().frames);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {requests} requests");
    Ok(())
}

struct Caller {
    request: Vec<u8>,
    failure: Option<io::Error>,
}

impl Handler for Caller {
    type Codec = ToEnd;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(ToEnd, ())> {
        cx.send(&self.request);
        cx.finish(cx.id()); // shutdown(1), once all of it has left
        Some((ToEnd::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, answer: &[u8]) -> Result {
        if answer.is_empty() {
            return Err(Close::msg("it answered nothing"));
        }
        io::stdout().write_all(answer)?;
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        if !why.is_orderly() {
            self.failure = Some(shared::failure(why));
        }
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failure = Some(shared::failure(why));
    }
}

fn call(addr: SocketAddr, words: &[String]) -> io::Result<()> {
    if words.is_empty() {
        return Err(shared::bad_words("count what?".into()));
    }
    let caller = Caller { request: words.join(" ").into_bytes(), failure: None };
    let mut reactor = Reactor::new(caller, Config::default())?;
    reactor.with(|_, cx| cx.connect(addr, 0)).map_err(io::Error::other)?;
    reactor.run()?;
    reactor.into_handler().failure.map_or(Ok(()), Err)
}

fn main() -> ExitCode {
    let about = shared::About {
        what: "Counts the lines, words and bytes of a request that ends with the client's side, or of a path over HTTP.",
        default: ([127, 0, 0, 1], 7013).into(),
        words: "WORD...",
    };
    shared::main(about, serve, call)
}
