//! What a reading of the core found that only threads can show.

use std::sync::mpsc;
use std::thread;

use switchboard::codec::Raw;
use switchboard::{Config, Reactor, Result, each};

use crate::server::PATIENCE;

// I1: the last handle is dropped on another thread at the very moment the loop looks whether it may end.
#[test]
fn i1_the_last_handle_dropped_at_any_moment_ends_the_loop() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let nothing = each(Raw::new, |_, _| -> Result { Ok(()) });
        let mut reactor = Reactor::new(nothing, Config::default()).expect("a reactor can be made");
        let (hand_over, handed_over) = mpsc::channel();
        let dropping = thread::spawn(move || handed_over.iter().for_each(drop));
        for _ in 0..20_000 {
            hand_over.send(reactor.handle()).expect("the other thread drops it");
            reactor.run().expect("the loop ends in good order");
        }
        drop(hand_over);
        dropping.join().expect("dropped");
        tell.send(()).expect("the test waits for this");
    });
    told.recv_timeout(PATIENCE).expect("every loop ends");
}
