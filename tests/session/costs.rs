//! What the sessions of one owner cost, however many there are: counted in allocations.

use crate::allocator::counted;
use crate::sessions::{IDLE, Rig, millis};
use dwell::session::{LiveSession, Settings};

/// The least that it costs in some attempts: the map grows now and then, which is not what is asked
/// for.
fn least_of(mut attempt: impl FnMut() -> (usize, usize)) -> (usize, usize) {
    let costs: Vec<_> = (0..20).map(|_| attempt()).collect();
    let allocations = costs.iter().map(|cost| cost.0).min().unwrap();
    let bytes = costs.iter().map(|cost| cost.1).min().unwrap();
    (allocations, bytes)
}

/// Many more than 1,000: a cost in proportion to them would show.
const NUMBERS: [usize; 4] = [100, 1_000, 10_000, 20_000];

/// An owner's set is about `log2 n` deep; a random one twice as deep at the most, nearly always.
fn deep(number: usize) -> usize {
    2 * number.ilog2() as usize
}

fn guests(rig: &Rig, number: usize) -> Vec<LiveSession> {
    (0..number)
        .map(|_| {
            rig.advance(millis(1));
            rig.owned("guest")
        })
        .collect()
}

/// Asserts what `act` costs with each number of sessions: so many paths of the owner's set, and
/// little else.
#[track_caller]
fn assert_logarithmic(paths: usize, settings: impl Fn(usize) -> Settings, act: impl Fn(&Rig)) {
    for number in NUMBERS {
        let rig = Rig::with(settings(number));
        guests(&rig, number);
        // The first one takes note of all.
        act(&rig);
        let (allocations, bytes) = least_of(|| counted(|| act(&rig)));
        println!("{number} sessions: {allocations} allocations of {bytes} bytes");
        let most = paths * deep(number) + 30;
        assert!(allocations <= most, "{allocations} with {number}");
        // A node takes 64 bytes or so.
        assert!(bytes <= most * 128, "{bytes} bytes with {number}");
    }
}

fn unbounded(_: usize) -> Settings {
    Settings::new(IDLE * 100_000).max_per_owner(None)
}

fn full(number: usize) -> Settings {
    Settings::new(IDLE * 100_000).max_per_owner(number)
}

#[test]
fn a_login_and_a_logout_cost_the_logarithm_of_the_owners_sessions() {
    assert_logarithmic(2, unbounded, |rig| {
        assert!(rig.owned("guest").destroy().unwrap());
    });
}

#[test]
fn a_login_at_the_bound_costs_the_logarithm_of_the_owners_sessions() {
    // It is counted, looked at and claims; what it claims is searched for, noted and ends.
    assert_logarithmic(6, full, |rig| {
        rig.advance(millis(1));
        let before = rig.store.len();
        rig.owned("guest");
        assert_eq!(rig.store.len(), before);
    });
}

#[test]
fn logging_out_everywhere_costs_each_session_the_logarithm() {
    for number in NUMBERS {
        let rig = Rig::with(unbounded(number));
        guests(&rig, number);
        let (allocations, bytes) = counted(|| {
            assert_eq!(rig.store.destroy_owned_by("guest", None), number);
        });
        println!("{number} sessions: {allocations} allocations of {bytes} bytes");
        assert!(allocations <= number * (deep(number) + 10));
        assert!(bytes <= number * (deep(number) + 10) * 128);
        assert_eq!((rig.store.len(), rig.store.stats().owners), (0, 0));
    }
}

#[test]
fn sessions_that_lapse_together_cost_each_the_logarithm() {
    for number in NUMBERS {
        let rig = Rig::with(Settings::new(IDLE).max_per_owner(None));
        for _ in 0..number {
            rig.owned("guest");
        }
        rig.advance(IDLE * 2);
        let (allocations, _) = counted(|| assert_eq!(rig.store.collect(), number));
        println!("{number} sessions: {allocations} allocations");
        assert!(allocations <= number * (deep(number) + 10));
        assert_eq!(rig.store.stats().owners, 0);
    }
}

#[test]
fn a_list_begins_without_a_copy_of_the_owners_sessions() {
    use dwell::provider::{MemoryProvider, Provider};
    for number in NUMBERS {
        let rig = Rig::with(unbounded(number));
        guests(&rig, number);
        let provider = MemoryProvider::new(rig.store.clone());
        let (allocations, bytes) = counted(|| drop(provider.destroy_owned_by("guest", None)));
        assert!(allocations <= 4 && bytes <= 1_000, "{allocations}, {bytes}");
        assert_eq!(rig.store.len(), number);
    }
}
