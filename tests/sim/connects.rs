//! Connecting in the simulated network: several addresses, names, our own addresses, and coming back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::codec::{Lines, Raw};
use switchboard::sim::{self, Fault, Faults, Report, Scenario, Script, Sim};
use switchboard::{
    Addr, Backoff, Close, CloseReason, Config, Conn, ConnId, Connect, Context, Frame, Handler, Instant, Peer,
    Result, each,
};

const MS: Duration = Duration::from_millis(1);

/// An address of the host that is added first, or of nobody.
const fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port)
}

/// Where the acceptor is.
const THERE: SocketAddr = at(2, 80);
const SILENT: [SocketAddr; 3] = [at(100, 80), at(101, 80), at(102, 80)];
const UNREACHABLE: SocketAddr = at(110, 80);
const REFUSING: SocketAddr = at(2, 81);

/// Notes what came of its connects, and when.
#[derive(Default)]
struct Caller {
    opened: Vec<(Duration, Addr, Addr)>,
    failed: Vec<(Duration, String)>,
    last: Option<ConnId>,
}

fn time(cx: &Context) -> Duration {
    cx.now().since(Instant::START)
}

impl Handler for Caller {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        let local = peer.local_addr().unwrap_or(Addr::Unnamed);
        self.opened.push((time(cx), peer.addr.clone(), local));
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        self.failed.push((time(cx), why.to_string()));
    }
}

impl Caller {
    fn connect(&mut self, cx: &mut Context, connect: Connect) {
        self.last = cx.connect(connect, 0).ok();
    }
}

fn scenario(sim: Sim) -> Scenario<Caller> {
    let mut scenario = sim.server(Caller::default()).acceptor(80, Script::new).unreachable(UNREACHABLE);
    for silent in SILENT {
        scenario = scenario.black_hole(silent);
    }
    scenario
}

fn call(connect: Connect) -> Report<Caller> {
    scenario(Sim::new(1)).at(Duration::ZERO, |caller, cx| caller.connect(cx, connect)).run()
}

fn any(addrs: &[SocketAddr]) -> Connect {
    Connect::to_any(addrs.iter().copied()).expect("some, and not too many")
}

fn name(text: &str) -> Connect {
    text.parse().expect("a name and a port")
}

// D5: each address has a quarter of a second before the next is tried; who answers first is it.
#[test]
fn d5_addresses_are_tried_in_turn_after_the_stagger() {
    for (before, stagger) in [(0, 250), (1, 250), (3, 250), (3, 100)].map(|(before, ms)| (before, ms * MS)) {
        let mut addrs = SILENT.to_vec();
        addrs.truncate(before);
        addrs.push(THERE);
        let report = call(any(&addrs).stagger(stagger));
        let waited: Duration = std::iter::repeat_n(stagger, before).sum();
        let Caller { opened, failed, .. } = &report.handler;
        assert!(failed.is_empty(), "{failed:?}");
        let [(when, peer, _)] = &opened[..] else { panic!("{opened:?}") };
        assert_eq!(peer, &Addr::from(THERE));
        assert!(*when >= waited && *when < waited + 50 * MS, "{when:?} behind {before} that are silent");
        assert_eq!(report.stats.calls.register, before as u64 + 1);
    }
}

// D6, D4: an address that fails, at once or with an answer, makes way for the next without a wait.
#[test]
fn d6_an_address_that_fails_makes_way_at_once() {
    let report = call(any(&[UNREACHABLE, REFUSING, THERE]).stagger(2000 * MS));
    let [(when, _, _)] = report.handler.opened[..] else { panic!("{:?}", report.handler.failed) };
    assert!(when < 100 * MS, "{when:?}");
}

// D6: of all failures the one that says most is told, with its address and how many there were.
#[test]
fn d6_a_connect_that_fails_everywhere_says_where_and_why() {
    let report = call(any(&[REFUSING, UNREACHABLE]));
    assert_eq!(
        report.handler.failed[0].1,
        format!("socket error: {REFUSING}: ECONNREFUSED: connection refused (2 addresses were tried)")
    );
    let report = call(any(&[UNREACHABLE]));
    assert_eq!(
        report.handler.failed[0].1,
        format!("socket error: {UNREACHABLE}: EHOSTUNREACH: no route to host")
    );
}

