//! Holds the house to its rules: which file may import which, who may name the system, and a few more.
//!
//! The rules are the tables below. A rule that has to give way does so in [`EXCEPTIONS`], with a reason.
//! The rules are tested too, on sources that break them, beside the code that checks them.

mod catalogue;
mod design;
mod lex;
mod names;
mod rules;

use std::fs;
use std::path::Path;

use rules::{Ban, Exception, Layer, Rule};

/// The layers of `src/`, each below those that come after it. Modules of one layer may import each other, and
/// everything that the layer rests on, directly or through others. The facade, `lib.rs`, is above them all.
const LAYERS: &[Layer] = &[
    Layer {
        name: "words",
        modules: &[
            "id",
            "readiness",
            "instant",
            "addr",
            "backoff",
            "bind",
            "connect",
            "config",
            "listen",
            "error",
            "options",
            "socket",
            "source",
            "stats",
            "wrong",
        ],
        rests_on: &[],
    },
    Layer { name: "codec", modules: &["codec"], rests_on: &["words"] },
    Layer { name: "conn", modules: &["conn"], rests_on: &["codec"] },
    Layer { name: "table", modules: &["table"], rests_on: &["conn"] },
    Layer { name: "context", modules: &["handler", "context"], rests_on: &["table"] },
    Layer { name: "net", modules: &["net"], rests_on: &["words"] },
    Layer { name: "reactor", modules: &["reactor"], rests_on: &["context", "net"] },
    Layer {
        name: "sim/network",
        modules: &["sim::network", "sim::tape", "sim::trace", "sim::faults", "sim::errno"],
        rests_on: &["net"],
    },
    Layer { name: "sim/run", modules: &["sim"], rests_on: &["reactor", "sim/network"] },
    Layer { name: "signals", modules: &["signals"], rests_on: &["reactor"] },
    Layer { name: "select", modules: &["select"], rests_on: &["words"] },
];

/// What only some modules may name. The core gets sockets, readiness, time and randomness handed in.
const BANS: &[Ban] = &[
    Ban {
        rule: Rule::System,
        paths: &[
            "libc",
            "mio",
            "rustix",
            "signal_hook",
            "socket2",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::ToSocketAddrs",
            "std::net::UdpSocket",
            "std::os::unix::net::UnixDatagram",
            "std::os::unix::net::UnixListener",
            "std::os::unix::net::UnixStream",
        ],
        only_in: &["net::os", "select"],
    },
    Ban {
        rule: Rule::Clock,
        paths: &["std::time::Instant", "std::time::SystemTime", "std::time::UNIX_EPOCH"],
        only_in: &["net::os", "select"],
    },
    Ban { rule: Rule::Threads, paths: &["std::thread"], only_in: &["net::os", "sim::search"] },
    Ban {
        rule: Rule::Random,
        paths: &["std::collections::hash_map::RandomState", "std::hash::RandomState"],
        only_in: &["net::os", "select"],
    },
];

/// How long a file may be: past that, look for the missing type.
const LINES_MAX: usize = 500;

/// Where a rule gives way, and why. One that no file needs any more is complained about.
const EXCEPTIONS: &[Exception] = &[Exception {
    file: "src/select/selector.rs",
    rule: Rule::Random,
    why: "a leaf beside the reactor, keyed by descriptors and never iterated for a result",
}];

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![String::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder of src/ can be listed") {
            let entry = entry.expect("an entry of src/ can be read");
            let path = format!("{folder}/{}", entry.file_name().to_str().expect("paths in src/ are UTF-8"));
            if entry.path().is_dir() {
                folders.push(path);
            } else if entry.path().extension() == Some("rs".as_ref()) {
                let source = fs::read_to_string(entry.path()).expect("sources are UTF-8");
                files.push((path, source));
            }
        }
    }
    files.sort();
    let files: Vec<_> = files.iter().map(|(path, source)| (path.as_str(), source.as_str())).collect();
    assert!(files.iter().any(|(path, _)| *path == "src/lib.rs"), "no src/lib.rs in {}", root.display());

    let complaints: Vec<_> = rules::complaints(&files, EXCEPTIONS).iter().map(ToString::to_string).collect();
    let list = complaints.join("\n  ");
    assert!(
        complaints.is_empty(),
        "{} breaches of the rules in tests/house/main.rs:\n  {list}",
        complaints.len()
    );
}
