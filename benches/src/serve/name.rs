//! The names of the servers, and what there is to know about each before it runs.
//!
//! It knows protocols, libraries and whether a server is in this build; it does not know how any is written.

use clap::ValueEnum;

use super::in_c;

/// A server: its library, and what it speaks if that is not bytes as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Name {
    /// This library: bytes as they come
    Switchboard,
    /// This library: line by line
    SwitchboardLines,
    /// This library: messages behind a four-byte big-endian length
    SwitchboardLength,
    /// This library: every line to every connection, the sender's too
    SwitchboardBroadcast,
    /// The mio crate, used by hand: one buffer, registered once, edge-triggered
    Mio,
    /// The mio crate, used by hand: what is said in one turn is one buffer for all
    MioBroadcast,
    /// Tokio's current-thread runtime: a task for each connection
    Tokio,
    /// Tokio and the `LinesCodec` of tokio-util: `next` and `send`, as documented
    TokioLines,
    /// Tokio and the `LinesCodec` of tokio-util: `forward`, which answers a batch with one send
    TokioLinesBatched,
    /// Tokio and the `LengthDelimitedCodec` of tokio-util: `next` and `send`, as documented
    TokioLength,
    /// Tokio and the `LengthDelimitedCodec` of tokio-util: `forward`, which answers a batch with one send
    TokioLengthBatched,
    /// Tokio's broadcast channel between a task for each connection
    TokioBroadcast,
    /// The message-io crate: its events of plain TCP
    MessageIo,
    /// The calloop crate: an event source for each connection
    Calloop,
    /// The I/O and the local executor of smol: a task for each connection
    Smol,
    /// The standard library: a thread for each connection
    Threads,
    /// The classic, on this library's facade: `select(inputs, outputs, inputs)` and message queues
    Select,
    /// The classic, on this library's facade: a `Selector`, which keeps the sets between calls
    Selector,
    /// The floor, in C: accept4, edge-triggered epoll, one recv, one send
    CEpoll,
    /// The floor, in C: line by line, one send for each batch
    CEpollLines,
    /// The floor, in C: messages behind a four-byte big-endian length, one send for each batch
    CEpollLength,
    /// The floor, in C: every line to every connection, one send for each in a turn
    CEpollBroadcast,
    /// The libuv library, in C
    Libuv,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// It sends back what it receives, as it comes.
    Raw,
    /// It sends back each line, which ends with `\n`.
    Lines,
    /// It sends back each message, which stands behind its length in four bytes, big-endian.
    Length,
    /// It sends each line to every connection, the sender's too.
    Broadcast,
}

impl Protocol {
    /// Its name.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Protocol::Raw => "raw",
            Protocol::Lines => "lines",
            Protocol::Length => "length",
            Protocol::Broadcast => "broadcast",
        }
    }
}

