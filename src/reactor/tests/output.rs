//! Output: to whom it goes, when the program is told to send more, what it counts as.

use std::time::Duration;

use bytes::Bytes;

use super::{Bench, Told, line};
use crate::config::Config;
use crate::context::Sent;
use crate::readiness::Readiness;

const WRITABLE: Readiness = Readiness::WRITABLE;

#[test]
fn what_is_sent_outside_of_a_connection_reaches_no_connection() {
    let mut bench = Bench::new(Config::default(), |cx, _, told| {
        if matches!(told, Told::Alarm(_)) {
            assert_eq!(cx.send(b"to nobody"), Sent::Closed);
        } else if *told == line("alarm") {
            cx.set_alarm(Duration::ZERO, 1).expect("there is room");
        }
        Ok(())
    });
    let client = bench.accept();
    bench.receive(&client, b"alarm\n");
    assert_eq!(bench.reactor.with(|_, cx| cx.send(b"to nobody")), Sent::Closed);
    bench.receive(&client, b"next\n");
    assert_eq!(bench.told(), [line("alarm"), Told::Alarm(1), line("next")]);
    assert_eq!(client.1.sent(), b"");
}

#[test]
fn over_high_is_followed_by_writable_also_when_the_kernel_takes_all_at_once() {
    let mut bench = Bench::quiet(Config::default());
    let client = bench.accept();
    let message = vec![7; 70_000];
    assert_eq!(bench.reactor.with(|_, cx| cx.send_to(client.0, &message)), Sent::OverHigh);
    bench.settle();
    assert_eq!(client.1.sent(), message);
    assert_eq!(bench.told(), [Told::Writable]);
}

#[test]
fn over_high_of_a_blocked_connection_is_followed_by_writable() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.accept();
    sock.sends(Ok(1000));
    assert_eq!(bench.reactor.with(|_, cx| cx.send_to(id, &vec![1; 50_000])), Sent::Accepted);
    bench.settle();
    assert_eq!(bench.reactor.with(|_, cx| cx.send_to(id, &vec![2; 20_000])), Sent::OverHigh);
    bench.settle();
    bench.event(id, WRITABLE);
    assert_eq!(sock.sent().len(), 70_000);
    assert_eq!(bench.told(), [Told::Writable]);
}

#[test]
fn a_connection_is_watched_for_output_from_when_it_is_first_blocked() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.accept();
    let send = |bench: &mut Bench| {
        assert_eq!(bench.reactor.with(|_, cx| cx.send_to(id, b"hello")), Sent::Accepted);
        bench.settle();
        bench.reactor.stats().calls.register
    };
    assert_eq!(send(&mut bench), 1, "taken whole");
    for answer in [Ok(2), Err(std::io::ErrorKind::WouldBlock), Ok(2)] {
        sock.sends(answer);
        assert_eq!(send(&mut bench), 2);
        bench.event(id, WRITABLE);
    }
    assert_eq!(sock.sent(), b"hello".repeat(4));
}

#[test]
fn a_callback_that_sends_over_high_itself_is_told_writable_and_reading_goes_on() {
    let mut bench = Bench::new(Config::default(), |cx, _, told| {
        if *told == line("big") {
            assert_eq!(cx.send(&vec![7; 70_000]), Sent::OverHigh);
        }
        Ok(())
    });
    let client = bench.accept();
    bench.receive(&client, b"big\nnext\n");
    assert_eq!(bench.told(), [line("big"), line("next"), Told::Writable]);
    bench.receive(&client, b"last\n");
    assert_eq!(bench.told(), [line("last")]);
}

// E11: what goes by reference stops the batch as what is copied does.
#[test]
fn e11_pipelined_requests_with_large_shared_answers_are_all_answered() {
    let answer = Bytes::from(vec![7; 100_000]);
    let mut bench = Bench::new(Config::default(), move |cx, _, told| {
        if matches!(told, Told::Line(_)) {
            assert!(cx.send_bytes(answer.clone()).is_queued(), "an honest client is served");
        }
        Ok(())
    });
    let client = bench.accept();
    bench.receive(&client, &b"x\n".repeat(100));
    assert_eq!(client.1.sent().len(), 100 * 100_000);
}

#[test]
fn output_alone_keeps_a_connection_from_being_idle() {
    let config = Config { idle_timeout: Some(Duration::from_millis(100)), ..Config::default() };
    let mut bench = Bench::new(config, |cx, id, told| {
        if matches!(told, Told::Opened | Told::Timer(_)) {
            cx.send(b"tick\n");
            cx.set_timer(id, Duration::from_millis(60), 0).expect("there is room");
        }
        Ok(())
    });
    bench.accept();
    for _ in 0..10 {
        bench.pass(Duration::from_millis(60));
    }
    assert_eq!(bench.told(), vec![Told::Timer(0); 10]);
}

// What goes by reference is in the queue at once, and not among what a batch leaves behind.
#[test]
fn what_writable_sends_by_reference_leaves_without_an_event() {
    let mut chunks = 3;
    let mut bench = Bench::new(Config::default(), move |cx, _, told| {
        if matches!(told, Told::Opened | Told::Writable) && chunks > 0 {
            chunks -= 1;
            assert_eq!(cx.send_bytes(Bytes::from(vec![7; 100_000])), Sent::OverHigh);
        }
        Ok(())
    });
    let (_, sock) = bench.accept();
    assert_eq!(sock.sent().len(), 300_000);
    assert_eq!(bench.told(), vec![Told::Writable; 3]);
}
