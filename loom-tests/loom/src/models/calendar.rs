//! The calendar: each live record has one token, in a bucket that is not too late.

use crate::calendars::{IDLE, World};
use crate::explore::{Size, alone, both, explore, three};
use std::sync::Arc;

fn world(keys: usize) -> Arc<World> {
    Arc::new(World::new(keys))
}

fn protecting(keys: usize) -> Arc<World> {
    Arc::new(World::protecting(keys))
}

/// A time at which what was filed at zero is due.
const DUE: u64 = IDLE + 1;

#[test]
fn records_that_are_filed_at_the_same_time_have_a_token_each() {
    explore("calendar: file and file", Size::Pair, || {
        let world = world(0);
        both(
            &world,
            |world| world.insert(0, 0),
            |world| world.insert(1, 0),
        );
        assert_eq!(alone(world).live(), [0, 1]);
    });
}

#[test]
fn records_that_are_filed_while_a_bucket_fills_have_a_token_each() {
    explore("calendar: file and file, overflowing", Size::Pair, || {
        let world = world(1);
        both(
            &world,
            |world| world.insert(1, 0),
            |world| world.insert(2, 0),
        );
        assert_eq!(alone(world).live(), [0, 1, 2]);
    });
}

#[test]
fn who_looks_through_the_calendar_finds_complete_records() {
    explore("calendar: file and look", Size::Pair, || {
        let world = world(1);
        let ((), found) = both(&world, |world| world.insert(1, 0), World::look_through);
        assert!(found >= 1);
        assert_eq!(alone(world).live(), [0, 1]);
    });
}

#[test]
fn a_touched_record_is_kept_by_a_collection() {
    explore("calendar: touch and drain", Size::Pair, || {
        let world = world(1);
        let (touched, ended) = both(
            &world,
            |world| world.touch(0, 3),
            |world| world.collect(DUE),
        );
        assert!(touched != (ended == 1));
        assert_eq!(alone(world).live().len(), usize::from(touched));
    });
}

#[test]
fn a_record_that_is_filed_into_a_bucket_under_collection_is_not_forgotten() {
    explore("calendar: file and drain", Size::Pair, || {
        let world = world(1);
        assert!(world.touch(0, 3));
        let ((), ended) = both(
            &world,
            |world| world.insert(1, 0),
            |world| world.collect(DUE),
        );
        let world = alone(world);
        assert_eq!(world.live().len(), 2 - ended);
        // What was filed too late for the first collection is ended by the next.
        assert_eq!(ended + world.collect(DUE), 1);
        assert_eq!(world.live(), [0]);
    });
}