impl Name {
    /// All of them, in the order in which tables list them.
    pub(crate) fn all() -> &'static [Name] {
        Name::value_variants()
    }

    /// What is typed for it.
    pub(crate) fn text(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it speaks.
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Name::Switchboard
            | Name::Mio
            | Name::Tokio
            | Name::MessageIo
            | Name::Calloop
            | Name::Smol
            | Name::Threads
            | Name::Select
            | Name::Selector
            | Name::CEpoll
            | Name::Libuv => Protocol::Raw,
            Name::SwitchboardLines | Name::TokioLines | Name::TokioLinesBatched | Name::CEpollLines => {
                Protocol::Lines
            }
            Name::SwitchboardLength | Name::TokioLength | Name::TokioLengthBatched | Name::CEpollLength => {
                Protocol::Length
            }
            Name::SwitchboardBroadcast
            | Name::MioBroadcast
            | Name::TokioBroadcast
            | Name::CEpollBroadcast => Protocol::Broadcast,
        }
    }

    /// Its library with the version that is in this build: `tokio 1.54.1`.
    pub(crate) fn library(self) -> &'static str {
        match self {
            Name::Switchboard
            | Name::SwitchboardLines
            | Name::SwitchboardLength
            | Name::SwitchboardBroadcast
            | Name::Select
            | Name::Selector => env!("LIBRARY_SWITCHBOARD"),
            Name::Mio | Name::MioBroadcast => env!("LIBRARY_MIO"),
            Name::Tokio | Name::TokioBroadcast => env!("LIBRARY_TOKIO"),
            Name::TokioLines | Name::TokioLinesBatched | Name::TokioLength | Name::TokioLengthBatched => {
                concat!(env!("LIBRARY_TOKIO"), ", ", env!("LIBRARY_TOKIO_UTIL"))
            }
            Name::MessageIo => env!("LIBRARY_MESSAGE_IO"),
            Name::Calloop => env!("LIBRARY_CALLOOP"),
            Name::Smol => concat!(env!("LIBRARY_ASYNC_IO"), ", ", env!("LIBRARY_ASYNC_EXECUTOR")),
            Name::Threads => env!("LIBRARY_STD"),
            Name::CEpoll | Name::CEpollLines | Name::CEpollLength | Name::CEpollBroadcast => {
                env!("LIBRARY_C_EPOLL")
            }
            Name::Libuv => env!("LIBRARY_LIBUV"),
        }
    }

    /// What to do to get it into this build, if it is not.
    pub(crate) fn missing(self) -> Option<&'static str> {
        if in_c::program(self).is_some() {
            return None;
        }
        match self {
            Name::CEpoll | Name::CEpollLines | Name::CEpollLength | Name::CEpollBroadcast => Some(
                "it needs a C compiler: `apt-get install gcc libc6-dev`, `touch benches/build.rs`, build again",
            ),
            Name::Libuv => Some(
                "it needs a C compiler and libuv: `apt-get install gcc libc6-dev libuv1-dev`, \
                 `touch benches/build.rs`, build again",
            ),
            Name::Switchboard
            | Name::SwitchboardLines
            | Name::SwitchboardLength
            | Name::SwitchboardBroadcast
            | Name::Mio
            | Name::MioBroadcast
            | Name::Tokio
            | Name::TokioLines
            | Name::TokioLinesBatched
            | Name::TokioLength
            | Name::TokioLengthBatched
            | Name::TokioBroadcast
            | Name::MessageIo
            | Name::Calloop
            | Name::Smol
            | Name::Threads
            | Name::Select
            | Name::Selector => None,
        }
    }

    /// Why it cannot end silent connections, if it cannot.
    pub(crate) fn lacks_idle_timeout(self) -> Option<&'static str> {
        match self {
            Name::Mio | Name::MioBroadcast => Some("mio has no timers"),
            Name::TokioBroadcast => Some("here a client may listen for ever"),
            Name::MessageIo => Some("message-io has timers of the program, not of connections"),
            Name::Select => Some("select has a timeout for all, none for each"),
            Name::Selector => Some("a selector has a timeout for all, none for each"),
            Name::CEpoll | Name::CEpollLines | Name::CEpollLength | Name::CEpollBroadcast => {
                Some("it is the floor, without timers")
            }
            Name::Switchboard
            | Name::SwitchboardLines
            | Name::SwitchboardLength
            | Name::SwitchboardBroadcast
            | Name::Tokio
            | Name::TokioLines
            | Name::TokioLinesBatched
            | Name::TokioLength
            | Name::TokioLengthBatched
            | Name::Calloop
            | Name::Smol
            | Name::Threads
            | Name::Libuv => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_spoken() {
        for &name in Name::all() {
            let text = name.text();
            let spoken = [Protocol::Lines, Protocol::Length, Protocol::Broadcast]
                .into_iter()
                .find(|protocol| text.contains(&format!("-{}", protocol.text())));
            assert_eq!(name.protocol(), spoken.unwrap_or(Protocol::Raw), "{text}");
        }
    }

    #[test]
    fn what_is_in_this_build_has_a_library_with_a_version() {
        for &name in Name::all().iter().filter(|name| name.missing().is_none()) {
            let version = name.library().split(' ').next_back().unwrap_or_default();
            assert!(version.contains('.'), "{}: {}", name.text(), name.library());
        }
    }
}
