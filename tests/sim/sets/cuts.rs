//! An end and a reset at every byte, on each side: what was delivered, what each side was told, in what order.
//!
//! It knows a request of three frames that is echoed; a cut is anywhere in it, and nothing else goes wrong.

use std::time::Duration;

use switchboard::codec::{LengthPrefixed, Raw};
use switchboard::sim::{ClientReport, End, Script, Sim};
use switchboard::{Close, CloseKind, Config, Context};

use super::clients::{Pace, Then, paced};
use super::noting::{Noting, Told};

/// What the client sends, and gets back.
pub(crate) const REQUEST: &[u8] = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05hello";

const FRAMES: [&[u8]; 3] = [b"hi", b"", b"hello"];

/// Behind which bytes a frame ends.
const BORDERS: [usize; 3] = [6, 10, 19];

/// How many frames are whole in so many bytes.
fn whole(bytes: usize) -> usize {
    BORDERS.iter().filter(|&&border| border <= bytes).count()
}

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaves {
    /// It resets the connection.
    Resets,
    /// It closes it, which is a reset if it has not read everything.
    Closes,
    /// It ends its side and reads to the end.
    Ends,
}

pub(crate) const LEAVES: [Leaves; 3] = [Leaves::Resets, Leaves::Closes, Leaves::Ends];

fn leave(script: Script, how: Leaves) -> Script {
    match how {
        Leaves::Resets => script.reset(),
        Leaves::Closes => script.close(),
        Leaves::Ends => script.shutdown().recv_to_end(),
    }
}

/// Echoes frames to `client`; what the connection was told, and what the client saw.
fn echoed(client: Script, buffers: usize, frames_per_turn: usize) -> (Told, ClientReport) {
    let server = Noting::new(LengthPrefixed::new(), |cx: &mut Context, frame: &[u8]| {
        LengthPrefixed::new().encode(frame, &mut cx.out())?;
        Ok(())
    });
    let mut config = Config::default();
    (config.recv_buffer_bytes, config.frames_per_turn) = (512, frames_per_turn);
    let scenario = sim().server(server).config(config).client(client).buffers(buffers, buffers);
    let mut report = scenario.run();
    let (_, told) = report.handler.told.pop_first().expect("it was told closed at least");
    assert!(report.handler.told.is_empty(), "one connection");
    let count = told.frames.len();
    assert_eq!(told.frames, FRAMES[..count], "whole frames, in order");
    (told, report.clients.remove(0))
}

fn sim() -> Sim {
    Sim::new(1)
}

/// The client leaves behind `bytes` bytes of its request, of which so many frames are delivered in a turn.
pub(crate) fn request(bytes: usize, pace: Pace, frames_per_turn: usize, how: Leaves) {
    let millisecond = Duration::from_millis(1);
    let script = match pace {
        Pace::AtOnce => Script::new().send(&REQUEST[..bytes]),
        Pace::ByByte => {
            REQUEST[..bytes].iter().fold(Script::new(), |script, &byte| script.send([byte]).wait(millisecond))
        }
    };
    let (told, client) = echoed(leave(script, how), 1 << 16, frames_per_turn);
    let (frames, at_border) = (whole(bytes), bytes == 0 || BORDERS.contains(&bytes));
    let context = format!("{bytes} bytes, {pace:?}, {frames_per_turn}, {how:?}: {told:?}, {client:?}");
    // What came before is delivered, however it ended.
    assert_eq!(told.frames.len(), frames, "{context}");
    let answered = if frames == 0 { 0 } else { BORDERS[frames - 1] };
    let orderly = if at_border { CloseKind::Ended } else { CloseKind::Truncated };
    let closed = told.closed.expect("it was closed");
    match how {
        Leaves::Resets => assert_eq!(closed, CloseKind::Reset, "{context}"),
        // What it has not read makes it a reset; what comes later is answered with one.
        Leaves::Closes if frames == 0 => assert_eq!(closed, orderly, "{context}"),
        Leaves::Closes if pace == Pace::ByByte => assert_eq!(closed, CloseKind::Reset, "{context}"),
        Leaves::Closes => assert!(closed == orderly || closed == CloseKind::Reset, "{context}"),
        Leaves::Ends => {
            let word = format!("!ended {} bytes into a frame", bytes - answered);
            let word = if at_border { "" } else { &word };
            assert_eq!((closed, client.end), (orderly, End::Ended), "{context}");
            assert_eq!(client.received, [&REQUEST[..answered], word.as_bytes()].concat(), "{context}");
        }
    }
}

