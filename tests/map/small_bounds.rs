//! What an insertion into a full map asks of the allocator, however small the bound.

use crate::allocator::counted;
use dwell::IdleMap;
use std::time::Duration;

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
        let (_, bytes) = counted(|| {
            (0..INSERTIONS as u64).for_each(|key| drop(map.insert(1 << 32 | key, key)));
        });
        let each = bytes / INSERTIONS;
        assert!(each < 512, "{each} bytes an insertion, capacity {capacity}");
        assert_eq!(map.len(), capacity);
    }
}
