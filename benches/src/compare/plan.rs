//! Who is put to what: the servers that were chosen, the scenarios each can take part in, and what is left out.
//!
//! It knows names, protocols and limits. It starts nothing.

use clap::ValueEnum;

use super::measure::{count, number};
use super::results::{Entry, Server};
use super::scenario::Scenario;
use crate::serve::Name;

/// One or all servers, as it is typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// Those of the libraries that people would compare first.
    Known,
    /// All that are in this build.
    All,
    /// This one; one whose name says no protocol stands for all of its library.
    One(Name),
}

/// The libraries of [`Choice::Known`].
const KNOWN: [&str; 5] = ["switchboard", "mio", "tokio", "c-epoll", "libuv"];

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "known" => Ok(Choice::Known),
            "all" => Ok(Choice::All),
            name => <Name as ValueEnum>::from_str(name, false).map(Choice::One).map_err(|_| {
                let names: Vec<_> = Name::all().iter().map(|name| name.text()).collect();
                format!("there are known, all, {}", names.join(", "))
            }),
        }
    }
}

impl Choice {
    fn takes(self, name: Name) -> bool {
        match self {
            Choice::Known => KNOWN.contains(&family(&name.text())),
            Choice::All => true,
            Choice::One(one) => one == name || one.text() == family(&name.text()),
        }
    }
}

/// The name of a server without its protocol: `tokio` of `tokio-lines-batched`.
pub(crate) fn family(name: &str) -> &str {
    let name = name.strip_suffix("-batched").unwrap_or(name);
    let protocols = ["-lines", "-length", "-broadcast"];
    protocols.iter().find_map(|protocol| name.strip_suffix(protocol)).unwrap_or(name)
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Scenario by scenario.
    pub(crate) entries: Vec<Planned>,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
}

/// One scenario and those who take part.
#[derive(Debug)]
pub(crate) struct Planned {
    /// What is done.
    pub(crate) scenario: Scenario,
    /// To whom, in the order in which they run.
    pub(crate) names: Vec<Name>,
    /// With which of them the others are compared.
    pub(crate) base: Option<Name>,
}

/// What this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Descriptors of one process; none if there is no limit.
    pub(crate) descriptors: Option<u64>,
}

impl Plan {
    /// Plans `scenarios` for the servers that `choices` take, and for `base`.
    pub(crate) fn new(scenarios: Vec<Scenario>, choices: &[Choice], base: Name, limits: Limits) -> Plan {
        let base_family = base.text();
        let base_family = family(&base_family);
        let is_chosen = |name: Name| {
            choices.iter().any(|choice| choice.takes(name)) || family(&name.text()) == base_family
        };
        let mut plan = Plan { entries: Vec::new(), left_out: Vec::new() };
        let mut names = Vec::new();
        for &name in Name::all().iter().filter(|name| is_chosen(**name)) {
            match name.missing() {
                None => names.push(name),
                Some(why) => plan.left_out.push(format!("{} is not in this build: {why}.", name.text())),
            }
        }
        for scenario in scenarios {
            if let Some(why) = limits.forbids(&scenario) {
                plan.left_out.push(format!("The scenario {} was left out: {why}.", scenario.name));
                continue;
            }
            let protocol = scenario.protocol();
            let names: Vec<Name> = names.iter().copied().filter(|name| name.protocol() == protocol).collect();
            if names.is_empty() {
                let why = "no server that was chosen speaks its protocol";
                plan.left_out.push(format!("The scenario {} was left out: {why}.", scenario.name));
                continue;
            }
            let base = choose_base(&names, base);
            plan.entries.push(Planned { scenario, names, base });
        }
        plan
    }

    /// How many runs it is, each server `repeats` times.
    pub(crate) fn runs(&self, repeats: usize) -> usize {
        self.entries.iter().map(|planned| planned.names.len() * repeats).sum()
    }
}

impl Planned {
    /// It as a part of the results.
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            scenario: self.scenario.clone(),
            servers: self.names.iter().map(|name| name.text()).collect(),
            base: self.base.map(Name::text),
        }
    }
}

impl Limits {
    /// Says why `scenario` cannot be run, if it cannot.
    ///
    /// A server may keep a part of its descriptors for itself, so that it can still refuse; a sixteenth is usual.
    fn forbids(self, scenario: &Scenario) -> Option<String> {
        let limit = self.descriptors?;
        let connections = scenario.connections() as u64;
        let wanted = connections + connections / 15 + 64;
        (wanted > limit).then(|| {
            let numbers = (number(count(connections)), number(count(wanted)), number(count(limit)));
            format!(
                "{} connections need {} descriptors in each process, the hard limit is {} (ulimit -Hn)",
                numbers.0, numbers.1, numbers.2
            )
        })
    }
}

/// The one of `names`, which speak the same protocol, with which the others are compared: that of the same library as
/// `wanted`, or the nearest there is to a floor.
fn choose_base(names: &[Name], wanted: Name) -> Option<Name> {
    let of = |wanted: &str| names.iter().copied().find(|name| family(&name.text()) == wanted);
    let wanted = wanted.text();
    let found = [family(&wanted), "c-epoll", "mio", "tokio"].into_iter().find_map(of);
    found.filter(|_| names.len() > 1)
}

/// It as a part of the results.
pub(crate) fn server(name: Name) -> Server {
    let text = name.text();
    let about = name.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
    Server {
        library: name.library().to_owned(),
        about: about.unwrap_or_default(),
        is_ours: family(&text) == "switchboard",
        lacks_idle_timeout: name.lacks_idle_timeout().map(str::to_owned),
        name: text,
    }
}

/// With what others are compared if nobody says: with the floor where there is one.
pub(crate) fn default_base() -> Name {
    if Name::CEpoll.missing().is_none() { Name::CEpoll } else { Name::Mio }
}
