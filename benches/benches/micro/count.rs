//! Counts: instructions in user space, by callgrind.
//!
//! It knows valgrind; it reads no clock. This program runs itself under callgrind, which writes out what it has counted
//! since the last time, wherever [`callgrind_writes_here`] is called: before each contender and behind it.

use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Race, as_f64, print};

/// Counts everything and prints it as a table.
pub(crate) fn run(races: &[Race], wanted: &str) -> io::Result<()> {
    let directory = std::env::temp_dir().join(format!("switchboard-micro-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let counts = run_under_callgrind(&directory, wanted);
    fs::remove_dir_all(&directory)?;
    let mut counts = counts?.into_iter();
    println!("\n| what | who | instructions | times ours |\n|---|---|---|---|");
    for race in races {
        let mut figures = Vec::new();
        for _ in &race.contenders {
            let count = counts.next().ok_or_else(|| io::Error::other("callgrind has counted too few"))?;
            figures.push((count / as_f64(race.items), String::new()));
        }
        print(race, &figures);
    }
    Ok(())
}

fn run_under_callgrind(directory: &Path, wanted: &str) -> io::Result<Vec<f64>> {
    let out = directory.join("out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*callgrind_writes_here*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["counted", wanted])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| {
            io::Error::other(format!("valgrind is needed to count (apt-get install valgrind): {error}"))
        })?;
    if !status.success() {
        return Err(io::Error::other(format!("what was counted ended with {status}")));
    }
    let mut counts = Vec::new();
    // Numbered from one. The odd ones are of what came before a contender.
    while let Ok(text) = fs::read_to_string(directory.join(format!("out.{}", 2 * counts.len() + 2))) {
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        let total = total.ok_or_else(|| io::Error::other("callgrind wrote no total"))?;
        counts.push(as_f64(total.try_into().map_err(io::Error::other)?));
    }
    Ok(counts)
}

/// Runs each contender until everything has its size, then once in sight of callgrind.
pub(crate) fn run_counted(races: &[Race]) {
    for race in races {
        for contender in &race.contenders {
            let mut run = (contender.start)(race.items);
            run();
            callgrind_writes_here(contender.name);
            run();
            callgrind_writes_here(contender.name);
        }
    }
}

#[inline(never)]
fn callgrind_writes_here(name: &str) {
    black_box(name);
}
