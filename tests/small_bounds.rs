//! What an insertion into a full map asks of the allocator, however small the bound.

use dwell::IdleMap;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_insertion_into_a_small_full_map_allocates_no_large_bucket() {
    const INSERTIONS: usize = 10_000;
    for capacity in [1, 2, 3, 8, 16, 40, 100, 1_000] {
        let map = IdleMap::builder()
            .idle_timeout(Duration::from_secs(1_800))
            .capacity(capacity)
            .build()
            .unwrap();
        (0..2_000).for_each(|key: u64| drop(map.insert(key, key)));
        let before = BYTES.get();
        (0..INSERTIONS as u64).for_each(|key| drop(map.insert(1 << 32 | key, key)));
        let each = (BYTES.get() - before) / INSERTIONS;
        assert!(each < 512, "{each} bytes an insertion, capacity {capacity}");
        assert_eq!(map.len(), capacity);
    }
}