// D5: the time-out is that of all addresses together.
#[test]
fn d5_several_addresses_have_one_timeout() {
    let report = call(any(&SILENT).timeout(1000 * MS));
    let [(when, why)] = &report.handler.failed[..] else { panic!("{:?}", report.handler.opened) };
    assert!(*when >= 1000 * MS && *when < 1050 * MS, "{when:?}");
    assert_eq!(why, "timed out waiting for the connect");
    assert_eq!((report.stats.calls.register, report.stats.calls.close), (3, 3));
}

// D11: closed at any moment of the race, from its first attempt to after its last.
#[test]
fn d11_a_race_can_be_closed_at_any_moment() {
    for moment in 1..80 {
        let connect = any(&[SILENT[0], REFUSING, SILENT[1], THERE]).stagger(20 * MS);
        let report = scenario(Sim::new(1))
            .at(Duration::ZERO, |caller, cx| caller.connect(cx, connect))
            .at(moment * MS, |caller, cx| cx.close(caller.last.expect("begun"), Close::Abort))
            .run();
        assert_eq!(report.handler.opened.len() + report.handler.failed.len(), 1, "at {moment} ms");
    }
}

// D7, C7: attempts side by side take descriptors; at the limit of connections there are none, and yet the last is tried.
#[test]
fn d7_at_the_limit_of_connections_addresses_are_tried_one_by_one() {
    let mut config = Config::default();
    config.connections_max = Some(1);
    let report = scenario(Sim::new(1))
        .config(config)
        .at(Duration::ZERO, |caller, cx| caller.connect(cx, any(&[SILENT[0], THERE])))
        .run();
    assert_eq!(report.handler.failed[0].1, "timed out waiting for the connect");
    assert_eq!(report.stats.calls.register, 1);
    let report = call(any(&[REFUSING, THERE]));
    assert_eq!(report.handler.opened.len(), 1);
}

// C1, D7: attempts side by side count where connections are taken in, so that descriptors do not run out.
#[test]
fn d7_attempts_side_by_side_leave_descriptors_for_who_comes() {
    let mut scenario = scenario(Sim::new(1)).descriptors(48);
    for _ in 0..40 {
        scenario = scenario.client_at(1000 * MS, Script::new().wait(20_000 * MS));
    }
    let report = scenario
        .at(Duration::ZERO, |caller, cx| {
            for _ in 0..12 {
                caller.connect(cx, any(&SILENT));
            }
        })
        .run();
    assert_eq!((report.stats.calls.register >= 36, report.handler.failed.len()), (true, 12));
    assert_eq!((report.stats.accepted, report.stats.accept_pauses), (40, 0));
}

// D7: each address of ours has ports of its own; and one that is not ours has none.
#[test]
fn d7_from_several_addresses_of_ours_there_are_more_ports() {
    let ours: [IpAddr; 3] = [10, 11, 12].map(|last| at(last, 0).ip());
    let mut scenario = scenario(Sim::new(1)).ports(40_000, 40_003);
    for ip in ours {
        scenario = scenario.address(ip);
    }
    let report = scenario
        .at(Duration::ZERO, move |caller, cx| {
            for ip in ours.into_iter().chain([at(1, 0).ip(), at(99, 0).ip()]) {
                for _ in 0..5 {
                    caller.connect(cx, Connect::to(THERE).local((ip, 0)));
                }
            }
        })
        .run();
    let mut from = BTreeMap::new();
    for (_, _, local) in &report.handler.opened {
        *from.entry(local.ip()).or_insert(0) += 1;
    }
    assert_eq!(from.into_values().collect::<Vec<_>>(), [4; 4]);
    let said = |text: &str| report.handler.failed.iter().filter(|(_, why)| why.contains(text)).count();
    assert_eq!((report.handler.failed.len(), said("EADDRINUSE"), said("10.0.0.99 is not ours")), (9, 4, 5));
}

