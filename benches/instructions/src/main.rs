//! The map's hot paths, for callgrind to count: `.ci/steps/instructions` runs this under valgrind
//! and compares the counts of the functions below `measured` with `expected`. Instructions repeat
//! exactly where times do not.

use std::time::Duration;

use dwell::{IdleMap, ManualClock};

/// As the documentation recommends. Its instructions are the same on each machine, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSIONS: u64 = 102_400;
/// Calls in each measured function that leaves nothing behind.
const CALLS: u64 = 1_000;
/// Calls in each one that does: what they leave is freed in bursts, some thousand changes apart,
/// and several bursts count.
const CHANGES: u64 = 20_000;

type Map = IdleMap<u64, [u64; 8], ahash::RandomState>;

/// Only what is called from these functions is counted.
mod measured {
    use std::hint::black_box;

    use super::Map;

    macro_rules! measured {
        ($($name:ident: $operation:expr;)*) => {
            $(
                #[inline(never)]
                pub fn $name(map: &Map, ids: &[u64]) {
                    // Functions that are alike would be merged.
                    black_box(stringify!($name));
                    let operation = $operation;
                    for id in ids {
                        black_box(operation(map, black_box(id)));
                    }
                }
            )*
        };
    }

    measured! {
        nothing: |_: &Map, id: &u64| *id;
        get: |map: &Map, id: &u64| map.get(id).is_some();
        get_after_tick: |map: &Map, id: &u64| map.get(id).is_some();
        with: |map: &Map, id: &u64| map.with(id, |value| value[0]);
        with_after_tick: |map: &Map, id: &u64| map.with(id, |value| value[0]);
        touch: |map: &Map, id: &u64| map.touch(id);
        touch_after_tick: |map: &Map, id: &u64| map.touch(id);
        peek: |map: &Map, id: &u64| map.peek(id).is_some();
        unknown_id: |map: &Map, id: &u64| map.with(id, |value| value[0]);
        update: |map: &Map, id: &u64| map.update(id, |value| *value).is_some();
        insert: |map: &Map, id: &u64| map.insert(*id, [0; 8]).is_some();
        remove: |map: &Map, id: &u64| map.remove(id).is_some();
        collect_nothing_due: |map: &Map, _: &u64| map.collect();
    }
}

fn main() {
    let clock = ManualClock::new();
    let map: Map = IdleMap::builder()
        .idle_timeout(Duration::from_secs(1_800))
        .clock(clock.clone())
        // The same seeds give the same chains.
        .hasher(ahash::RandomState::with_seeds(1, 2, 3, 4))
        .build()
        .expect("a valid configuration");
    for id in 0..SESSIONS {
        map.insert(id, [id; 8]);
    }
    let tick = || clock.advance(Duration::from_secs(1));
    // Each path has sessions of its own, far apart: none is in the cache from another.
    let paths = 16;
    let known =
        |path: u64| -> Vec<u64> { (0..CALLS).map(|n| n * (SESSIONS / CALLS) + path).collect() };
    let touched = |path| {
        let ids = known(path);
        ids.iter().for_each(|id| assert!(map.touch(id)));
        // What was read last is in the cache; a walk over others puts it out.
        (0..SESSIONS)
            .filter(|id| id % (SESSIONS / CALLS) >= paths)
            .for_each(|id| {
                map.peek(&id);
            });
        ids
    };
    let new: Vec<_> = (SESSIONS..SESSIONS + CHANGES).collect();
    let unchanged = [
        (measured::nothing as fn(&Map, &[u64]), touched(0)),
        (measured::get, touched(1)),
        (measured::with, touched(2)),
        (measured::touch, touched(3)),
        (measured::peek, touched(4)),
    ];
    for (act, ids) in unchanged {
        act(&map, &ids);
    }
    tick();
    measured::get_after_tick(&map, &known(5));
    measured::with_after_tick(&map, &known(6));
    measured::touch_after_tick(&map, &known(7));
    measured::unknown_id(&map, &new[..CALLS as usize]);
    let changed: Vec<_> = (0..CHANGES).map(|n| n * (SESSIONS / CHANGES)).collect();
    measured::update(&map, &changed);
    measured::insert(&map, &new);
    measured::remove(&map, &changed);
    measured::collect_nothing_due(&map, &new[..CALLS as usize]);
    assert_eq!(map.len() as u64, SESSIONS);
}
