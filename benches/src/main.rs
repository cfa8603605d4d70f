//! Counts, benchmarks and the soak of the reactor, in a package of its own so that the library's dependencies stay few.

mod count;
mod load;
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
    /// Count instructions and system calls per request and per connection: exact, no clock.
    Count(count::Args),
    /// Serve one of the programs that are counted, until standard input ends.
    Serve(serve::Args),
    /// Put the echo example under every kind of client for minutes, and see that nothing of it stays.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Count(args) => count::run(&args),
        Command::Serve(args) => serve::run(&args),
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
