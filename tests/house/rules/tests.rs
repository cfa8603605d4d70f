//! Sources that keep each rule, and sources that break it.

use super::*;

const MODULES: &[&str] = &[
    "src/lib.rs",
    "src/id.rs",
    "src/error.rs",
    "src/codec/mod.rs",
    "src/conn/mod.rs",
    "src/table/mod.rs",
    "src/handler.rs",
    "src/context.rs",
    "src/net/mod.rs",
    "src/net/os/mod.rs",
    "src/sim/mod.rs",
    "src/sim/network.rs",
    "src/sim/run.rs",
    "src/reactor/mod.rs",
    "src/select.rs",
];

/// What is wrong with `body` as the file at `path`, below a first line that is right.
fn wrongs(path: &str, body: &str) -> Vec<String> {
    let source = format!("//! A file.\n{body}");
    let mut files: Vec<_> = MODULES.iter().map(|module| (*module, "//! A file.\n")).collect();
    files.retain(|(module, _)| *module != path);
    files.push((path, &source));
    complaints(&files, &[]).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn allowed(path: &str, body: &str) {
    assert_eq!(wrongs(path, body), [""; 0], "{body}");
}

#[track_caller]
fn refused(path: &str, body: &str, complaint: &str) {
    let wrongs = wrongs(path, body);
    assert!(wrongs.len() == 1 && wrongs[0].contains(complaint), "{body}: {wrongs:?}");
}

#[test]
fn every_layer_rests_on_layers_listed_before_it() {
    for (at, layer) in LAYERS.iter().enumerate() {
        for name in layer.rests_on {
            assert!(LAYERS[..at].iter().any(|earlier| earlier.name == *name), "{} on {name}", layer.name);
        }
    }
}

#[test]
fn a_file_starts_with_its_doc() {
    for source in ["", "// A file.", "use std::fmt;\n//! A file.", "//!", "//! ", "/// A file."] {
        let complaints = complaints(&[("src/id.rs", source)], &[]);
        assert_eq!(complaints.len(), 1, "{source}");
        assert!(complaints[0].to_string().starts_with("src/id.rs:1: doc: "), "{}", complaints[0]);
    }
}

#[test]
fn a_file_has_500_lines_at_most() {
    allowed("src/id.rs", &"\n".repeat(499));
    refused("src/id.rs", &"\n".repeat(500), "src/id.rs:501: length: 501 lines, limit is 500");
}

#[test]
fn imports_run_down() {
    allowed("src/codec/mod.rs", "use crate::id::ConnId;");
    allowed("src/table/mod.rs", "use crate::{codec::Decoder, conn::Connection, id::ConnId};");
    allowed("src/context.rs", "use crate::handler::Handler; use crate::table::Table;");
    allowed("src/sim/network.rs", "use crate::net::Network; use super::network::Link;");
    allowed("src/sim/run.rs", "use super::network::Link; use crate::reactor::Reactor;");
    allowed("src/reactor/mod.rs", "use crate::net::os; use crate::context::Context;");
    allowed("src/lib.rs", "pub use reactor::Reactor; pub use sim::run; pub use select::select;");
}

#[test]
fn imports_do_not_run_up_or_across() {
    refused(
        "src/id.rs",
        "use crate::codec::Step;",
        "src/id.rs:2: layers: words names crate::codec::Step (codec)",
    );
    refused("src/codec/mod.rs", "\nuse crate::{id::A,\n conn::B};", "src/codec/mod.rs:4: layers");
    refused("src/codec/mod.rs", "fn f(a: &super::conn::A) {}", "crate::conn::A (conn) but rests on words");
    refused("src/conn/mod.rs", "fn f() { crate::table::find() }", "crate::table::find (table)");
    refused("src/table/mod.rs", "use crate::context::Context;", "(context)");
    refused("src/table/mod.rs", "use crate::net::Stream;", "(net)");
    refused("src/net/mod.rs", "use crate::codec::Step;", "(codec)");
    refused("src/sim/network.rs", "use super::run::Scenario;", "(sim/run)");
    refused("src/sim/network.rs", "use super::Scenario;", "(sim/run)");
    refused("src/reactor/mod.rs", "use crate::sim::network::Link;", "(sim/network)");
    refused("src/reactor/mod.rs", "use crate::select::select;", "(select)");
    refused("src/select.rs", "use crate::net::Network;", "(net)");
}

#[test]
fn the_facade_is_no_way_around_the_layers() {
    refused("src/id.rs", "use crate::Result;", "words names crate::Result, which no module has");
    refused("src/id.rs", "use crate::*;", "words names crate::*, which no module has");
    let files = [
        ("src/lib.rs", "//! A file.\npub use codec::{Step as S};"),
        ("src/id.rs", "//! A file.\nuse crate::S;"),
        ("src/codec/mod.rs", "//! A file."),
    ];
    let complaints = complaints(&files, &[]);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].message.contains("crate::codec::Step (codec)"), "{}", complaints[0]);
}

