//! The protocol of `docs/simulation.md` as a user would keep it: a decoder, a handler and their tests.
//!
//! Beside each test that passes stands one that shows the same test fail on a decoder with a bug.

use std::convert::Infallible;
use std::process::Command;

use switchboard::codec::{Decoder, Step};
use switchboard::sim::{self, Fault, Faults, Script, Sim};
use switchboard::{Conn, Context, Frame, Handler, Peer};

/// Messages: two bytes of length, then so many bytes.
struct Messages;

impl Decoder for Messages {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        let Some(prefix) = input.first_chunk() else { return Ok(Step::NeedMore { at_least: 2 }) };
        let end = 2 + usize::from(u16::from_be_bytes(*prefix));
        match input.get(2..end) {
            Some(frame) => Ok(Step::Frame { frame, used: end }),
            None => Ok(Step::NeedMore { at_least: end }),
        }
    }
}

/// The same by someone who never saw a prefix arrive in two pieces.
struct Hasty;

impl Decoder for Hasty {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        if input.is_empty() {
            return Ok(Step::NeedMore { at_least: 2 });
        }
        let end = 2 + usize::from(u16::from_be_bytes([input[0], input[1]]));
        match input.get(2..end) {
            Some(frame) => Ok(Step::Frame { frame, used: end }),
            None => Ok(Step::NeedMore { at_least: end }),
        }
    }
}

/// Answers each message in capitals.
struct Shout<D>(fn() -> D);

impl<D> Handler for Shout<D>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]>,
{
    type Codec = D;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(D, ())> {
        Some(((self.0)(), ()))
    }

    fn received(
        &mut self,
        cx: &mut Context,
        _: Conn<'_, Self>,
        message: Frame<'_, Self>,
    ) -> switchboard::Result {
        cx.send(&u16::try_from(message.len())?.to_be_bytes());
        cx.send(&message.to_ascii_uppercase());
        Ok(())
    }
}

fn careful() -> Shout<Messages> {
    Shout(|| Messages)
}

fn hasty() -> Shout<Hasty> {
    Shout(|| Hasty)
}

fn client() -> Script {
    Script::new()
        .send(b"\0\x05hello")
        .expect(b"\0\x05HELLO")
        .send(b"\0\x03you\0\0")
        .expect(b"\0\x03YOU\0\0")
        .shutdown()
        .expect_end()
}

#[test]
fn a_message_means_the_same_however_it_is_split() {
    let splits = sim::every_split(careful, b"\0\x05hello\0\x03you");
    assert_eq!((splits.count, splits.all), (2048, true));
}

#[test]
fn a_prefix_in_two_pieces_is_what_every_split_finds_first() {
    let differs = sim::try_every_split(hasty, b"\0\x05hello").expect_err("it has a bug");
    assert_eq!(differs.pieces, [&b"\0"[..], b"\x05hello"]);
    assert_eq!(differs.whole, "\"\\x00\\x05HELLO\", then the end");
    assert!(differs.split.starts_with("index out of bounds: the len is 1"), "{differs}");
    assert!(differs.split.contains("at tests/sim/guide.rs:"), "it says where: {differs}");
}

#[test]
fn clients_are_answered_under_faults_of_every_kind() {
    let explored = sim::seeds(100, |sim| {
        sim.server(careful()).client(client()).client(client()).faults(Faults::swarm()).run();
    });
    println!("{} runs", explored.runs);
}

#[test]
fn clients_are_answered_under_any_two_faults() {
    let faults = Faults::none().with(Fault::Fragment, 1).with(Fault::PartialSend, 1).with(Fault::Reset, 1);
    let explored = sim::deviations(2, 100_000, |sim| {
        sim.server(careful()).client(client()).faults(faults.clone()).run();
    });
    assert!(explored.complete && explored.runs > 100, "{explored:?}");
}

