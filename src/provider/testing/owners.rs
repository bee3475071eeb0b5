//! The owner's sessions: listed, counted and ended exactly.

use super::{Bench, Case, IDLE, case, case_with, settings};
use crate::provider::By;
use std::time::Duration;

const MOST: usize = 2;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("an owner has the sessions that say so", says_so),
        case("a session that ends leaves its owner's list", ends),
        case("a list tells what is left of each session", left),
        case("sessions that have lapsed are not ended again", lapsed),
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

fn left(bench: &Bench<'_>) {
    let short = IDLE / 3;
    let limited = bench.owned("ann").id;
    bench.advance(short / 2);
    bench.wait(bench.provider.set_lifetime(By::Id(limited), short));
    let left = |owner| {
        let listed = bench.wait(bench.provider.owned_by(owner));
        listed
            .first()
            .map(|session| (session.idle_for, session.time_left, session.lifetime_left))
    };
    bench.check(
        left("ann") == Some((short / 2, short, Some(short))),
        "the deadline to count where it comes first",
    );
    bench.wait(bench.provider.set_lifetime(By::Id(limited), IDLE * 2));
    bench.check(
        left("ann") == Some((short / 2, IDLE - short / 2, Some(IDLE * 2))),
        "the idle timeout to count where it comes first",
    );
    let own = bench.owned("bob").id;
    bench.wait(bench.provider.set_idle_timeout(By::Id(own), short));
    bench.check(
        left("bob") == Some((Duration::ZERO, short, None)),
        "a session's own idle timeout to count",
    );
}

fn lapsed(bench: &Bench<'_>) {
    for _ in 0..3 {
        bench.owned("ann");
    }
    bench.advance(IDLE);
    let live = bench.owned("ann").id;
    let ended = bench.wait(bench.provider.destroy_owned_by("ann", None));
    bench.check(ended == 1, "the live session to be counted, and no other");
    bench.check(bench.read(&live).is_none(), "it to be gone");
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
