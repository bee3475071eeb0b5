//! Each contender does what the measurements take for granted.

use std::thread;
use std::time::Duration;

use contenders::load::{LANES, Lanes, Work, Worker};
use contenders::{
    Coarse, Contender, FOLD, IDLE, NAMES, Skewed, Store, Task, id, run, updated, value,
};

/// A multiple of [`LANES`].
const SESSIONS: u64 = LANES * 64;

fn each<W: Task<Skewed> + Copy>(task: W) {
    for name in NAMES {
        println!("{name}");
        run(name, task).expect("listed by this name");
    }
}

fn full<C: Contender<Time = Skewed>>(time: Skewed) -> C {
    let mut contender = C::new(time, IDLE, SESSIONS);
    contender.fill(0..SESSIONS);
    contender
}

#[derive(Clone, Copy)]
struct LookUp;

impl Task<Skewed> for LookUp {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        let mut contender = full::<C>(Skewed::default());
        for store in &mut contender.stores(2) {
            for session in 0..SESSIONS {
                assert_eq!(store.with(&id(session), |v| *v), Some(value(session)));
            }
            assert_eq!(store.get(&id(7)), Some(FOLD));
            assert_eq!(store.get(&id(SESSIONS)), None);
        }
    }
}

#[test]
fn all_that_was_filled_in_is_found_and_nothing_else() {
    each(LookUp);
}

#[derive(Clone, Copy)]
struct Change;

impl Task<Skewed> for Change {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        if !C::CHANGES {
            return;
        }
        let mut contender = full::<C>(Skewed::default());
        let store = &mut contender.stores(1)[0];
        let new = SESSIONS;
        assert!(!store.update(&id(new)), "updated what is not there");
        assert_eq!(store.with(&id(new), |_| ()), None, "an update created");
        assert!(store.create(id(new), value(new)));
        assert!(store.update(&id(new)) && store.update(&id(new)));
        let twice = updated(&updated(&value(new)));
        assert_eq!(store.with(&id(new), |v| *v), Some(twice));
        assert!(store.remove(&id(new)));
        assert_eq!(store.with(&id(new), |_| ()), None, "still there");
        assert!(!store.update(&id(new)), "still there for an update");
        if C::TELLS_REMOVED {
            assert!(!store.remove(&id(new)), "removed twice");
        }
        if C::TELLS_CREATED {
            assert!(!store.create(id(7), value(7)), "created twice");
        }
    }
}

#[test]
fn creations_updates_and_removals_take_effect_and_tell_so() {
    each(Change);
}

#[derive(Clone, Copy)]
struct Lapse;

impl Task<Skewed> for Lapse {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        if C::OWN_CLOCK || !C::COLLECTS {
            return;
        }
        let time = Skewed::default();
        let mut contender = C::new(time.clone(), IDLE, SESSIONS);
        let store = &mut contender.stores(1)[0];
        contenders::load::create(store, 0..SESSIONS);
        time.advance(IDLE.mul_f64(0.6));
        for session in (0..SESSIONS).step_by(4) {
            assert!(store.get(&id(session)).is_some());
            assert!(store.update(&id(session + 1)));
        }
        assert_eq!(store.collect(), 0, "nothing is due");
        time.advance(IDLE.mul_f64(0.5));
        assert_eq!(store.collect() as u64, SESSIONS / 2, "the untouched half");
        assert_eq!(store.collect(), 0, "all due have been ended");
        for session in 0..SESSIONS {
            assert_eq!(store.get(&id(session)).is_some(), session % 4 < 2);
        }
    }
}

/// moka and mini-moka have their own clocks, and tower-sessions collects nothing.
#[test]
fn a_collection_ends_what_was_not_touched() {
    each(Lapse);
}

#[derive(Clone, Copy)]
struct Crowd;

impl Task<Skewed> for Crowd {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        const THREADS: u64 = 4;
        if !C::CHANGES || !C::SHARED {
            return;
        }
        let mut contender = full::<C>(Skewed::default());
        let mut lanes = Lanes::new(SESSIONS);
        lanes.draw();
        for work in [Work::Uniform, Work::Zipf, Work::Mixed, Work::Churn] {
            thread::scope(|scope| {
                for (thread, mut store) in (0..).zip(contender.stores(THREADS as usize)) {
                    let mut worker = Worker::new(&lanes, thread, THREADS);
                    scope.spawn(move || {
                        worker.run(work, &mut store, 4_096);
                        worker.finish(&mut store);
                        worker.tally.check(work);
                    });
                }
            });
        }
        let store = &mut contender.stores(1)[0];
        let living: Vec<_> = lanes.living().collect();
        assert_eq!(living.len() as u64, SESSIONS);
        for session in living {
            assert_eq!(store.get(&id(session)), Some(FOLD), "{session} was lost");
        }
    }
}

#[test]
fn threads_lose_no_session() {
    each(Crowd);
}

#[derive(Clone, Copy)]
struct Flood;

impl Task<Skewed> for Flood {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        let Some(mut contender) = C::bounded(Skewed::default(), IDLE, SESSIONS) else {
            return;
        };
        let store = &mut contender.stores(1)[0];
        for session in 0..SESSIONS * 4 {
            store.create(id(session), value(session));
        }
        for _ in 0..SESSIONS {
            store.collect();
        }
        let kept = (0..SESSIONS * 4).filter(|&session| store.get(&id(session)).is_some());
        let kept = kept.count() as u64;
        // quick_cache and the sharded seed divide their capacity evenly.
        assert!(kept <= SESSIONS + SESSIONS / 32, "{kept} of {SESSIONS}");
        assert!(kept >= SESSIONS - SESSIONS / 4, "{kept} of {SESSIONS}");
    }
}

#[test]
fn a_bound_is_kept_and_used() {
    each(Flood);
}

#[test]
fn a_contender_that_is_not_listed_is_not_run() {
    struct Nothing;
    impl Task<Coarse> for Nothing {
        type Output = Duration;
        fn run<C: Contender<Time = Coarse>>(self) -> Duration {
            unreachable!("no contender has this name")
        }
    }
    assert_eq!(run("memcached", Nothing), None);
}
