//! The audit: what must hold of a reactor between two turns, whoever its peers are and whatever they did.
//!
//! It knows the invariants that tie the parts together and recomputes both sides of each. It changes nothing.
//! The loop itself never calls it; a simulated network does, before every turn.

use super::{Reactor, Run};
use crate::conn::state::State;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::instant::Instant;
use crate::net::Network;
use crate::stats::Stats;
use crate::table::chores::Chores;
use crate::table::node;
use crate::table::slot::Odd;

/// What the network says of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    /// It has bytes, an end or an error that were not fetched, and no edge to come will announce them.
    pub(crate) forgotten: bool,
    /// It takes bytes, and no edge to come will say so.
    pub(crate) takes: bool,
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Whether the next poll may wait.
    pub(crate) fn would_wait(&mut self) -> bool {
        self.poll_timeout(None).is_none_or(|timeout| !timeout.is_zero())
    }

    /// Says what does not hold. `waits` says that the next poll will wait; `socket` is asked about each stream, and
    /// told whether nothing holds its input back and how much of it is left over.
    pub(crate) fn audit(
        &self,
        waits: bool,
        mut socket: impl FnMut(ConnId, &N::Stream, bool, usize) -> Socket,
    ) -> Result<(), String> {
        self.audit_accounts()?;
        let table = &self.cx.table;
        if waits && !(table.ready.is_empty() && table.flush.is_empty() && table.closing.is_empty()) {
            return Err("the poll is to wait while work is pending".into());
        }
        for (index, slot) in table.slots.iter().enumerate() {
            let Some(link) = self.links.get(index).and_then(Option::as_ref) else { continue };
            let id = slot.id;
            if table.get(id).is_none() {
                return Err(format!("{id} has a stream and no slot"));
            }
            if slot.odd.any(Odd::QUEUED) == slot.queue.is_none() {
                return Err(format!("{id}: `QUEUED` does not say whether there is a queue"));
            }
            if slot.odd.any(Odd::TAIL) != link.tail.is_some()
                && slot.state.delivers()
                && !slot.odd.any(Odd::CLOSING)
            {
                return Err(format!("{id}: `TAIL` does not say whether there is a tail"));
            }
            if slot.odd.any(Odd::NOT_OPEN) != (slot.state != State::Open) {
                return Err(format!("{id}: `NOT_OPEN` in state {:?}", slot.state));
            }
            if slot.state == State::Closed {
                if !slot.odd.any(Odd::CLOSING) {
                    return Err(format!("{id} is closed and not on the list of what closes"));
                }
                continue;
            }
            let left = link.tail.as_ref().map_or(0, |tail| tail.len());
            let socket = socket(id, &link.stream, slot.delivers_now(), left);
            let reads = slot.delivers_now() || slot.state == State::Lingering;
            if reads && socket.forgotten && !slot.odd.any(Odd::ON_READY) {
                return Err(format!("{id} has input that nobody will read: {slot:?}"));
            }
            if slot.delivers_now() && slot.odd.any(Odd::PENDING_INPUT) && !slot.odd.any(Odd::ON_READY) {
                return Err(format!("{id} has input pending and is not in the ready queue: {slot:?}"));
            }
            let retries = slot.odd.any(Odd::RETRY_SEND.or(Odd::ON_FLUSH).or(Odd::ON_READY));
            if slot.odd.any(Odd::QUEUED) && socket.takes && !retries {
                return Err(format!("{id} has output that nobody will send: {slot:?}"));
            }
            if slot.state.waits_for_flush() && !slot.odd.any(Odd::QUEUED.or(Odd::ON_FLUSH).or(Odd::ON_READY))
            {
                return Err(format!("{id} waits for a flush of nothing: {slot:?}"));
            }
            if !retries {
                let wait = table.next_wait(index, &self.cx.config).map(|(deadline, _)| deadline);
                let linked = table.waits.deadline(node(index));
                let wait = wait.filter(|&deadline| deadline != Instant::NEVER);
                if wait.is_some_and(|deadline| linked.is_none_or(|linked| linked > deadline)) {
                    return Err(format!("{id} waits until {wait:?} and is woken at {linked:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether what is counted is what there is.
    fn audit_accounts(&self) -> Result<(), String> {
        let table = &self.cx.table;
        let tails: usize = self
            .links
            .iter()
            .flatten()
            .filter_map(|link| link.tail.as_ref())
            .map(|tail| tail.capacity())
            .sum();
        if tails != table.tails_held {
            return Err(format!("tails hold {tails} bytes, {} are accounted for", table.tails_held));
        }
        let queues: usize = table.slots.iter().map(|slot| table.queues.held(slot.queue)).sum();
        if queues != table.queues.held_total() {
            return Err(format!(
                "queues hold {queues} bytes, {} are accounted for",
                table.queues.held_total()
            ));
        }
        let live = table.slots.iter().filter(|slot| table.get(slot.id).is_some() && is_live(slot.id)).count();
        if live != table.open || self.cx.stats.open != table.open {
            let Stats { open, .. } = self.cx.stats;
            return Err(format!(
                "{live} slots are taken, {} are counted as open, {open} are shown",
                table.open
            ));
        }
        let on = |odd: Odd| table.slots.iter().filter(|slot| slot.odd.any(odd)).count();
        let lists = [
            ("ready", Odd::ON_READY, table.ready.iter().filter(|&&id| table.get(id).is_some()).count()),
            ("flush", Odd::ON_FLUSH, table.flush.iter().filter(|&&id| table.get(id).is_some()).count()),
            ("closing", Odd::CLOSING, table.closing.iter().filter(|&&id| table.get(id).is_some()).count()),
        ];
        for (name, odd, listed) in lists {
            if on(odd) != listed {
                return Err(format!("{} connections say they are on the {name} list, {listed} are", on(odd)));
            }
        }
        let chores = [
            ("in the ready queue", Chores::READY, !table.ready.is_empty()),
            ("on the flush list", Chores::FLUSH, !table.flush.is_empty()),
            ("to be closed", Chores::CLOSE, !table.closing.is_empty()),
            ("asked for", Chores::WISHES, self.cx.wishes.any()),
            ("to be accepted", Chores::ACCEPT, self.listeners.iter().any(|listening| listening.ready)),
            ("to be drained", Chores::DRAIN, self.run != Run::Running),
            ("put aside", Chores::ASIDE, self.cx.datagrams.any_aside()),
        ];
        for (what, chore, is_any) in chores {
            if is_any && !table.chores.any(chore) {
                return Err(format!("something is {what}, and the next turn would not look"));
            }
        }
        Ok(())
    }

    /// Says what is left although nothing is open any more.
    pub(crate) fn audit_empty(&self) -> Result<(), String> {
        let table = &self.cx.table;
        let links = self.links.iter().flatten().count();
        let left = [
            ("connections", table.open),
            ("streams", links),
            ("attempts to connect", self.attempts.len()),
            ("descriptors beside those of connections", self.beside),
            ("names being looked up", self.lookups),
            ("bytes of output", table.queues.held_total()),
            ("bytes of input", table.tails_held),
            ("connections' timers", table.timers.owned()),
            ("waits", usize::from(!table.waits.is_empty())),
        ];
        match left.into_iter().find(|&(_, count)| count > 0) {
            Some((what, count)) => Err(format!("{count} {what} are left over")),
            None => Ok(()),
        }
    }
}

/// Whether an id names a connection and not the next one of its slot.
fn is_live(id: ConnId) -> bool {
    id == ConnId::from_bits(id.to_bits())
}
