//! Memory for one evaluation.
//!
//! The host makes a fresh instance for every event and throws it away after the answer, so giving memory back is wasted work. This
//! allocator hands out one stretch after another: of a static arena, whose pages the host keeps warm from event to event, and beyond
//! it of memory it asks the host for. Only the last block can grow, shrink or be given back in place, which is what a growing string
//! needs. Never returns memory to the host.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32;
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Bytes that need no request to the host. Asking for memory costs more than a typical evaluation uses.
const ARENA_BYTES: usize = 512 * 1024;

const PAGE_BYTES: usize = 65_536;

/// Least number of pages asked for at a time.
const GROW_PAGES_MIN: usize = 8;

#[global_allocator]
static ALLOCATOR: OneShot =
    OneShot { next: Cell::new(0), end: Cell::new(0), arena: Arena(UnsafeCell::new([0; ARENA_BYTES])) };

struct OneShot {
    /// Address of the first free byte; 0 before the first allocation.
    next: Cell<usize>,
    /// Address after the last byte of the current stretch.
    end: Cell<usize>,
    arena: Arena,
}

#[repr(align(16))]
struct Arena(UnsafeCell<[u8; ARENA_BYTES]>);

// SAFETY: a component has one thread.
unsafe impl Sync for OneShot {}

// SAFETY: blocks are cut from stretches nobody else uses, one after another, and handed out again only after their owner gave them
// back; null is returned where the host has no more memory.
unsafe impl GlobalAlloc for OneShot {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.next.get() == 0 {
            let start = self.arena.0.get().expose_provenance();
            self.next.set(start);
            self.end.set(start + ARENA_BYTES);
        }
        self.cut(layout).or_else(|| self.grow(layout).then(|| self.cut(layout))?).unwrap_or(ptr::null_mut())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.is_last(block, layout.size()) {
            let end = block.addr().saturating_add(new_size);
            if end <= self.end.get() {
                self.next.set(end);
                return block;
            }
        } else if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that `new_size` rounded up to the alignment does not overflow.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks hold that many bytes and the new one overlaps no block in use.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size().min(new_size)) };
        }
        new
    }
}

impl OneShot {
    /// A block of the current stretch, if it fits.
    fn cut(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.next.get().checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size()).filter(|end| *end <= self.end.get())?;
        self.next.set(end);
        Some(ptr::with_exposed_provenance_mut(start))
    }

    /// Begins a new stretch that holds the block, or extends the current one. False if the host refuses.
    fn grow(&self, layout: Layout) -> bool {
        let Some(bytes) = layout.size().checked_add(layout.align()) else { return false };
        let pages = bytes.div_ceil(PAGE_BYTES).max(GROW_PAGES_MIN);
        let before = wasm32::memory_grow::<0>(pages);
        if before == usize::MAX {
            return false;
        }
        let start = before * PAGE_BYTES;
        if start != self.end.get() {
            self.next.set(start);
        }
        // Memory that ends at the very end of the address space would wrap; the last byte is left unused.
        self.end.set(start.saturating_add(pages.saturating_mul(PAGE_BYTES)));
        true
    }

    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block.addr().checked_add(size) == Some(self.next.get())
    }
}
