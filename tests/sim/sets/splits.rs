//! Every split: inputs for every codec, and what must come of them however they are cut.
//!
//! It knows codecs, inputs and how frames are written down; it does not know what is right. That is what comes of
//! the input in one piece, and the codec alone and the codec in a reactor must agree on it.

use std::fmt::Debug;

use switchboard::codec::{
    AsciiLength, ByteOrder, Decoder, Delimited, Either, FixedLength, LengthPrefixed, LengthPrefixedBuilder,
    Lines, Raw, Step, ToEnd, Typed, TypedFrame, Varint, Width,
};
use switchboard::sim::{self, Script, Sim};
use switchboard::{Close, CloseReason, Conn, Context, Frame, Handler, Peer, Result};

/// A codec whose frames can be written down.
trait Speak: Decoder + Clone + Debug + 'static {
    /// Writes down what came. It may switch the codec, too.
    fn say(&mut self, frame: Self::Frame<'_>, out: &mut Vec<u8>);
}

/// Tries every split of an input, and answers how many there were.
type Try<Count> = Box<dyn Fn(&[u8]) -> Count>;

/// One input for one codec.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) input: &'static [u8],
    in_a_reactor: Try<usize>,
    alone: Try<u64>,
}

impl Case {
    fn new<D: Speak>(name: &'static str, input: &'static [u8], codec: D) -> Case {
        assert!(input.len() >= 20, "the input of {name} has only {} bytes", input.len());
        let again = codec.clone();
        Case {
            name,
            input,
            in_a_reactor: Box::new(move |input| {
                every_split_in_a_reactor(&Teller { codec: codec.clone() }, input)
            }),
            alone: Box::new(move |input| every_split_alone(&again, input)),
        }
    }

    /// Tries every split of the first `bytes` bytes through the whole reactor; how many there were.
    pub(crate) fn in_a_reactor(&self, bytes: usize) -> usize {
        (self.in_a_reactor)(&self.input[..bytes])
    }

    /// Tries every split of the whole input with the codec alone.
    pub(crate) fn alone(&self) -> u64 {
        (self.alone)(self.input)
    }
}

/// Every case there is.
pub(crate) fn cases() -> Vec<Case> {
    [lines(), delimited(), lengths(), numbers(), others(), switching()].into_iter().flatten().collect()
}

pub(crate) fn lines() -> Vec<Case> {
    let short = Lines::new().frame_bytes_max(4);
    vec![
        Case::new("lines", b"ab\n\ncd\r\n\r\nef\r\r\ng\rhi\nj", Lines::new()),
        Case::new("lines, the last without an end", b"a\r\nbc\r\r\nd\n\r\nefghijk\r\r", ended()),
        Case::new("lines, one too long", b"abcd\r\nabcde\nabc\nabcd\n", short.clone()),
        Case::new("lines, one that does not end", b"\nabcd\r\nabc\rdefgh\nabcd", short),
    ]
}

fn ended() -> Lines {
    Lines::new().crlf().accept_unterminated()
}

pub(crate) fn delimited() -> Vec<Case> {
    let new = |delimiter: &[u8]| Delimited::new(delimiter).expect("a delimiter that is not empty");
    let several = Delimited::any([&b"\r\n\r\n"[..], b"\n\n", b";"]).expect("none contains another");
    vec![
        Case::new("delimited by what overlaps itself", b"aaabxaaaabaabaaXaabaa", new(b"aab")),
        Case::new("delimited by the first of several", b"a\r\n\r\n\n\nb;\r\r\n\r\n;c\n;;\r\n", several),
        Case::new("delimiters kept", b"--x----y-z---zz--w---", new(b"--").keep_delimiter()),
        Case::new("delimited, too long", b"abc##abcd#abcde##fghij", new(b"##").frame_bytes_max(4)),
    ]
}

fn built(builder: LengthPrefixedBuilder) -> LengthPrefixed {
    builder.build().expect("a layout that makes frames")
}

