//! Races of the way in from other threads: closures posted to the loop.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use switchboard::codec::Raw;
use switchboard::{Config, Reactor, each};

use super::race::Race;

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race::new("closures posted to the loop and run, 100 at a time", "closure", 100, |n| {
            let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default()).expect("made");
            let handle = reactor.handle();
            Box::new(move || {
                let run = reactor.stats().posts_run + n as u64;
                for number in 0..n {
                    handle.post(move |_, _| _ = black_box(number)).expect("room");
                }
                while reactor.stats().posts_run < run {
                    reactor.turn(Some(Duration::ZERO)).expect("a turn in good order");
                }
            })
        })
        .against("mpsc and a wake-up each", |n| {
            let mut poll = Poll::new().expect("made");
            let waker = Waker::new(poll.registry(), Token(0)).expect("made");
            let mut events = Events::with_capacity(16);
            let (sender, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
            Box::new(move || {
                for number in 0..n {
                    sender.send(Box::new(move || _ = black_box(number))).expect("received below");
                    waker.wake().expect("woken");
                }
                poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
                for closure in receiver.try_iter() {
                    closure();
                }
            })
        }),
    ]
}