// D10: what is sent, and the end of our side, while addresses are tried and a name is looked up, reach the one that
// answers.
#[test]
fn d10_what_is_sent_before_the_race_is_over_reaches_the_winner() {
    for connect in [any(&[SILENT[0], REFUSING, THERE]), name("three.example:80")] {
        let report = Sim::new(1)
            .server(Caller::default())
            .acceptor(80, || Script::new().expect("early\n").expect_end())
            .black_hole(SILENT[0])
            .name("three.example", [SILENT[0].ip(), THERE.ip()], 5 * MS)
            .at(Duration::ZERO, |caller, cx| {
                caller.connect(cx, connect);
                let id = caller.last.expect("begun");
                assert!(cx.send_to(id, b"early\n").is_queued());
                cx.finish(id);
            })
            .run();
        assert_eq!((report.clients.len(), report.clients[0].done), (1, true));
    }
}

// Another reactor, which does not move the world on by itself, is told of its answers, too.
#[test]
fn a_reactor_beside_the_server_connects_by_name() {
    let report = Sim::new(1)
        .server(each(Lines::new, |cx, line| {
            cx.send(line);
            cx.send(b"\n");
            Ok(())
        }))
        .name("server.example", [SILENT[0].ip(), sim::SERVER.ip()], 5 * MS)
        .black_hole(SocketAddr::new(SILENT[0].ip(), sim::SERVER.port()))
        .reactor(Caller::default(), Config::default(), |caller, cx| {
            caller.connect(cx, Connect::name("server.example", sim::SERVER.port()).expect("a name"));
            let id = caller.last.expect("begun");
            cx.send_to(id, b"hello\n");
            cx.finish(id);
        })
        .run();
    assert_eq!((report.stats.accepted, report.stats.frames), (1, 1));
}

// D8: from an address of ours to itself.
#[test]
fn d8_a_connect_from_an_address_to_itself_is_refused() {
    let itself = at(1, 9000);
    let report = call(Connect::to(itself).local(itself));
    assert_eq!(report.handler.failed[0].1, "socket error: connected to itself");
    assert_eq!(call(any(&[itself, THERE]).local(itself)).handler.opened.len(), 1);
}

/// Looks at the time all along.
const TICKS: Duration = Duration::from_millis(10);

// D14: while a name is looked up, for however long, the loop goes on; the addresses are tried as any others.
#[test]
fn d14_the_loop_goes_on_while_a_name_is_looked_up() {
    struct Ticking {
        caller: Caller,
        late: Duration,
        due: Instant,
    }
    impl Handler for Ticking {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
            self.caller.opened(cx, peer)
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn alarm(&mut self, cx: &mut Context, _: u64) {
            self.late = self.late.max(cx.now().since(self.due));
            if self.caller.opened.is_empty() {
                self.due = cx.now() + TICKS;
                cx.set_alarm(TICKS, 0).expect("room");
            }
        }
    }
    let handler = Ticking { caller: Caller::default(), late: Duration::ZERO, due: Instant::NEVER };
    let report = Sim::new(1)
        .server(handler)
        .acceptor(80, Script::new)
        .black_hole(SILENT[0])
        .name("two.example", [SILENT[0].ip(), THERE.ip()], 3000 * MS)
        .at(Duration::ZERO, |ticking, cx| {
            ticking.caller.connect(cx, name("two.example:80"));
            ticking.alarm(cx, 0);
        })
        .run();
    let [(when, peer, _)] = &report.handler.caller.opened[..] else { panic!("it is opened once") };
    assert!(*when >= 3250 * MS && *when < 3350 * MS, "{when:?}");
    assert_eq!(peer, &Addr::from(THERE));
    assert!(report.handler.late < 5 * MS, "{:?}", report.handler.late);
    assert!(report.stats.timers_fired > 300);
}

