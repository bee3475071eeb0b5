//! Creations: from empty, in a full map, and in one that is full and has a bound.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use contenders::load::create;
use contenders::{Coarse, Contender, IDLE, Store, id, value};

use crate::calm;
use crate::plan::Pace;
use crate::subject::Line;

/// Creations, and then as many removals, that are timed together.
const BATCH: u64 = 512;
const BATCHES: u64 = 32;

/// Creates all sessions, beginning with an empty map that was not told how many there will be; then
/// creates and removes some more. In nanoseconds of a thread's time.
pub fn growth<C: Contender<Time = Coarse>>(sessions: u64, threads: u64, pace: &Pace) -> Vec<Line> {
    let mut contender = C::new(Coarse, IDLE, sessions);
    calm::wait(pace.patience);
    let spent = in_turn(&mut contender, threads, |thread, store| {
        let begun = Instant::now();
        create(store, (thread..sessions).step_by(threads as usize));
        [begun.elapsed(), Duration::ZERO]
    });
    let growth = spent[0].as_nanos() as f64 / sessions as f64;
    let spent = in_turn(&mut contender, threads, |thread, store| {
        let first = sessions + thread * BATCH * BATCHES;
        let mut spent = [Duration::ZERO; 2];
        for batch in 0..BATCHES {
            let batch = first + batch * BATCH..first + (batch + 1) * BATCH;
            let begun = Instant::now();
            create(store, batch.clone());
            spent[0] += begun.elapsed();
            let begun = Instant::now();
            for session in batch {
                assert!(store.remove(&id(session)), "a session was lost");
            }
            spent[1] += begun.elapsed();
        }
        spent
    });
    let each = spent.map(|spent| spent.as_nanos() as f64 / (threads * BATCH * BATCHES) as f64);
    vec![
        Line::new("growth", growth, "ns"),
        Line::new("create", each[0], "ns"),
        Line::new("remove", each[1], "ns"),
    ]
}

/// What the threads spent, together.
fn in_turn<C: Contender>(
    contender: &mut C,
    threads: u64,
    act: impl Fn(u64, &mut C::Store<'_>) -> [Duration; 2] + Sync,
) -> [Duration; 2] {
    let start = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let stores = (0..).zip(contender.stores(threads as usize));
        let workers: Vec<_> = stores
            .map(|(thread, mut store)| {
                let (start, act) = (&start, &act);
                scope.spawn(move || {
                    start.wait();
                    act(thread, &mut store)
                })
            })
            .collect();
        let spent = workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"));
        spent.fold([Duration::ZERO; 2], |sum, spent| {
            [sum[0] + spent[0], sum[1] + spent[1]]
        })
    })
}

/// A full map; a sixteenth of its sessions have come back twice. Then twice as many new sessions as
/// the map may hold, that nobody comes back for.
pub fn flood<C: Contender<Time = Coarse>>(sessions: u64, threads: u64, pace: &Pace) -> Vec<Line> {
    let mut contender = C::bounded(Coarse, IDLE, sessions).expect("only asked where there is one");
    contender.fill(0..sessions);
    let regulars = sessions / 16;
    let of_regulars = |store: &mut C::Store<'_>| {
        let found = (0..regulars).filter(|&session| store.get(&id(session)).is_some());
        found.count() as f64
    };
    let before = {
        let store = &mut contender.stores(1)[0];
        store.collect();
        of_regulars(store);
        of_regulars(store)
    };
    calm::wait(pace.patience);
    let strangers = sessions * 2;
    let spent = in_turn(&mut contender, threads, |thread, store| {
        let begun = Instant::now();
        for session in (thread..strangers).step_by(threads as usize) {
            store.create(id(sessions + session), value(session));
        }
        [begun.elapsed(), Duration::ZERO]
    });
    let store = &mut contender.stores(1)[0];
    store.collect();
    let kept = of_regulars(store) / before;
    let all = 0..sessions + strangers;
    let held = all
        .filter(|&session| store.get(&id(session)).is_some())
        .count();
    vec![
        Line::new("flood", spent[0].as_nanos() as f64 / strangers as f64, "ns"),
        Line::new("regulars kept", kept, "ratio"),
        Line::new("held / capacity", held as f64 / sessions as f64, "ratio"),
    ]
}
