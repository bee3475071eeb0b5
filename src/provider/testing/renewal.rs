//! Renewal: one step, and an old id that answers for its grace.

use super::{Bench, Case, GRACE, IDLE, case, get};
use crate::provider::By;
use crate::session::SessionError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a renewed session keeps everything but its id", keeps),
        case("an old id answers for its grace and not after", grace),
        case("a grace of zero ends the old id at once", no_grace),
        case("only the newest id can be renewed", superseded),
        case("of requests that renew one id one does", one_winner),
        case("readers find the session all through renewals", readers),
        case("a renewal does not outlive a logout", logout),
    ]
}

fn keeps(bench: &Bench<'_>) {
    let old = bench.owned("ann").id;
    let key = old.key();
    bench.set(&key, "cart", 3_u64);
    bench.wait(bench.provider.set_lifetime(By::Key(key), IDLE * 2));
    bench.advance(IDLE / 2);
    let new = bench.renew(&old);
    bench.check(
        new.snapshot.lifetime_left == Some(IDLE * 2 - IDLE / 2),
        "the deadline to be told along with the new id",
    );
    bench.check(new.id != old, "another id");
    bench.check(new.id.key() == key, "the same key");
    let session = bench.read(&new.id).expect("the new id answers");
    bench.check(get(&session, "cart") == Some(3_u64), "the same attributes");
    bench.check(session.owner.as_deref() == Some("ann"), "the same owner");
    bench.check(bench.keys_of("ann") == [key], "one session of the owner's");
    bench.check(
        session.lifetime_left == Some(IDLE * 2 - IDLE / 2),
        "the same absolute deadline",
    );
}

fn grace(bench: &Bench<'_>) {
    let old = bench.init().id;
    let new = bench.renew(&old).id;
    bench.check(
        bench
            .read(&old)
            .is_some_and(|session| session.is_superseded),
        "the old id to answer, and to be told for what it is",
    );
    bench.check(
        bench
            .read(&new)
            .is_some_and(|session| !session.is_superseded),
        "the new id to be told for the newest",
    );
    bench.advance(GRACE - MILLI);
    bench.check(
        bench.read(&old).is_some(),
        "the old id to answer to the last",
    );
    bench.advance(MILLI);
    bench.check(
        bench.read(&old).is_none(),
        "the old id not to answer any more",
    );
    bench.check(bench.read(&new).is_some(), "the new id to answer");
}

fn no_grace(bench: &Bench<'_>) {
    let old = bench.init().id;
    let new = bench
        .wait(bench.provider.renew(&old, Some(Duration::ZERO)))
        .id;
    bench.check(bench.read(&old).is_none(), "the old id not to answer");
    bench.check(bench.read(&new).is_some(), "the new id to answer");
}

fn superseded(bench: &Bench<'_>) {
    let old = bench.init().id;
    let new = bench.renew(&old).id;
    for _ in 0..2 {
        let refused = bench.try_wait(bench.provider.renew(&old, None));
        bench.check(
            matches!(refused, Err(SessionError::Superseded)),
            "an old id not to be renewed, in its grace or after",
        );
        bench.advance(GRACE);
    }
    bench.check(bench.read(&new).is_some(), "the new id to answer");
}

fn one_winner(bench: &Bench<'_>) {
    for _ in 0..20 {
        let old = bench.init().id;
        let renewals = bench.together(4, |_| bench.try_wait(bench.provider.renew(&old, None)));
        let winners: Vec<_> = renewals.into_iter().flatten().collect();
        bench.check(winners.len() == 1, "one winner");
        let session = bench.read(&winners[0].id);
        bench.check(session.is_some(), "the winner's id to answer");
    }
}

/// A reader holds the announcement while it reads, so that at most one renewal passes: its id is
/// the newest, or in its grace.
fn readers(bench: &Bench<'_>) {
    const ROUNDS: usize = 50;
    let newest = Mutex::new(bench.init().id);
    let announced = || newest.lock().unwrap_or_else(PoisonError::into_inner);
    bench.together(3, |number| {
        for _ in 0..ROUNDS {
            if number == 0 {
                let id = *announced();
                let renewed = bench.renew(&id).id;
                *announced() = renewed;
            } else {
                let id = announced();
                bench.check(bench.read(&id).is_some(), "one of both ids to answer");
            }
        }
    });
}

fn logout(bench: &Bench<'_>) {
    for _ in 0..20 {
        let old = bench.init().id;
        let new = bench.together(2, |number| {
            if number == 0 {
                bench.check(
                    bench.wait(bench.provider.destroy(By::Key(old.key()))),
                    "a live session",
                );
                return None;
            }
            bench.try_wait(bench.provider.renew(&old, None)).ok()
        });
        bench.check(bench.read(&old).is_none(), "the old id not to answer");
        for issued in new.into_iter().flatten() {
            bench.check(bench.read(&issued.id).is_none(), "the new id not to answer");
        }
    }
}