// D14: a name that there is not, one without addresses, one whose answer never comes, and one name too many.
#[test]
fn d14_a_name_that_leads_nowhere_fails_with_the_name() {
    let mut config = Config::default();
    config.lookups_max = 3;
    let report = scenario(Sim::new(1))
        .config(config)
        .name("empty.example", [], Duration::ZERO)
        .name("lost.example", [THERE.ip()], Duration::MAX)
        .at(Duration::ZERO, |caller, cx| {
            for host in ["no.example", "empty.example", "lost.example", "fourth.example"] {
                caller.connect(cx, Connect::name(host, 80).expect("a name"));
            }
            // No name is looked up for this one.
            caller.connect(cx, Connect::name("10.0.0.2", 80).expect("an address"));
        })
        .at(Duration::from_secs(20), |caller, cx| caller.connect(cx, name("refuse.example:81")))
        .name("refuse.example", [THERE.ip()], Duration::ZERO)
        .run();
    let mut failed: Vec<_> = report.handler.failed.iter().map(|(_, why)| why.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(
        failed,
        [
            "socket error: empty.example cannot be looked up: it has no address",
            "socket error: fourth.example: lookup beyond the limit of 3 (lookups_max)",
            "socket error: no.example cannot be looked up: no such name",
            "socket error: refuse.example: 10.0.0.2:81: ECONNREFUSED: connection refused",
            "timed out waiting for the name to be looked up",
        ]
    );
    assert_eq!(report.handler.opened.len(), 1);
}

// D14: whatever becomes of a lookup, there is one outcome, within the time of the connect.
#[test]
fn d14_a_lookup_that_fails_in_any_way_is_one_failure_in_time() {
    let explored = sim::deviations(2, 1000, |sim| {
        let report = scenario(sim)
            .name("one.example", [THERE.ip()], 5 * MS)
            .faults(Faults::none().with(Fault::Unresolved, 1))
            .at(Duration::ZERO, |caller, cx| {
                caller.connect(cx, name("one.example:80"));
                caller.connect(cx, name("one.example:80").timeout(2000 * MS));
            })
            .run();
        let Caller { opened, failed, .. } = report.handler;
        assert_eq!(opened.len() + failed.len(), 2);
        for (when, why) in failed {
            assert!(when <= Config::default().connect_timeout + 5 * MS, "{when:?}");
            assert!(
                why.contains("the servers do not know") || why.contains("the name to be looked up"),
                "{why}"
            );
        }
    });
    assert!(explored.complete && explored.runs == 16, "{explored:?}");
}

// D11: closed while and after its name is looked up; its slot is somebody else's by the time of the answer.
#[test]
fn d11_a_connect_by_name_can_be_closed_at_any_moment() {
    for moment in 1..60 {
        let report = scenario(Sim::new(1))
            .name("one.example", [SILENT[0].ip(), THERE.ip()], 20 * MS)
            .at(Duration::ZERO, |caller, cx| caller.connect(cx, name("one.example:80").stagger(20 * MS)))
            .at(moment * MS, |caller, cx| {
                cx.close(caller.last.expect("begun"), Close::Flush);
                caller.connect(cx, name("one.example:80").stagger(20 * MS));
            })
            .run();
        assert_eq!(report.handler.opened.len() + report.handler.failed.len(), 2, "at {moment} ms");
    }
}

// Whatever goes wrong, each connect has one outcome, and nothing is left over: the run checks that.
#[test]
fn connects_of_every_kind_have_one_outcome_under_every_fault() {
    sim::seeds(150, |sim| {
        let choices = sim.choices();
        let report = scenario(sim)
            .name("one.example", [SILENT[0].ip(), UNREACHABLE.ip(), THERE.ip()], 7 * MS)
            .address(at(10, 0).ip())
            .faults(Faults::swarm().with(Fault::Unresolved, 200))
            .at(Duration::ZERO, move |caller, cx| {
                for _ in 0..6 {
                    let connect = match choices.choose("how to connect", 5) {
                        0 => Connect::to(THERE),
                        1 => any(&[SILENT[0], UNREACHABLE, THERE]),
                        2 => name("one.example:80"),
                        3 => any(&[REFUSING, THERE, SILENT[1]]).local((at(10, 0).ip(), 0)),
                        _ => name("no.example:80"),
                    };
                    let stagger = [10, 50, 250][choices.choose("stagger", 3)];
                    caller.connect(cx, connect.stagger(stagger * MS));
                }
            })
            .run();
        assert_eq!(report.handler.opened.len() + report.handler.failed.len(), 6);
    });
}

// Each way of failing of each attempt of a race, and any two of them.
#[test]
fn a_race_survives_any_two_failures() {
    let explored = sim::deviations(2, 100_000, |sim| {
        let report = scenario(sim)
            .faults(Faults::none().with(Fault::ConnectFails, 1).with(Fault::Unregistered, 1))
            .at(Duration::ZERO, |caller, cx| caller.connect(cx, any(&[THERE, at(2, 80), at(10, 80)])))
            .run();
        assert_eq!(report.handler.opened.len() + report.handler.failed.len(), 1);
    });
    assert!(explored.complete && explored.runs > 20, "{explored:?}");
}

/// Many clients of one server that come back when they lose it.
struct Clients {
    backoffs: Vec<Backoff>,
    /// Attempts in each tenth of a second.
    attempts: BTreeMap<u128, usize>,
    opened: usize,
}

impl Clients {
    fn connect(&mut self, cx: &mut Context, key: u64) {
        *self.attempts.entry(time(cx).as_millis() / 100).or_insert(0) += 1;
        cx.connect(THERE, key).expect("room");
    }

    fn again(&mut self, cx: &mut Context, key: u64) {
        if let Some(after) = self.backoffs[usize::try_from(key).expect("small")].next() {
            cx.set_alarm(after, key).expect("room");
        }
    }
}

impl Handler for Clients {
    type Codec = Lines;
    type Session = u64;

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, u64)> {
        self.opened += 1;
        Some((Lines::new(), peer.key))
    }

    fn received(&mut self, _: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        self.backoffs[usize::try_from(*conn.session).expect("small")].reset();
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.connect(cx, key);
    }

    fn closed(&mut self, cx: &mut Context, key: u64, _: &CloseReason) {
        self.again(cx, key);
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, _: &CloseReason) {
        self.again(cx, key);
    }
}

