//! One turn of the loop: what happens in which order, and for how long it may wait.
//!
//! It knows the order; what each part does is said elsewhere. Nothing here waits but the poll.
//!
//! ```text
//!  poll ▶ events: plain visits, odd visits, listeners noted ▶ accept ▶ ready queue of earlier turns ▶ datagrams
//!       ▶ posted closures ▶ user timers ▶ waits that ran out ▶ flush ▶ listeners, stop, connects, datagrams ▶ closes ▶ flush
//! ```
//!
//! Input comes before time, so that data and a time-out in one turn are data. Each part has a budget or works
//! off only what was there when it began; what is left makes the next poll return at once.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;

use super::handle::Post;
use super::{Reactor, Run};
use crate::conn::state::Step;
use crate::error::{CloseReason, Wait};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::instant::Instant;
use crate::net::{Event, Network, Token};
use crate::readiness::Readiness;
use crate::table::chores::Chores;
use crate::table::slot::Odd;

impl<H: Handler, N: Network> Reactor<H, N> {
    pub(super) fn one_turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = self.poll_timeout(timeout);
        let mut events = self.events.take().expect("a turn that did not end stops the reactor");
        self.cx.stats.calls.poll += 1;
        let polled = match self.cx.config.spin {
            Some(spin) if timeout != Some(Duration::ZERO) => self.net.poll_awake(&mut events, timeout, spin),
            Some(_) | None => self.net.poll(&mut events, timeout).map(|()| 0),
        };
        match polled {
            Ok(before) => self.cx.stats.calls.poll += before,
            Err(error) => {
                self.fail(&error);
                return Err(error);
            }
        }
        self.cx.now = self.net.now();
        self.visit_began = self.cx.now;
        self.cx.stats.turns += 1;

