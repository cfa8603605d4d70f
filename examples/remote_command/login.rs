//! Who may ask: a secret that both sides know, and what is done about those who do not know it.
//!
//! It knows lines and counts. It knows no connection and no command.

use std::env;
use std::hint::black_box;
use std::io::{self, ErrorKind};

/// Where both sides have the secret from. Not from the arguments, which everyone on the machine can read.
const VARIABLE: &str = "REMOTE_COMMAND_TOKEN";
/// A shorter one can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// How many wrong tokens end a connection, and how many in a minute have all wait for its end.
const WRONG_MAX: u32 = 3;
const WRONG_PER_MINUTE_MAX: u32 = 10;

/// The secret.
pub(crate) fn token() -> io::Result<String> {
    let token =
        env::var(VARIABLE).ok().filter(|token| token.len() >= TOKEN_BYTES_MIN && !token.contains('\n'));
    token.ok_or_else(|| {
        let message =
            format!("{VARIABLE} must hold a secret of at least {TOKEN_BYTES_MIN} characters on both sides");
        io::Error::new(ErrorKind::InvalidInput, message)
    })
}

/// What comes of a first line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Welcome,
    /// It may try again.
    Wrong,
    /// No more of this.
    Refused(&'static str),
    /// Not a client of ours but a browser that somebody has sent here: not a word to it.
    Http,
}

/// Counts who is wrong.
pub(crate) struct Gate {
    token: String,
    wrong: u32,
}

impl Gate {
    pub(crate) fn new(token: String) -> Gate {
        Gate { token, wrong: 0 }
    }

    /// Judges a first line of a connection that was wrong so many times before.
    pub(crate) fn judge(&mut self, line: &[u8], wrong_before: u32) -> Answer {
        if is_http(line) {
            return Answer::Http;
        }
        if self.wrong >= WRONG_PER_MINUTE_MAX {
            return Answer::Refused("too many wrong tokens: come back in a minute");
        }
        if is_same(self.token.as_bytes(), line) {
            return Answer::Welcome;
        }
        self.wrong += 1;
        if wrong_before + 1 >= WRONG_MAX { Answer::Refused("wrong token") } else { Answer::Wrong }
    }

    /// Whether nobody was wrong of late.
    pub(crate) fn is_quiet(&self) -> bool {
        self.wrong == 0
    }

    /// A minute is over.
    pub(crate) fn forget(&mut self) {
        self.wrong = 0;
    }
}

/// Compares in a time that depends on the length of the line alone: it tells nobody how much of it was right.
fn is_same(token: &[u8], line: &[u8]) -> bool {
    let mut differs = u8::from(token.len() != line.len());
    for (at, &byte) in line.iter().enumerate() {
        differs |= black_box(byte ^ token[at % token.len()]);
    }
    black_box(differs) == 0
}

/// What a web page can have a browser send to any address, `localhost` included.
fn is_http(line: &[u8]) -> bool {
    const VERBS: [&[u8]; 10] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"CONNECT ",
        b"OPTIONS ",
        b"TRACE ",
        b"PATCH ",
        b"PRI ",
    ];
    VERBS.iter().any(|verb| line.starts_with(verb))
}