/// So many of them, which begin at once and give up after so many attempts.
fn clients(count: u64, attempts: u32) -> Scenario<Clients> {
    let backoffs = (0..count).map(|seed| Backoff::new(seed).attempts_max(attempts)).collect();
    let clients = Clients { backoffs, attempts: BTreeMap::new(), opened: 0 };
    let mut config = Config::default();
    config.connections_max = Some(2000);
    let begin = move |clients: &mut Clients, cx: &mut Context| {
        for key in 0..count {
            clients.connect(cx, key);
        }
    };
    let scenario = Sim::new(1).server(clients).config(config).descriptors(3000).at(Duration::ZERO, begin);
    // A run ends when there is nothing but alarms.
    scenario.at(Duration::from_secs(200), |_, _| {})
}

// D15: the server is down, and a thousand clients find out in the same moment. None of them come back together.
#[test]
fn d15_a_thousand_clients_of_a_server_that_is_down_spread_out() {
    let report = clients(1000, 8).run();
    assert_eq!(report.stats.connects_failed, 9 * 1000);
    let mut attempts = report.handler.attempts;
    assert_eq!(attempts.remove(&0), Some(1000), "all at once, once");
    assert_eq!(attempts.values().sum::<usize>(), 8000);
    // The first time they have half a second for it.
    let most = *attempts.values().max().expect("some");
    assert!(most <= 300, "{most} in a tenth of a second");
    // From the 20th second on they are a trickle.
    let late = attempts.range(200..).map(|(_, &count)| count).max().unwrap_or(0);
    assert!(late <= 30, "{late} in a tenth of a second, late");
}

// D15: a server that accepts and closes is no better than none: what resets a backoff is a frame.
#[test]
fn d15_a_server_that_accepts_and_closes_at_once_is_left_alone_too() {
    let report = clients(1000, 6).acceptor(80, || Script::new().shutdown()).run();
    assert_eq!(report.handler.opened, 7 * 1000);
    let mut attempts = report.handler.attempts;
    attempts.remove(&0);
    let most = *attempts.values().max().expect("some");
    assert!(most <= 300, "{most} in a tenth of a second");
}

// D15: who was served begins anew, with a short delay.
#[test]
fn d15_a_frame_makes_the_next_delay_short_again() {
    let report = clients(20, 3)
        .acceptor(80, || Script::new().send("hello\n").shutdown())
        .at(Duration::from_secs(20), |clients, _| {
            for backoff in &mut clients.backoffs {
                *backoff = backoff.clone().attempts_max(0);
            }
        })
        .run();
    // Between 0.5 and 1 s each time, in 20 s: without a frame three attempts would have been all.
    let opened = report.handler.opened;
    assert!((20 * 20..=20 * 40).contains(&opened), "{opened}");
}