pub(crate) fn lengths() -> Vec<Case> {
    let with = |width, order| LengthPrefixed::builder().width(width).byte_order(order);
    let whole = with(Width::Two, ByteOrder::Little).offset(2).length_includes_header().strip(0);
    let behind = with(Width::One, ByteOrder::Big).offset(1).adjustment(2).strip(3);
    let small = built(with(Width::Three, ByteOrder::Big)).frame_bytes_max(3);
    let wide = built(with(Width::Eight, ByteOrder::Big));
    vec![
        Case::new("length of four bytes", b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01x\0\0\0\x03ab", default()),
        Case::new(
            "length that counts all",
            b"\xca\xfe\x06\0hiMM\x04\0zz\x05\0!NN\x06\0\0",
            built(whole.clone()),
        ),
        Case::new(
            "length that counts too little",
            b"\xca\xfe\x06\0hiMM\x03\0zz\x05\0!NN\x06\0\0",
            built(whole),
        ),
        Case::new("length behind and adjusted", b"A\x01..xB\0..C\x03..xyzD\x02..xyE", built(behind)),
        Case::new("length over its limit", b"\0\0\x03abc\0\0\0\0\0\x04abcdefgh", small),
        Case::new("length of eight bytes", b"\0\0\0\0\0\0\0\x03abc\0\0\0\0\x01\0\0\0\0\0", wide),
    ]
}

fn default() -> LengthPrefixed {
    LengthPrefixed::new()
}

pub(crate) fn numbers() -> Vec<Case> {
    let two = || AsciiLength::with_digits(2).expect("one to 19");
    let four = Varint::new().frame_bytes_max(4);
    let record = FixedLength::new(3).expect("not zero");
    vec![
        Case::new("length in digits", b"03abc000104abcd02xy01", two()),
        Case::new("length in digits, a sign", b"02ab0003abc+3abc01x000", two()),
        Case::new("varint", b"\x03abc\0\x82\x80\0hi\x01x\x80\0\x85\0hello", Varint::new()),
        Case::new("varint over its limit", b"\x04abcd\x80\x80\0\x01x\x85\x80\0abcdefg", four),
        Case::new(
            "varint that overflows",
            b"\x01x\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02abcdefg",
            Varint::new(),
        ),
        Case::new("records of three bytes", b"abcdefghijklmnopqrst", record),
    ]
}

pub(crate) fn others() -> Vec<Case> {
    let length = |kind: u8| match kind {
        b'M' => Some(2),
        b'Q' => Some(0),
        b'C' => Some(5),
        _ => None,
    };
    let codec: Typed = Typed::new(length);
    vec![
        Case::new("typed", b"QM12QQC12345M34QC123M", codec.clone()),
        Case::new("typed, one unknown", b"M12QC12345X12QQM12Qxyz", codec),
        Case::new("to the end", b"all of it is one frame", ToEnd::new()),
        Case::new("to the end, too long", b"more than there may be", ToEnd::new().frame_bytes_max(11)),
        Case::new("raw", b"whatever comes, comes", Raw::new()),
    ]
}

/// A protocol that changes its codec between frames.
type Mixed = Either<Lines, Either<FixedLength, Raw>>;

pub(crate) fn switching() -> Vec<Case> {
    let codec: Mixed = Either::A(Lines::new());
    vec![
        Case::new("lines, records, lines", b"DATA\r\n\nxyend\nab\nDATA\n1", codec.clone()),
        Case::new("lines, records, a long line", b"DATA\nendabcde\nDATA\nend", codec.clone()),
        Case::new("lines, then anything", b"a\nRAW\r\n\r\nRAW\nxyz\r\nDATA\n", codec),
    ]
}

fn bracket(frame: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    out.extend(frame);
    out.push(b']');
}

macro_rules! brackets {
    ($($codec:ty),*) => {
        $(impl Speak for $codec {
            fn say(&mut self, frame: &[u8], out: &mut Vec<u8>) {
                bracket(frame, out);
            }
        })*
    };
}

brackets!(Lines, Delimited, LengthPrefixed, AsciiLength, Varint, FixedLength, ToEnd);

impl Speak for Typed {
    fn say(&mut self, frame: TypedFrame<'_>, out: &mut Vec<u8>) {
        out.push(frame.kind);
        bracket(frame.payload, out);
    }
}

// Where it is cut is not part of what it says.
impl Speak for Raw {
    fn say(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend(bytes);
    }
}

impl Speak for Mixed {
    fn say(&mut self, frame: Self::Frame<'_>, out: &mut Vec<u8>) {
        match frame {
            Either::A(line) => {
                bracket(line, out);
                match line {
                    b"DATA" => *self = Either::B(Either::A(FixedLength::new(3).expect("not zero"))),
                    b"RAW" => *self = Either::B(Either::B(Raw::new())),
                    _ => {}
                }
            }
            Either::B(Either::A(record)) => {
                bracket(record, out);
                if record == b"end" {
                    *self = Either::A(Lines::new().frame_bytes_max(4));
                }
            }
            Either::B(Either::B(bytes)) => out.extend(bytes),
        }
    }
}

/// Tells its peer every frame, the end, and what was wrong.
#[derive(Clone)]
struct Teller<D: Speak> {
    codec: D,
}

impl<D: Speak> Handler for Teller<D> {
    type Codec = D;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(D, ())> {
        Some((self.codec.clone(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        let mut said = Vec::new();
        conn.codec.say(frame, &mut said);
        cx.send(&said);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.send(b".");
        cx.close(conn.id, Close::Flush);
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, why: &CloseReason) {
        cx.send(format!("!{why}").as_bytes());
    }
}

fn every_split_in_a_reactor<D: Speak>(teller: &Teller<D>, input: &[u8]) -> usize {
    let script = Script::new().send(input).shutdown().recv_to_end();
    let whole = Sim::new(1).server(teller.clone()).client(script).run();
    assert_eq!(whole.clients[0].received, alone(&teller.codec, input));
    let splits = sim::every_split(|| teller.clone(), input);
    assert!(splits.all, "{splits}");
    splits.count
}

/// What a codec has come to behind some of the pieces.
#[derive(Clone)]
struct Alone<D> {
    codec: D,
    /// Where the next frame begins.
    start: usize,
    /// How long the input from there must be before the codec is asked again.
    wanted: usize,
    said: Vec<u8>,
    /// Whether the input was refused.
    over: bool,
}

impl<D: Speak> Alone<D> {
    fn new(codec: D) -> Alone<D> {
        Alone { codec, start: 0, wanted: 0, said: Vec::new(), over: false }
    }

    /// Whether nothing that follows can tell the two apart. A codec shows all that it remembers.
    fn same(&self, other: &Alone<D>) -> bool {
        let known = |one: &Alone<D>| (one.start, one.wanted, one.over);
        known(self) == known(other)
            && self.said == other.said
            && format!("{:?}", self.codec) == format!("{:?}", other.codec)
    }

    /// Shows the codec all that has come, by the rules of [`Decoder`].
    fn feed(&mut self, come: &[u8]) {
        while !self.over && come.len() - self.start >= self.wanted {
            let input = &come[self.start..];
            match self.codec.decode(input) {
                Ok(Step::Frame { frame, used }) => {
                    assert!((1..=input.len()).contains(&used), "{used} bytes of {} used", input.len());
                    self.codec.say(frame, &mut self.said);
                    self.start += used;
                    self.wanted = 0;
                }
                Ok(Step::NeedMore { at_least }) => {
                    assert!(at_least > input.len(), "{at_least} bytes are here already");
                    self.wanted = at_least;
                }
                Err(error) => {
                    self.said.extend(format!("!bad frame: {error}").bytes());
                    self.over = true;
                }
            }
        }
    }

    /// Says what the bytes left over are.
    fn end(&mut self, come: &[u8]) {
        let rest = &come[self.start..];
        match self.codec.end(rest) {
            Ok(Some(frame)) => {
                self.codec.say(frame, &mut self.said);
                self.said.push(b'.');
            }
            Ok(None) if rest.is_empty() => self.said.push(b'.'),
            Ok(None) => self.said.extend(format!("!ended {} bytes into a frame", rest.len()).bytes()),
            Err(error) => self.said.extend(format!("!bad frame: {error}").bytes()),
        }
    }
}

/// What comes of `input` in one piece.
fn alone<D: Speak>(codec: &D, input: &[u8]) -> Vec<u8> {
    let mut whole = Alone::new(codec.clone());
    whole.feed(input);
    if !whole.over {
        whole.end(input);
    }
    whole.said
}

/// Splits `input` in every way; how many those are. Ways that lead to the same state are followed once: from there
/// on they are one.
fn every_split_alone<D: Speak>(codec: &D, input: &[u8]) -> u64 {
    let (n, whole) = (input.len(), alone(codec, input));
    // By how much has come: what that may have led to, and in how many ways.
    let mut states: Vec<Vec<(Alone<D>, u64)>> = vec![Vec::new(); n];
    states[0].push((Alone::new(codec.clone()), 1));
    let mut count = 0;
    for at in 0..n {
        for (before, ways) in std::mem::take(&mut states[at]) {
            for end in at + 1..=n {
                let mut here = before.clone();
                here.feed(&input[..end]);
                if !here.over && end < n {
                    match states[end].iter_mut().find(|(other, _)| other.same(&here)) {
                        Some((_, others)) => *others += ways,
                        None => states[end].push((here, ways)),
                    }
                    continue;
                }
                if !here.over {
                    here.end(input);
                }
                let text = |said: &[u8]| said.escape_ascii().to_string();
                assert_eq!(text(&here.said), text(&whole), "with a piece of bytes {at} to {end}");
                // What follows an error does not matter, in however many ways it is split.
                count += ways << (n - end).saturating_sub(1);
            }
        }
    }
    count
}