#[test]
fn a_module_without_a_layer_is_noticed() {
    refused("src/util.rs", "", "src/util.rs:1: layers: util is in no layer");
}

#[test]
fn only_the_operating_system_side_names_the_system() {
    let names = [
        "use mio::Poll;",
        "use ::socket2 as s;",
        "fn f() { rustix::net::send() }",
        "use std::net::{SocketAddr, TcpStream};",
        "use std::net; fn f() { net::UdpSocket::bind(x) }",
        "use std::net::*;",
        "use std::os::unix::net::{SocketAddr, UnixStream};",
        "fn f(a: impl std::net::ToSocketAddrs) {}",
    ];
    for body in names {
        refused("src/reactor/mod.rs", body, "src/reactor/mod.rs:2: system: names ");
        allowed("src/net/os/mod.rs", body);
        allowed("src/select.rs", body);
    }
    allowed("src/reactor/mod.rs", "use std::net::{IpAddr, SocketAddr}; use std::os::fd::AsFd;");
}

#[test]
fn only_the_operating_system_side_reads_a_clock() {
    for body in [
        "use std::time::{Duration, Instant}; fn f() { Instant::now() }",
        "fn f() { std::time::SystemTime::now() }",
        "use std::time; fn f() { time::Instant::now() }",
        "use std::time::*;",
    ] {
        refused("src/table/mod.rs", body, "src/table/mod.rs:2: clock: names std::time::");
        allowed("src/net/os/mod.rs", body);
    }
    allowed("src/table/mod.rs", "use std::time::Duration; use crate::id::Instant; fn f() { Instant::START }");
}

#[test]
fn the_core_starts_no_thread() {
    refused(
        "src/reactor/mod.rs",
        "use std::thread; fn f() { thread::spawn(g) }",
        "threads: names std::thread,",
    );
    refused("src/select.rs", "fn f() { std::thread::yield_now() }", "threads: ");
    allowed("src/net/os/mod.rs", "use std::thread;");
    allowed("src/reactor/mod.rs", "use std::sync::{Arc, Mutex};");
}

#[test]
fn no_table_of_the_core_has_random_order() {
    let import = "use std::collections::{HashMap, HashSet};\n";
    for body in [
        "struct S { a: HashMap<ConnId, Vec<(u8, u8)>> }",
        "struct S { a: HashSet<fn(u8, u8) -> u8> }",
        "fn f() { HashMap::new() }",
        "fn f() { HashSet::<u8>::with_capacity(1) }",
        "fn f() { std::hash::RandomState::new() }",
    ] {
        refused("src/context.rs", &format!("{import}{body}"), "src/context.rs:3: random: ");
    }
    allowed("src/context.rs", &format!("{import}struct S {{ a: HashMap<u8, Vec<(u8, u8)>, Fixed<u8>> }}"));
    allowed("src/context.rs", &format!("{import}fn f() {{ HashSet::with_hasher(Fixed) }}"));
}

#[test]
fn some_words_have_no_place() {
    refused("src/net/os/mod.rs", "fn f() { unsafe { g() } }", "words: uses `unsafe`");
    refused("src/id.rs", "async fn f() {}", "words: uses `async`");
    refused("src/id.rs", "fn f() {\n\n println!(\"a\") }", "src/id.rs:4: print: calls println!");
    allowed("src/lib.rs", "#![forbid(unsafe_code)] // no unsafe, no println!() here: \"async\"\n");
}

#[test]
fn tests_inside_a_file_may_do_as_they_like() {
    allowed("src/id.rs", "#[cfg(test)]\nmod tests {\n use crate::reactor::R; fn f() { println!(\"a\") } }");
}

#[test]
fn an_exception_covers_its_file_and_rule_only() {
    let exception = |file, rule| Exception { file, rule, why: "a test" };
    let files = [("src/id.rs", "//! A file.\nuse mio::Poll;")];
    let left = |exceptions: &[Exception]| -> Vec<Rule> {
        complaints(&files, exceptions).iter().map(|complaint| complaint.rule).collect()
    };
    assert_eq!(left(&[exception("src/id.rs", Rule::System)]), []);
    assert_eq!(left(&[exception("src/id.rs", Rule::Clock)]), [Rule::System, Rule::Exceptions]);
    assert_eq!(left(&[exception("src/error.rs", Rule::System)]), [Rule::System, Rule::Exceptions]);
}