#[test]
fn every_way_to_cut_one_message_is_explored() {
    let explored = sim::exhaust(100_000, |sim| {
        let client = Script::new().send(b"\0\x05hello").expect(b"\0\x05HELLO").shutdown().expect_end();
        sim.server(careful()).client(client).faults(Faults::none().with(Fault::Fragment, 1)).run();
    });
    assert!(explored.complete && explored.runs >= 64, "{explored:?}");
}

fn hasty_under_faults(sim: Sim) {
    sim.server(hasty()).client(client()).faults(Faults::harmless()).run();
}

#[test]
fn seeds_find_the_bug_and_say_how_to_see_it_again() {
    let found = sim::try_seeds(0..100, hasty_under_faults).expect_err("it has a bug");
    assert!(found.what.starts_with("index out of bounds: the len is 1"), "{found}");
    assert!(found.deviations <= 3, "a weight and a fragment or two: {found}");
    let seed = format!("SWITCHBOARD_SEED={} cargo test", found.seed.expect("a seed led there"));
    let tape = format!("SWITCHBOARD_TAPE={} cargo test", found.tape);
    let text = found.to_string();
    assert!(text.contains(&seed) && text.contains(&tape), "{text}");
    assert!(text.contains("1 bytes arrive at #2: \"\\x00\""), "what led there is shown: {text}");
    if std::thread::current().name() != Some("main") {
        let name = "seeds_find_the_bug_and_say_how_to_see_it_again -- --exact";
        assert!(text.contains(name), "the command is for this test: {text}");
    }
}

#[test]
fn a_tape_replayed_is_the_same_failure() {
    let found = sim::try_seeds(0..100, hasty_under_faults).expect_err("it has a bug");
    let again = sim::replay(&found.tape, hasty_under_faults).expect_err("it is still there");
    assert_eq!((&again.what, &again.lines), (&found.what, &found.lines));
    assert_eq!(again.tape, found.tape);
}

#[test]
fn a_fuzzers_bytes_find_the_bug_and_end_in_a_tape() {
    // The largest byte takes an unusual way, and the next one says which: a segment of one byte.
    let result = std::panic::catch_unwind(|| {
        sim::bytes(&[255, 0], |sim| {
            sim.server(hasty()).client(client()).faults(Faults::none().with(Fault::Fragment, 1)).run();
        })
    });
    let payload = result.expect_err("it has a bug");
    let text = payload.downcast_ref::<String>().expect("a text");
    assert!(text.starts_with("index out of bounds") && text.contains("SWITCHBOARD_TAPE="), "{text}");
    sim::bytes(&[], |sim| {
        sim.server(careful()).client(client()).faults(Faults::swarm()).run();
    });
}

/// What this test prints with a variable set in its environment.
fn run_again(test: &str, variable: &str, value: &str) -> (bool, String) {
    let exe = std::env::current_exe().expect("the path of this program");
    let again = Command::new(exe).args([test, "--exact", "--nocapture"]).env(variable, value).output();
    let output = again.expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn every_engine_heeds_the_tape_that_it_prints() {
    for test in [
        "guide::clients_are_answered_under_faults_of_every_kind",
        "guide::clients_are_answered_under_any_two_faults",
        "guide::every_way_to_cut_one_message_is_explored",
    ] {
        let (passed, said) = run_again(test, "SWITCHBOARD_TAPE", "9999");
        assert!(!passed && said.contains("choice 0 of the tape is 9999"), "{test}: {said}");
    }
}

#[test]
fn a_seed_from_the_environment_is_the_only_one_that_runs() {
    let test = "guide::clients_are_answered_under_faults_of_every_kind";
    let (passed, said) = run_again(test, "SWITCHBOARD_SEED", &u64::MAX.to_string());
    assert!(passed && said.contains("1 runs"), "{said}");
    let (passed, said) = run_again(test, "SWITCHBOARD_SEED", "seven");
    assert!(!passed && said.contains("SWITCHBOARD_SEED is `seven`, not a number"), "{said}");
}