/// The client sends everything and leaves behind `bytes` bytes of the reply.
pub(crate) fn reply(bytes: usize, buffers: usize, how: Leaves) {
    let (told, client) = echoed(leave(Script::new().send(REQUEST).recv(bytes), how), buffers, 1024);
    let context = format!("{bytes} bytes, buffers of {buffers}, {how:?}: {told:?}, {client:?}");
    // A frame that was answered was delivered.
    assert!(told.frames.len() >= whole(bytes), "{context}");
    let closed = told.closed.expect("it was closed");
    match how {
        Leaves::Resets => assert_eq!(closed, CloseKind::Reset, "{context}"),
        Leaves::Closes if bytes == REQUEST.len() => assert_eq!(closed, CloseKind::Ended, "{context}"),
        // All of the reply was there, and not all of it read.
        Leaves::Closes if bytes > 0 && buffers > REQUEST.len() => {
            assert_eq!(closed, CloseKind::Reset, "{context}");
        }
        // What is still to come is not yet known to be lost when the server has handed it over.
        Leaves::Closes => {
            let known = [CloseKind::Reset, CloseKind::Ended, CloseKind::Truncated];
            assert!(known.contains(&closed), "{context}");
        }
        Leaves::Ends => {
            assert_eq!((closed, client.end), (CloseKind::Ended, End::Ended), "{context}");
            assert_eq!((&client.received[..], told.frames.len()), (REQUEST, 3), "{context}");
        }
    }
}

/// How the server leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quits {
    Aborts,
    Flushes,
    Lingers,
    Fails,
    Finishes,
}

pub(crate) const QUITS: [Quits; 5] =
    [Quits::Aborts, Quits::Flushes, Quits::Lingers, Quits::Fails, Quits::Finishes];

/// The server echoes bytes and leaves behind byte `bytes`, which is one at least.
pub(crate) fn server(bytes: usize, pace: Pace, then: Then, how: Quits) {
    let mut left = bytes;
    let server = Noting::new(Raw::new(), move |cx: &mut Context, received: &[u8]| {
        let (id, count) = (cx.id(), received.len().min(left));
        cx.send(&received[..count]);
        left -= count;
        if left > 0 || count == 0 {
            return Ok(());
        }
        match how {
            Quits::Aborts => cx.close(id, Close::Abort),
            Quits::Flushes => cx.close(id, Close::Flush),
            Quits::Lingers => cx.close(id, Close::Linger),
            Quits::Fails => return Err(Close::msg("enough")),
            Quits::Finishes => cx.finish(id),
        }
        Ok(())
    });
    let report = sim().server(server).client_fn(paced(REQUEST, then, pace)).run();
    let (told, client) = (report.handler.told.values().next().expect("one"), &report.clients[0]);
    let context = format!("{bytes} bytes, {pace:?}, {then:?}, {how:?}: {told:?}, {client:?}");
    let arrived = told.frames.concat();
    assert!(REQUEST.starts_with(&arrived) && arrived.len() >= bytes, "{context}");
    let closed = told.closed.expect("it was closed");
    // What was sent in an aborting callback is dropped; what was sent before has arrived.
    let kept = match (how, pace) {
        (Quits::Aborts, Pace::AtOnce) => 0,
        (Quits::Aborts, Pace::ByByte) => bytes - 1,
        (Quits::Flushes | Quits::Lingers | Quits::Fails | Quits::Finishes, _) => bytes,
    };
    assert_eq!(client.received, &REQUEST[..kept], "{context}");
    match how {
        Quits::Aborts => assert_eq!((closed, client.end), (CloseKind::Aborted, End::Reset), "{context}"),
        // Who closes with a flush resets a peer that says more.
        Quits::Flushes => assert_eq!(closed, CloseKind::Closed, "{context}"),
        Quits::Lingers => assert_eq!((closed, client.end), (CloseKind::Closed, End::Ended), "{context}"),
        Quits::Fails => assert_eq!((closed, client.end), (CloseKind::Failed, End::Ended), "{context}"),
        Quits::Finishes => {
            assert_eq!((closed, client.end), (CloseKind::Ended, End::Ended), "{context}");
            assert_eq!(arrived, REQUEST, "{context}");
        }
    }
}
