//! A loop that polls for a while before it sleeps: what it may change is how often it polls, and nothing else.

use std::time::{Duration, Instant};

use switchboard::codec::Raw;
use switchboard::{Config, Conn, Context, Frame, Handler, Peer, Reactor, Result};

use crate::server::Server;
use crate::turns::{Scribe, connect, hear, listening, say, turn_until_told};

const SPIN: Duration = Duration::from_millis(1);

fn spinning() -> Config {
    let mut config = Config::default();
    config.spin = Some(SPIN);
    config
}

#[test]
fn a_loop_that_spins_polls_more_than_once_in_a_turn_and_waits_no_less() {
    const WAIT: Duration = Duration::from_millis(5);
    let (mut reactor, _) = listening(Scribe::new(), spinning(), "127.0.0.1:0");
    reactor.turn(Some(Duration::ZERO)).expect("a turn succeeds");
    assert_eq!(reactor.stats().calls.poll, 1, "a turn that must not wait has nothing to spin for");
    for timeout in [WAIT, SPIN / 4] {
        let (polls, began) = (reactor.stats().calls.poll, Instant::now());
        reactor.turn(Some(timeout)).expect("a turn succeeds");
        assert!(began.elapsed() >= timeout, "{timeout:?} took {:?}", began.elapsed());
        assert!(reactor.stats().calls.poll > polls + 1, "{:?}", reactor.stats().calls);
    }
    assert_eq!(reactor.stats().turns, 3);
}

#[test]
fn a_loop_that_spins_serves_its_peers() {
    let (mut reactor, addr) = listening(Scribe::echo(), spinning(), "127.0.0.1:0");
    let clients = [connect(addr), connect(addr)];
    turn_until_told(&mut reactor, 2);
    for n in 1..=20 {
        for client in &clients {
            say(client, "hello");
        }
        turn_until_told(&mut reactor, 2 + 2 * n);
        for client in &clients {
            hear(client, "hello\n");
        }
    }
    assert_eq!(reactor.stats().frames, 40);
}

/// Notes when its alarms are due.
struct Alarms(Vec<(u64, Instant)>);

impl Handler for Alarms {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }

    fn alarm(&mut self, _: &mut Context, key: u64) {
        self.0.push((key, Instant::now()));
    }
}

// H1: a deadline within the spin, at its end, behind it, and one that is not a whole number of milliseconds.
#[test]
fn h1_a_timer_is_never_early_in_a_loop_that_spins() {
    let afters = [10_000, 300_000, 1_000_000, 1_000_001, 3_500_000].map(Duration::from_nanos);
    let mut reactor = Reactor::new(Alarms(Vec::new()), spinning()).expect("a reactor can be made");
    let began = Instant::now();
    reactor.with(|_, cx| {
        for (key, after) in (0..).zip(afters) {
            cx.set_alarm(after, key).expect("room for a timer");
        }
    });
    reactor.run().expect("returns when the last timer has fired");
    let fired = reactor.into_handler().0;
    assert_eq!(fired.iter().map(|&(key, _)| key).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for ((_, at), after) in fired.into_iter().zip(afters) {
        assert!(at - began >= after, "{after:?} after {:?}", at - began);
    }
}

#[test]
fn a_loop_that_spins_hears_its_handles() {
    let server = Server::start(spinning(), Scribe::echo);
    for n in 1..=20 {
        server.with(move |_, cx| assert_eq!(cx.stats().posts_run, n));
    }
    server.stop();
}
