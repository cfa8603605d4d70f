//! The way in from other threads: closures that run on the loop.
//!
//! It knows a bounded queue and a waker; it does not know what the closures do. Wake-ups are coalesced: however
//! many closures are posted before the loop looks, the waker is used once.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::{Context, Stop};
use crate::net::Wake;

/// A closure on its way to the loop.
pub(super) type Post<H> = Box<dyn FnOnce(&mut H, &mut Context) + Send>;

const STOP_NOT: u8 = 0;
const STOP_DRAIN: u8 = 1;
const STOP_NOW: u8 = 2;

/// What a reactor and its handles share.
pub(super) struct Posts<H> {
    queue: Mutex<Queue<H>>,
    /// Set together with a wake-up, cleared under the lock when the loop takes what there is: so a closure is
    /// never left behind without a wake-up under way.
    pending: AtomicBool,
    stop: AtomicU8,
    /// How many handles there are. Counted here and not by the `Arc`, which a handle leaves only after its
    /// drop has woken the loop: too late for the loop to see it.
    handles: AtomicUsize,
    limit: usize,
    waker: Arc<dyn Wake>,
}

struct Queue<H> {
    posts: VecDeque<Post<H>>,
    open: bool,
}

impl<H> Posts<H> {
    fn new(waker: Arc<dyn Wake>, limit: usize) -> Posts<H> {
        Posts {
            queue: Mutex::new(Queue { posts: VecDeque::new(), open: true }),
            pending: AtomicBool::new(false),
            stop: AtomicU8::new(STOP_NOT),
            handles: AtomicUsize::new(0),
            limit,
            waker,
        }
    }

    /// Closures never run under the lock, so nothing can be broken behind a poisoned one.
    fn lock(&self) -> MutexGuard<'_, Queue<H>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            log::error!("the loop could not be woken: {error}");
            // The next one is to try again.
            self.pending.store(false, Ordering::Release);
        }
    }

    /// Whether there is anything to take.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Whether anyone can still post.
    pub(super) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    /// Moves up to `budget` closures to `taken`, oldest first, and says whether a stop was asked for.
    pub(super) fn take(&self, budget: usize, taken: &mut VecDeque<Post<H>>) -> Option<Stop> {
        let mut queue = self.lock();
        let count = queue.posts.len().min(budget);
        // Read as well as written: what was done before the wake-up that is cleared here is seen from now on.
        self.pending.swap(queue.posts.len() > count, Ordering::AcqRel);
        if wrong!(PostsForgotten) {
            self.pending.store(false, Ordering::Release);
        }
        taken.extend(queue.posts.drain(..count));
        match self.stop.swap(STOP_NOT, Ordering::AcqRel) {
            STOP_DRAIN => Some(Stop::Drain),
            STOP_NOW => Some(Stop::Now),
            _ => None,
        }
    }

    /// Refuses all further closures and drops those that were not run.
    pub(super) fn close(&self) {
        let dropped = {
            let mut queue = self.lock();
            queue.open = false;
            std::mem::take(&mut queue.posts)
        };
        // Outside the lock: what a closure owns may use the handle when it is dropped.
        drop(dropped);
    }
}

/// The reactor's end. Dropped with the reactor, it refuses what comes after.
pub(super) struct Inbox<H>(Arc<Posts<H>>);

impl<H> Inbox<H> {
    pub(super) fn new(waker: Arc<dyn Wake>, limit: usize) -> Inbox<H> {
        Inbox(Arc::new(Posts::new(waker, limit)))
    }

    /// Another end for another thread.
    pub(super) fn handle(&self) -> Handle<H> {
        Handle::new(Arc::clone(&self.0))
    }
}

impl<H> Deref for Inbox<H> {
    type Target = Posts<H>;

    fn deref(&self) -> &Posts<H> {
        &self.0
    }
}

impl<H> Drop for Inbox<H> {
    fn drop(&mut self) {
        self.close();
    }
}

/// A way into the loop for other threads. Cheap to clone, `Send` and `Sync` whatever the handler is.
///
/// ```
/// use switchboard::{Config, Reactor, Stop, codec::Raw, each};
///
/// let mut reactor = Reactor::new(each(Raw::new, |cx, bytes| { cx.send(bytes); Ok(()) }), Config::default())?;
/// let handle = reactor.handle();
/// std::thread::spawn(move || handle.post(|_, cx| cx.stop(Stop::Now)));
/// reactor.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Handle<H> {
    posts: Arc<Posts<H>>,
}

impl<H> Handle<H> {
    fn new(posts: Arc<Posts<H>>) -> Handle<H> {
        posts.handles.fetch_add(1, Ordering::Relaxed);
        Handle { posts }
    }

    /// Runs `f` on the loop with the handler and the context, soon and in order of posting.
    ///
    /// Never blocks. At most `Config::posts_max` wait at once, and `Config::posts_per_turn` run in one turn.
    /// The closure comes back in the error when it can't be taken.
    pub fn post<F>(&self, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut H, &mut Context) + Send + 'static,
    {
        let mut queue = self.posts.lock();
        if !queue.open {
            return Err(PostError::Closed(f));
        }
        if queue.posts.len() >= self.posts.limit {
            return Err(PostError::Full(f));
        }
        queue.posts.push_back(Box::new(f));
        drop(queue);
        self.posts.wake();
        Ok(())
    }

    /// Stops the reactor as [`Context::stop`] does, also when the queue of closures is full. What was posted
    /// before may or may not run.
    pub fn stop(&self, stop: Stop) {
        let stop = match stop {
            Stop::Drain => STOP_DRAIN,
            Stop::Now => STOP_NOW,
        };
        self.posts.stop.fetch_max(stop, Ordering::AcqRel);
        self.posts.wake();
    }
}

impl<H> Clone for Handle<H> {
    fn clone(&self) -> Handle<H> {
        Handle::new(Arc::clone(&self.posts))
    }
}

/// The last handle wakes the loop, which may have nothing left to wait for.
impl<H> Drop for Handle<H> {
    fn drop(&mut self) {
        if self.posts.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.posts.wake();
        }
    }
}

impl<H> fmt::Debug for Handle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.posts.lock();
        f.debug_struct("Handle").field("waiting", &queue.posts.len()).field("open", &queue.open).finish()
    }
}

/// Why a closure was not taken; it comes back.
#[non_exhaustive]
pub enum PostError<F> {
    /// `Config::posts_max` are waiting already. Try again later, elsewhere, or give up.
    Full(F),
    /// The reactor has stopped or is gone.
    Closed(F),
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostError::Full(_) => "Full",
            PostError::Closed(_) => "Closed",
        })
    }
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostError::Full(_) => "too many closures are waiting for the loop (posts_max)",
            PostError::Closed(_) => "the reactor has stopped",
        })
    }
}

impl<F> std::error::Error for PostError<F> {}
