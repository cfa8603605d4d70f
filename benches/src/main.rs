//! Counts, benchmarks and the soak of the reactor, in a package of its own so that the library's dependencies stay few.

mod compare;
mod count;
mod load;
mod process;
mod report;
#[path = "../../tests/sim/scenarios/mod.rs"]
mod scenarios;
mod search;
mod serve;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Counts, benchmarks and the soak of the switchboard reactor.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare servers side by side: a table, a page with plots, all results as JSON.
    Compare(compare::Args),
    /// Count instructions, system calls and memory per request and per connection, exactly and without a clock.
    Count(count::Args),
    /// Put a load on a TCP echo server, ours or not, and verify every byte that comes back.
    Load(load::Args),
    /// Serve one of the programs that are measured, until Ctrl-C.
    Serve(serve::Args),
    /// Run the scenarios of the simulation with new seeds, and print what breaks.
    Search(search::Args),
    /// Put the echo example under every kind of client for minutes, and see that nothing of it stays.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Compare(args) => match compare::run(&args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Count(args) => count::run(&args),
        Command::Load(args) => match load::run(&args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Serve(args) => serve::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Soak(args) => soak::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
