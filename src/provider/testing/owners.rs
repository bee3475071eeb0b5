//! The owner's sessions: listed, counted and ended exactly.

use super::{Bench, Case, IDLE, case, case_with, settings};
use crate::provider::By;
use std::time::Duration;

const MOST: usize = 2;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("an owner has the sessions that say so", says_so),
        case("a session that ends leaves its owner's list", ends),
        case("all sessions of an owner end, or all but one", everywhere),
        case_with(
            settings().max_per_owner(MOST),
            "of too many sessions of an owner the most idle ends",
            surplus,
        ),
    ]
}

fn says_so(bench: &Bench<'_>) {
    let (one, two) = (bench.owned("ann").id.key(), bench.owned("ann").id.key());
    let mut both = [one, two];
    both.sort();
    bench.check(bench.keys_of("ann") == both, "both sessions");
    bench.set_owner(&one, Some("bob"));
    bench.set_owner(&two, None);
    bench.check(bench.keys_of("ann").is_empty(), "none any more");
    bench.check(bench.keys_of("bob") == [one], "the other owner's session");
    let owner = bench.peek(&one).and_then(|session| session.owner);
    bench.check(
        owner.as_deref() == Some("bob"),
        "the session to name its owner",
    );
    let odd = "o'wner:*\0\n🔑";
    bench.set_owner(&two, Some(odd));
    bench.check(bench.keys_of(odd) == [two], "an owner of any name");
}

fn ends(bench: &Bench<'_>) {
    let destroyed = bench.owned("ann").id;
    bench.wait(bench.provider.destroy(By::Key(destroyed.key())));
    bench.check(bench.keys_of("ann").is_empty(), "none after a logout");
    bench.owned("ann");
    bench.advance(IDLE);
    bench.check(
        bench.keys_of("ann").is_empty(),
        "none after the idle timeout",
    );
    let renewed = bench.owned("ann").id;
    let renewed = bench.renew(&renewed).id;
    bench.check(
        bench.keys_of("ann") == [renewed.key()],
        "one after a renewal",
    );
}

fn everywhere(bench: &Bench<'_>) {
    let phone = bench.owned("ann").id;
    let on_phone = phone.key();
    let others = [bench.owned("ann").id, bench.owned("ann").id];
    let stranger = bench.owned("bob").id;
    let end = |except| bench.wait(bench.provider.destroy_owned_by("ann", except));
    bench.check(end(Some(&on_phone)) == 2, "two sessions to end");
    bench.check(bench.read(&phone).is_some(), "the one to stay");
    for other in others {
        bench.check(bench.read(&other).is_none(), "the others to be gone");
    }
    bench.check(
        end(None) == 1 && end(None) == 0,
        "the last one to end, once",
    );
    bench.check(
        bench.read(&stranger).is_some(),
        "another owner's session to stay",
    );
}

fn surplus(bench: &Bench<'_>) {
    let tick = Duration::from_millis(10);
    let first = bench.owned("ann").id;
    bench.advance(tick);
    let second = bench.owned("ann").id;
    bench.advance(tick);
    bench.check(bench.read(&first).is_some(), "the first to be in use");
    bench.advance(tick);
    let third = bench.owned("ann").id;
    let mut expected = [first.key(), third.key()];
    expected.sort();
    bench.check(bench.keys_of("ann") == expected, "the most idle one to end");
    bench.check(bench.read(&second).is_none(), "its id to answer no more");
}
