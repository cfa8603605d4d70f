//! What a figure was measured on, as far as the system tells.
//!
//! It reads `/proc` and `/sys`; what is not there is left out. It does not know what is measured.

use std::fs;
use std::process::{Command, Stdio};

use rustix::thread::{CpuSet, sched_getaffinity};
use serde::{Deserialize, Serialize};

/// The machine, and what it did at the start.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// The kernel and its version.
    pub(crate) kernel: String,
    /// What the processor calls itself.
    pub(crate) processor: String,
    /// How many processors this process may use.
    pub(crate) cores: usize,
    /// Whether it runs under a hypervisor.
    pub(crate) is_virtual: bool,
    /// How the clock rate is chosen, where the system says.
    pub(crate) governor: Option<String>,
    /// Memory in bytes.
    pub(crate) memory: Option<u64>,
    /// What else kept processors busy in the minute before, in processors.
    pub(crate) load_before: Option<f64>,
    /// The version of this workspace in git, where there is one.
    pub(crate) commit: Option<String>,
    /// How this program was compiled.
    pub(crate) build: String,
}

/// What `build` is for figures that mean something.
const OPTIMIZED: &str = "optimized";

impl Machine {
    /// Describes the one this runs on.
    pub(crate) fn here() -> Machine {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processor = field("model name").or_else(|| field("Processor")).or_else(|| field("cpu"));
        Machine {
            kernel: format!("Linux {}", release.trim()).trim().to_owned(),
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: cores().len(),
            is_virtual: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .map(|text| text.trim().to_owned()),
            memory: read("/proc/meminfo").as_deref().and_then(memory),
            load_before: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            commit: commit(),
            build: (if cfg!(debug_assertions) { "with debug assertions" } else { OPTIMIZED }).to_owned(),
        }
    }

    /// What makes its figures worth less, one sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.build != OPTIMIZED {
            warnings.push(format!("Compiled {}: these figures say nothing. Use --release.", self.build));
        }
        if let Some(load) = self.load_before.filter(|load| *load > 0.5) {
            warnings.push(format!("The machine was busy: a load of {load} in the minute before the start."));
        }
        warnings
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The version of the sources, which are where they were compiled or nowhere.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=10"]);
    let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The processors this process may use.
fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// Which processor the server has and which the load generator.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cores {
    /// One each.
    Apart {
        /// That of the server.
        server: usize,
        /// That of the load generator.
        load: usize,
        /// Whether the two are threads of one physical core.
        siblings: bool,
    },
    /// There is only one.
    Shared,
}

impl Cores {
    /// Chooses two that share as little as possible.
    pub(crate) fn choose() -> Cores {
        let cores = cores();
        let [server, others @ ..] = &cores[..] else { return Cores::Shared };
        let path = format!("/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list");
        let siblings = read(&path).map_or(Vec::new(), |text| list(&text));
        match (others.iter().find(|core| !siblings.contains(core)), others.first()) {
            (Some(&load), _) => Cores::Apart { server: *server, load, siblings: false },
            (None, Some(&load)) => Cores::Apart { server: *server, load, siblings: true },
            (None, None) => Cores::Shared,
        }
    }

    /// What makes figures worth less, if anything does.
    pub(crate) fn warning(self) -> Option<&'static str> {
        match self {
            Cores::Apart { siblings: false, .. } => None,
            Cores::Apart { siblings: true, .. } => Some(
                "Server and load generator ran on two threads of one physical core and slowed each other.",
            ),
            Cores::Shared => Some(
                "Server and load generator shared the one processor there is: requests per second are of both \
                 together, and only processor time says something of the server.",
            ),
        }
    }

    /// Says it in half a sentence.
    pub(crate) fn describe(self) -> String {
        match self {
            Cores::Apart { server, load, .. } => {
                format!("server on processor {server}, load generator on processor {load}")
            }
            Cores::Shared => "server and load generator on the same processor".to_owned(),
        }
    }
}

/// Reads a list of processors as the kernel writes it: `0,4-6`.
fn list(text: &str) -> Vec<usize> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read_with_its_ranges() {
        assert_eq!(list("0,4-6\n"), [0, 4, 5, 6]);
        assert_eq!(list("3"), [3]);
        assert_eq!(list(""), [0; 0]);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(memory("MemFree: 1 kB\n"), None);
        assert_eq!(memory("MemTotal:       24577 kB\nMemFree: 1 kB\n"), Some(24577 * 1024));
    }

    #[test]
    fn a_busy_machine_and_a_debug_build_are_warned_of() {
        let quiet = Machine { load_before: Some(0.1), build: OPTIMIZED.to_owned(), ..Machine::here() };
        assert_eq!(quiet.warnings(), [""; 0]);
        let busy = Machine { load_before: Some(1.9), ..quiet.clone() };
        assert!(busy.warnings()[0].contains("a load of 1.9"), "{:?}", busy.warnings());
        let debug = Machine { build: "with debug assertions".to_owned(), ..quiet };
        assert!(debug.warnings()[0].contains("--release"), "{:?}", debug.warnings());
    }
}