#[test]
fn a_record_that_is_removed_while_it_is_collected_is_ended_once() {
    explore("calendar: take back and drain", Size::Pair, || {
        let world = world(1);
        let (removed, ended) = both(&world, |world| world.end(0), |world| world.collect(DUE));
        assert!(removed != (ended == 1));
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn a_record_that_is_removed_while_it_is_filed_again_is_ended_once() {
    explore("calendar: take back and file again", Size::Pair, || {
        let world = world(1);
        assert!(world.touch(0, 3));
        let (removed, ended) = both(&world, |world| world.end(0), |world| world.collect(DUE));
        assert!(removed && ended == 0);
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn a_record_that_is_removed_while_it_is_filed_is_ended_once() {
    explore("calendar: take back and file", Size::Pair, || {
        let world = world(0);
        let (removed, ()) = both(&world, |world| world.end(0), |world| world.insert(0, 0));
        assert_eq!(alone(world).live().len(), usize::from(!removed));
    });
}

#[test]
fn a_record_that_is_filed_into_a_bucket_under_collection_is_removed_once() {
    explore("calendar: file, drain and take back", Size::Trio, || {
        let world = world(1);
        let ((), ended, removed) = three(
            &world,
            |world| world.insert(1, 0),
            |world| world.collect(DUE),
            |world| world.end(1),
        );
        let world = alone(world);
        let left = world.live().len();
        assert_eq!(ended + usize::from(removed) + left, 2);
        assert_eq!(world.collect(DUE), left);
    });
}

#[test]
fn two_records_of_a_bucket_are_removed_at_the_same_time() {
    explore("calendar: take back and take back", Size::Pair, || {
        let world = world(2);
        let ended = both(&world, |world| world.end(0), |world| world.end(1));
        assert_eq!(ended, (true, true));
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn what_is_filed_into_a_bucket_of_which_most_is_cleared_is_not_forgotten() {
    explore("calendar: file, and take back most", Size::Trio, || {
        let world = world(1);
        three(
            &world,
            |world| world.end(0),
            |world| world.insert(1, 0),
            |world| world.insert(2, 0),
        );
        assert_eq!(alone(world).live(), [1, 2]);
    });
}

#[test]
fn a_shorter_allowance_moves_a_record_that_is_being_filed() {
    explore("calendar: refile and file", Size::Pair, || {
        let world = world(0);
        both(
            &world,
            |world| world.allow(0, 1),
            |world| world.insert(0, 0),
        );
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_longer_and_then_a_shorter_allowance_move_a_record_that_is_being_filed() {
    explore("calendar: refile twice and file", Size::Pair, || {
        let world = world(0);
        both(
            &world,
            |world| {
                world.allow(0, 9);
                world.allow(0, 1);
            },
            |world| world.insert(0, 0),
        );
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_shorter_allowance_moves_a_record_that_is_being_filed_again() {
    explore("calendar: refile and file again", Size::Pair, || {
        let world = world(1);
        assert!(world.touch(0, 3));
        let (allowed, ended) = both(
            &world,
            |world| world.allow(0, 2),
            |world| world.collect(DUE),
        );
        let world = alone(world);
        assert!(allowed || ended == 1);
        assert_eq!(world.live().len(), 1 - ended);
        assert_eq!(ended + world.collect(DUE + 1), 1);
    });
}

#[test]
fn two_allowances_at_the_same_time_leave_the_record_in_time() {
    explore("calendar: refile and refile", Size::Pair, || {
        let world = world(1);
        let allowed = both(&world, |world| world.allow(0, 2), |world| world.allow(0, 1));
        assert_eq!(allowed, (true, true));
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_record_that_is_removed_while_its_allowance_changes_is_ended_once() {
    explore("calendar: refile and take back", Size::Pair, || {
        let world = world(1);
        let (_, ended) = both(&world, |world| world.allow(0, 2), |world| world.end(0));
        assert!(ended);
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn an_allowance_a_removal_and_a_collection_agree() {
    explore("calendar: refile, take back and drain", Size::Trio, || {
        let world = world(1);
        let (_, removed, ended) = three(
            &world,
            |world| world.allow(0, 9),
            |world| world.end(0),
            |world| world.collect(DUE),
        );
        assert!(removed != (ended == 1));
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn a_successor_inherits_the_token_that_is_being_filed() {
    explore("calendar: replace and file", Size::Pair, || {
        let world = world(0);
        both(
            &world,
            |world| world.replace(0, 3),
            |world| world.insert(0, 0),
        );
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_successor_that_ends_earlier_is_filed_earlier() {
    explore("calendar: replace and refile", Size::Pair, || {
        let world = world(1);
        let both = both(
            &world,
            |world| world.replace(0, 1),
            |world| world.allow(0, 9),
        );
        assert_eq!(both, (true, true));
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_successor_inherits_the_token_that_is_being_drained() {
    explore("calendar: replace and drain", Size::Pair, || {
        let world = world(1);
        let (replaced, ended) = both(
            &world,
            |world| world.replace(0, 3),
            |world| world.collect(DUE),
        );
        assert!(replaced != (ended == 1));
        assert_eq!(alone(world).live().len(), usize::from(replaced));
    });
}

#[test]
fn a_record_that_is_replaced_and_removed_leaves_no_token() {
    explore("calendar: replace and take back", Size::Pair, || {
        let world = world(1);
        let (_, ended) = both(&world, |world| world.replace(0, 3), |world| world.end(0));
        assert!(ended);
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn the_place_of_a_successor_leads_to_a_complete_bucket() {
    explore("calendar: file, replace and take back", Size::Trio, || {
        let world = world(0);
        three(
            &world,
            |world| world.insert(0, 0),
            |world| world.replace(0, 3),
            |world| world.end(0),
        );
        alone(world).live();
    });
}

#[test]
fn a_record_that_is_replaced_twice_has_one_token() {
    explore("calendar: replace and replace", Size::Pair, || {
        let world = world(1);
        let replaced = both(
            &world,
            |world| world.replace(0, 2),
            |world| world.replace(0, 3),
        );
        assert_eq!(replaced, (true, true));
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_replacement_a_removal_and_a_collection_agree() {
    explore("calendar: replace, take back and drain", Size::Trio, || {
        let world = world(1);
        let (_, removed, ended) = three(
            &world,
            |world| world.replace(0, 3),
            |world| world.end(0),
            |world| world.collect(DUE),
        );
        assert!(removed != (ended == 1));
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn two_collections_end_each_record_once() {
    explore("calendar: drain and drain", Size::Pair, || {
        let world = world(3);
        assert!(world.touch(1, 3));
        let (one, two) = both(
            &world,
            |world| world.collect(DUE),
            |world| world.collect(DUE),
        );
        assert_eq!(one + two, 2);
        assert_eq!(alone(world).live(), [1]);
    });
}

#[test]
fn an_eviction_spares_what_is_touched_at_the_same_time_or_comes_before_it() {
    explore("calendar: evict and touch", Size::Pair, || {
        let world = world(2);
        let (evicted, touched) = both(&world, World::evict, |world| world.touch(0, 1));
        assert!(evicted);
        assert_eq!(alone(world).live(), if touched { [0] } else { [1] });
    });
}

#[test]
fn two_evictions_end_two_records() {
    explore("calendar: evict and evict", Size::Pair, || {
        let world = world(2);
        let evicted = both(&world, World::evict, World::evict);
        assert_eq!(evicted, (true, true));
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn an_eviction_and_a_collection_share_a_bucket() {
    explore("calendar: evict and drain", Size::Pair, || {
        let world = world(2);
        let (evicted, ended) = both(&world, World::evict, |world| world.collect(DUE));
        assert_eq!(usize::from(evicted) + ended, 2);
        assert!(alone(world).live().is_empty());
    });
}

#[test]
fn a_record_whose_protection_changes_while_it_is_filed_is_among_its_like() {
    explore("calendar: protect and file", Size::Pair, || {
        let world = protecting(0);
        both(
            &world,
            |world| world.replace(0, 3),
            |world| world.insert(0, 0),
        );
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_record_whose_protection_changes_while_it_is_drained_is_among_its_like() {
    explore("calendar: protect and drain", Size::Pair, || {
        let world = protecting(1);
        assert!(world.touch(0, 3));
        let (replaced, ended) = both(
            &world,
            |world| world.replace(0, 3),
            |world| world.collect(DUE),
        );
        assert!(replaced && ended == 0);
        assert_eq!(alone(world).live(), [0]);
    });
}

#[test]
fn a_record_whose_protection_changes_while_it_is_removed_leaves_no_token() {
    explore("calendar: protect and take back", Size::Pair, || {
        let world = protecting(1);
        let (_, ended) = both(&world, |world| world.replace(0, 3), |world| world.end(0));
        assert!(ended);
        assert!(alone(world).live().is_empty());
    });
}