        let backlog = self.cx.table.ready.len();
        self.dispatch_all(&events);
        self.events = Some(events);
        if self.has_chores() {
            self.do_chores(backlog);
        }
        Ok(())
    }

    /// Whether there is anything to do besides events.
    #[inline]
    fn has_chores(&self) -> bool {
        let (table, now) = (&self.cx.table, self.cx.now);
        !table.chores.is_none()
            || self.datagrams_ready
            || self.cx.datagrams.pending
            || self.posts.is_pending()
            || table.timers.may_expire(now)
            || table.waits.may_expire(now)
            || table.held() > self.cx.memory_high()
    }

    /// Does what there is to do besides events; of the ready queue, what was there before them.
    // Out of line: most turns of a server that is not busy with one connection after another are over before.
    #[inline(never)]
    fn do_chores(&mut self, backlog: usize) {
        let any = |reactor: &Self, chores| reactor.cx.table.chores.any(chores);
        if any(self, Chores::ACCEPT.or(Chores::DRAIN)) {
            self.accept_all();
        }
        if any(self, Chores::READY) {
            self.serve_ready(backlog);
        }
        if self.datagrams_ready {
            self.serve_datagrams();
        }
        if self.posts.is_pending() {
            self.run_posts();
        }
        self.run_timers();
        self.run_waits();
        if any(self, Chores::FLUSH) {
            self.flush_others();
        }
        if any(self, Chores::WISHES.or(Chores::DRAIN)) {
            self.grant_wishes();
        }
        if any(self, Chores::ASIDE) && self.cx.datagrams.again <= self.cx.now {
            self.send_aside_again();
        }
        if self.cx.datagrams.pending {
            self.grant_datagrams();
            self.grant_sources();
        }
        if any(self, Chores::CLOSE) {
            self.close_due();
            // What `closed` callbacks sent to others need not wait for another poll.
            if any(self, Chores::FLUSH) {
                self.flush_others();
            }
        }
        if self.cx.table.held() > self.cx.memory_high() {
            self.limit_memory();
        }
        if any(self, Chores::DRAIN) {
            self.end_drain();
        }
    }

    /// Does what callbacks have asked for.
    fn grant_wishes(&mut self) {
        self.grant_listeners();
        self.stop_if_asked();
        // Last: a connect must have begun, or failed to, before it can be closed.
        self.grant_connects();
        self.grant_options();
        let any_left = self.cx.wishes.any();
        self.cx.table.chores.put(Chores::WISHES, any_left);
    }

    /// How long the poll may wait: not at all while anything is pending, else until the next deadline.
    pub(super) fn poll_timeout(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        let at_once =
            if wrong!(PollForgetsReady) { Chores::AT_ONCE.without(Chores::READY) } else { Chores::AT_ONCE };
        let pending = self.cx.table.chores.any(at_once)
            || self.cx.table.timers.has_due()
            || self.cx.datagrams.pending
            || self.datagrams_ready
            || self.posts.is_pending();
        if pending || self.cx.table.chores.any(Chores::ACCEPT) && self.can_accept() {
            return Some(Duration::ZERO);
        }
        let next = self.next_deadline();
        if next == Instant::NEVER {
            return timeout;
        }
        let until = next.since(self.net.now());
        Some(timeout.map_or(until, |timeout| timeout.min(until)))
    }

    /// When something is to be done even if nothing happens.
    #[inline]
    fn next_deadline(&mut self) -> Instant {
        let mut next = Instant::NEVER;
        if self.cx.table.chores.any(Chores::ACCEPT.or(Chores::DRAIN).or(Chores::ASIDE)) {
            next = self.next_of_loop();
        }
        let table = &mut self.cx.table;
        if !table.waits.is_empty() {
            next = next.min(table.waits.next_wakeup().unwrap_or(Instant::NEVER));
        }
        if table.timers.len() > 0 {
            next = next.min(table.timers.next_wakeup().unwrap_or(Instant::NEVER));
        }
        next
    }

    /// When accepting is tried again, or datagrams that were put aside are, or a drain ends.
    #[cold]
    fn next_of_loop(&self) -> Instant {
        let retry = self.accept_retry().unwrap_or(Instant::NEVER).min(self.cx.datagrams.again);
        if let Run::Draining(deadline) = self.run { retry.min(deadline) } else { retry }
    }

    /// Deals with the events of one poll.
    // One guard for all of them, because one for each would keep it from being a part of this loop. A panic ends
    // one visit, and those behind it follow.
    #[inline]
    fn dispatch_all(&mut self, events: &N::Events) {
        let mut events = N::iter(events);
        let mut is_done = false;
        while !is_done {
            self.guard(|reactor| {
                for event in events.by_ref() {
                    reactor.dispatch(event);
                }
                is_done = true;
            });
            if !is_done {
                self.after_visit(ConnId::NONE);
            }
        }
    }

    #[inline]
    fn dispatch(&mut self, event: Event) {
        // Writable rides on every event of a connection that is registered for everything.
        if event.readiness.without(Readiness::WRITABLE) == Readiness::READABLE {
            if let Some(id) = event.token.as_conn() {
                if self.serve_plain(id) {
                    return self.after_visit(id);
                }
            }
        }
        self.dispatch_oddly(event);
    }

    #[cold]
    fn dispatch_oddly(&mut self, event: Event) {
        let Event { token, readiness } = event;
        let Some(id) = token.as_conn() else { return self.dispatch_other(token, readiness) };
        let id = if wrong!(StaleEventServed) {
            self.cx.table.slots.get(id.slot()).map_or(id, |slot| slot.id)
        } else {
            id
        };
        let Some(slot) = self.cx.table.get(id) else {
            self.cx.stats.stale_events += 1;
            return;
        };
        let plain = readiness.without(Readiness::WRITABLE);
        if slot.odd.is_none() && plain == Readiness::READABLE.or(Readiness::READ_CLOSED) {
            self.serve_ending(id);
        } else if !slot.odd.is_none() || !plain.is_empty() {
            self.visit(id, readiness);
        } else {
            return;
        }
        self.after_visit(id);
    }

    fn dispatch_other(&mut self, token: Token, readiness: Readiness) {
        if token == Token::WAKER {
            // The closures are taken below; the waker itself carries nothing.
            self.take_answers();
        } else if let Some(listener) = token.as_listener() {
            self.listener_ready(listener);
        } else if let Some(socket) = token.as_datagram() {
            self.datagram_ready(socket, readiness);
        } else if let Some(source) = token.as_source() {
            self.source_ready(source, readiness);
        } else {
            self.cx.stats.stale_events += 1;
        }
    }

    /// Serves the first `count` of the ready queue. Those that are not finished go to its back.
    fn serve_ready(&mut self, count: usize) {
        for _ in 0..count {
            let Some(id) = self.cx.table.ready.pop_front() else { break };
            let Some(slot) = self.cx.table.get_mut(id) else { continue };
            slot.odd.clear(Odd::ON_READY);
            if !slot.odd.any(Odd::CLOSING) {
                self.guard(|reactor| reactor.visit_ready(id));
                self.after_visit(id);
            }
        }
        let any_left = !self.cx.table.ready.is_empty();
        self.cx.table.chores.put(Chores::READY, any_left);
    }

    fn run_posts(&mut self) {
        let mut taken: VecDeque<Post<H>> = mem::take(&mut self.taken);
        let stop = self.posts.take(self.cx.config.posts_per_turn, &mut taken);
        while let Some(post) = taken.pop_front() {
            self.cx.stats.posts_run += 1;
            self.guard(|reactor| post(&mut reactor.handler, &mut reactor.cx));
            self.start_timers();
            self.after_visit(ConnId::NONE);
        }
        self.taken = taken;
        if let Some(stop) = stop {
            self.cx.stop(stop);
        }
    }

    fn run_timers(&mut self) {
        let timers = &mut self.cx.table.timers;
        if timers.len() == 0 {
            return;
        }
        timers.collect(self.cx.now);
        for _ in 0..self.cx.config.timers_per_turn {
            if wrong!(ZeroTimerSameTurn) {
                self.cx.table.timers.collect(self.net.now());
            }
            let Some(due) = self.cx.table.timers.pop() else { return };
            self.cx.stats.timers_fired += 1;
            if due.owner == ConnId::NONE {
                self.guard(|reactor| reactor.handler.alarm(&mut reactor.cx, due.key));
                self.start_timers();
                if wrong!(AlarmTwice) {
                    self.guard(|reactor| reactor.handler.alarm(&mut reactor.cx, due.key));
                }
            } else {
                self.guard(|reactor| reactor.fire(due.owner, due.key));
            }
            self.after_visit(due.owner);
        }
    }

    fn fire(&mut self, owner: ConnId, key: u64) {
        // A closing connection has sent its last word.
        let Some(slot) = self.cx.table.get(owner).filter(|slot| !slot.state.is_closing()) else { return };
        let index = slot.id.slot();
        self.cx.begin(owner);
        self.call(index, |handler, cx, conn| handler.timer(cx, conn, key));
        self.settle(index);
    }

    /// Ends connections whose wait is over, and re-links those that were active since theirs began.
    fn run_waits(&mut self) {
        if !self.cx.table.waits.may_expire(self.cx.now) {
            return;
        }
        let mut due = mem::take(&mut self.due);
        self.cx.table.waits.expire(self.cx.now, &mut due);
        for &node in &due {
            self.guard(|reactor| reactor.wait_due(node as usize));
        }
        due.clear();
        self.due = due;
    }

    fn wait_due(&mut self, index: usize) {
        let slot = &mut self.cx.table.slots[index];
        let (id, retry) = (slot.id, slot.odd.take(Odd::RETRY_SEND));
        let wait = self.wait_over(index);
        if wait.is_some_and(|wait| wait != Wait::Linger) && !wrong!(WaitEndsUnasked) {
            // The loop may have stood still, and a poll takes only so many events: before a peer is held to
            // have been silent, the kernel is asked, also if the ready queue would do so in the next turn.
            let is_queued = self.cx.table.slots[index].odd.any(Odd::ON_READY);
            self.visit(id, Readiness::READABLE.or(Readiness::WRITABLE));
            if is_queued && !self.cx.table.slots[index].odd.any(Odd::CLOSING) {
                // It keeps its place there.
                self.visit_ready(id);
            }
            self.watch(id);
        } else if retry {
            self.cx.begin(id);
            self.settle(index);
        }
        match self.wait_over(index) {
            // The reason was decided when the close began.
            Some(Wait::Linger) => {
                self.cx.table.step(index, Step::Over);
            }
            Some(wait @ Wait::Write) => self.cx.table.end_with_reset(index, CloseReason::TimedOut(wait)),
            Some(Wait::Connect | Wait::Lookup) => self.connect_due(index),
            Some(wait @ (Wait::FirstFrame | Wait::Idle | Wait::Frame)) => {
                self.refuse_silent(id, CloseReason::TimedOut(wait));
            }
            // A send that failed again has its own deadline.
            None if self.cx.table.slots[index].odd.any(Odd::RETRY_SEND) => {}
            None if wrong!(WaitNotRelinked) => {}
            None => self.cx.table.rearm(index, &self.cx.config, self.cx.now),
        }
    }

    /// Closes a connection whose peer has kept it waiting. Only if there is a last word it is worth lingering.
    fn refuse_silent(&mut self, id: ConnId, reason: CloseReason) {
        let index = id.slot();
        if !self.cx.table.slots[index].queue.is_none() {
            // It does not take what it has coming either.
            return self.cx.table.end(index, reason);
        }
        self.cx.begin(id);
        self.refuse(index, Step::CloseLinger, reason);
        if self.cx.queued(id) == 0 {
            self.cx.table.step(index, Step::Over);
        }
        self.settle(index);
    }

    /// The earliest wait of connection `index`, if it is over.
    fn wait_over(&self, index: usize) -> Option<Wait> {
        let (deadline, wait) = self.cx.table.next_wait(index, &self.cx.config)?;
        if deadline <= self.cx.now { Some(wait) } else { None }
    }

    /// Sends what callbacks queued for connections other than their own. What is queued meanwhile waits for
    /// the next turn.
    fn flush_others(&mut self) {
        let count = self.cx.table.flush.len();
        for at in 0..count {
            let id = self.cx.table.flush[at];
            let Some(slot) = self.cx.table.get_mut(id) else { continue };
            slot.odd.clear(Odd::ON_FLUSH);
            if slot.odd == Odd::QUEUED {
                // Nothing else is odd about it, as when one message goes to many: if all of it leaves, no callback is
                // owed, no wait begins and nothing ends.
                self.flush_queue(id.slot());
            }
            let odd = self.cx.table.slots[id.slot()].odd;
            if !odd.is_none() && !odd.any(Odd::CLOSING) {
                self.guard(|reactor| {
                    reactor.cx.begin(id);
                    reactor.settle(id.slot());
                });
                self.watch(id);
            }
        }
        self.cx.table.flush.drain(..count);
        let any_left = !self.cx.table.flush.is_empty();
        self.cx.table.chores.put(Chores::FLUSH, any_left);
    }

    /// What every visit ends with.
    #[inline]
    pub(super) fn after_visit(&mut self, id: ConnId) {
        self.watch(id);
        if self.cx.pressing {
            self.relieve();
        }
    }

    /// Sends what waits for the end of the turn, because it is much; only what the kernel does not take then
    /// counts against anyone.
    #[cold]
    pub(super) fn relieve(&mut self) {
        self.cx.pressing = false;
        self.flush_others();
        self.flush_datagrams();
        if self.cx.table.held() > self.cx.config.memory_bytes_max {
            self.limit_memory();
        }
    }

    /// Notices callbacks that took too long: measured from the end of the visit before.
    // One reading of the coarse clock and one comparison for each visit: it is always on. That clock moves a few
    // hundred times a second, and as long as it does not, nothing took long.
    #[inline]
    pub(super) fn watch(&mut self, id: ConnId) {
        if self.cx.config.slow_callback.is_some() {
            let now = self.net.coarse_now();
            if now > self.visit_began {
                self.watch_closely(id, now);
            }
        }
    }

    #[cold]
    fn watch_closely(&mut self, id: ConnId, now: Instant) {
        let Some(limit) = self.cx.config.slow_callback else { return };
        let took = now.since(mem::replace(&mut self.visit_began, now));
        self.cx.stats.slowest_callback = took.max(self.cx.stats.slowest_callback);
        if took >= limit {
            // What it took is not held against those served after it in this turn, nor against itself.
            let began = mem::replace(&mut self.cx.now, self.net.now());
            self.cx.table.catch_up(id, began, self.cx.now);
            self.cx.stats.slow_callbacks += 1;
            if let Some(more) = self.slow_log.admit(self.cx.now) {
                log::warn!(
                    "connection {id}: callbacks took {took:?} in a row, everyone else waited \
                     ({more} more were not logged)"
                );
            }
        }
    }
}
