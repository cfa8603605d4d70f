//! Builds the servers in C where that can be done, and says which libraries are in this build.
//!
//! It never fails for want of a C compiler or of libuv: the server's name then says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The crates whose servers are measured.
const CRATES: [&str; 8] =
    ["switchboard", "mio", "tokio", "tokio-util", "message-io", "calloop", "async-io", "async-executor"];

/// The programs below `c/`, and what each is linked with.
const PROGRAMS: [(&str, &[&str]); 4] =
    [("epoll", &[]), ("epoll_framed", &[]), ("epoll_broadcast", &[]), ("libuv", &["-luv"])];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=c");
    name_crates();
    build_programs();
}

/// Sets `LIBRARY_TOKIO_UTIL` to `tokio-util 0.7.20`, and so on.
fn name_crates() {
    let lock = manifest_dir().join("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let lock = fs::read_to_string(lock).unwrap_or_default();
    for name in CRATES {
        let library = match locked_version(&lock, name) {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        };
        set(&format!("LIBRARY_{}", name.to_uppercase().replace('-', "_")), &library);
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // `rustc 1.95.0 (59807616e 2026-04-14)`
    let version = first_line(Command::new(rustc).arg("--version"));
    set("LIBRARY_STD", &format!("std {}", version.split(' ').nth(1).unwrap_or_default()));
}

/// Which version of `name` this package uses, of which the workspace may have several.
fn locked_version(lock: &str, name: &str) -> Option<String> {
    let packages: Vec<&str> = lock.split("[[package]]").collect();
    let field = |package: &str, field: &str| {
        let value = package.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let own = packages.iter().find(|one| field(one, "name").as_deref() == Some("switchboard-bench"))?;
    // ` "mio 1.2.4",` where there are several versions of it, ` "mio",` where there is one.
    let mut dependencies = own.lines().map(|line| line.trim_matches([' ', '"', ',']));
    let dependency = dependencies.find(|one| one.split(' ').next() == Some(name))?;
    match dependency.split(' ').nth(1) {
        Some(version) => Some(version.to_owned()),
        None => packages
            .iter()
            .find(|one| field(one, "name").as_deref() == Some(name))
            .and_then(|one| field(one, "version")),
    }
}

/// Sets `SERVER_EPOLL` to the program built from `c/epoll.c`, and so on for those that can be built, and
/// `LIBRARY_C_EPOLL` and `LIBRARY_LIBUV` to what they are made with.
fn build_programs() {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // Which compiler, and how it builds a program for the target: not as part of a library (`pic`), and with no
    // register kept for the debugger (`debug`). It may turn out not to be there.
    let mut build = cc::Build::new();
    build.cargo_warnings(false).warnings(true).opt_level(3).pic(false).debug(false).flag("-g");
    let compiler = build.try_get_compiler().ok();
    let (mut epoll, mut libuv) = ("Linux epoll".to_owned(), "libuv".to_owned());
    for (name, libraries) in PROGRAMS {
        let Some(compiler) = &compiler else { continue };
        let program = out_dir.join(name);
        let source = Path::new("c").join(name).with_extension("c");
        let mut command = compiler.to_command();
        command.current_dir(manifest_dir()).arg("-o").arg(&program).arg(source).args(libraries);
        // What it says where it has no headers is nobody's business. `serve` says what to install.
        if !command.output().is_ok_and(|output| output.status.success()) {
            continue;
        }
        set(&format!("SERVER_{}", name.to_uppercase()), &program.display().to_string());
        if name == "libuv" {
            libuv = format!("libuv {}", first_line(Command::new(&program).arg("--version")));
        } else {
            let kind = if compiler.is_like_clang() { "clang" } else { "gcc" };
            let version = first_line(compiler.to_command().arg("-dumpfullversion"));
            epoll = format!("Linux epoll, {kind} {version}");
        }
    }
    set("LIBRARY_C_EPOLL", &epoll);
    set("LIBRARY_LIBUV", &libuv);
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default())
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={}", value.trim());
}

/// What a program prints first; nothing if it cannot be run.
fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}
