//! The system's heap, with a count of what each thread took from it.
//!
//! It knows how many bytes were asked for, not what for. A decoder is given bytes that are there already, so it has
//! nothing to reserve, least of all for a length that a peer only announced.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static HEAP: Heap = Heap;

struct Heap;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread at its end has no counter any more, and nothing that is looked at.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get().wrapping_add(bytes)));
}

// SAFETY: all is done by `System`; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on; `ptr` came from `System`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// Calls `work` and says how many bytes this thread took from the heap meanwhile.
pub fn taken<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.get();
    let result = work();
    (result, TAKEN.get().wrapping_sub(before))
}
