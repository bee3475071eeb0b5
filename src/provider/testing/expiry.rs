//! Expiry: exact on read, with a manual clock. The bound.

use super::{Bench, Case, IDLE, case, case_with, set, settings};
use crate::provider::{Access, By};
use crate::session::{SessionError, SessionId};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(100);
const CAPACITY: usize = 100;
const MILLI: Duration = Duration::from_millis(1);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("an idle session ends on the millisecond", idle),
        case("each access starts the idle time anew", touches),
        case("a peek does not", peeks),
        case_with(
            settings().max_lifetime(LIFETIME),
            "an absolute lifetime ends a session in use",
            lifetime,
        ),
        case("a session may have terms of its own", own_terms),
        case("setting terms is no access", terms_do_not_touch),
        case_with(
            settings().touch_resolution(IDLE / 2),
            "a short idle timeout of its own outlives a long touch resolution",
            own_idle_in_use,
        ),
        case("the age counts from the creation", age),
        case("collection ends what is due and nothing else", collection),
        case("an id that was not issued is never adopted", unknown_ids),
        case_with(
            settings().capacity(CAPACITY),
            "a full store takes new sessions and keeps its bound",
            bound,
        ),
    ]
}

fn idle(bench: &Bench<'_>) {
    let id = bench.init().id;
    bench.advance(IDLE - MILLI);
    bench.check(
        bench.peek(&id.key()).is_some(),
        "a live session just before",
    );
    bench.advance(MILLI);
    bench.check(bench.peek(&id.key()).is_none(), "none by its key");
    bench.check(bench.read(&id).is_none(), "none by its id");
    bench.refuses_as_ended(bench.provider.touch(By::Key(id.key())), "a touch");
    bench.refuses_as_ended(
        bench
            .provider
            .apply(By::Key(id.key()), set("key", 1_u64), None),
        "a write",
    );
}

fn touches(bench: &Bench<'_>) {
    let id = bench.init().id;
    let key = id.key();
    let accesses: [&dyn Fn(); 4] = [
        &|| bench.check(bench.read(&id).is_some(), "a read"),
        &|| bench.wait(bench.provider.touch(By::Key(key))),
        &|| drop(bench.set(&key, "key", 1_u64)),
        &|| drop(bench.wait(bench.provider.read(By::Key(key), Access::Touch))),
    ];
    for access in accesses {
        bench.advance(IDLE - MILLI);
        access();
    }
    bench.advance(IDLE - MILLI);
    bench.check(bench.peek(&key).is_some(), "every access to count");
}

fn peeks(bench: &Bench<'_>) {
    let issued = bench.owned("ann");
    bench.advance(IDLE - MILLI);
    bench.check(bench.peek(&issued.id.key()).is_some(), "a live session");
    let listed = bench.wait(bench.provider.owned_by("ann"));
    bench.check(
        listed.len() == 1 && listed[0].idle_for == IDLE - MILLI && listed[0].time_left == MILLI,
        "a list that tells how long a session was idle, and is left",
    );
    bench.advance(MILLI);
    bench.check(
        bench.read(&issued.id).is_none(),
        "no look to count as an access",
    );
}

fn lifetime(bench: &Bench<'_>) {
    let id = bench.init().id;
    for _ in 0..3 {
        bench.advance(LIFETIME / 4);
        let session = bench.read(&id);
        bench.check(session.is_some(), "a live session before its time");
    }
    let left = bench
        .peek(&id.key())
        .and_then(|session| session.lifetime_left);
    bench.check(left == Some(LIFETIME / 4), "what is left of the lifetime");
    bench.advance(LIFETIME / 4 - MILLI);
    bench.check(bench.read(&id).is_some(), "a live session just before");
    bench.advance(MILLI);
    bench.check(bench.read(&id).is_none(), "the session to end in use");
}

fn own_terms(bench: &Bench<'_>) {
    let (long, short, limited) = (bench.init().id, bench.init().id, bench.init().id);
    let set_idle =
        |id: &SessionId, idle| bench.wait(bench.provider.set_idle_timeout(By::Key(id.key()), idle));
    set_idle(&long, IDLE * 10);
    set_idle(&short, MILLI);
    bench.wait(
        bench
            .provider
            .set_lifetime(By::Key(limited.key()), MILLI * 2),
    );
    bench.advance(MILLI);
    bench.check(
        bench.read(&short).is_none(),
        "a shorter idle timeout at once",
    );
    bench.check(
        bench.read(&limited).is_some(),
        "a live session before its deadline",
    );
    bench.advance(MILLI);
    bench.check(bench.read(&limited).is_none(), "a lifetime at once");
    bench.advance(IDLE * 9);
    bench.check(bench.read(&long).is_some(), "a longer idle timeout");
}

fn own_idle_in_use(bench: &Bench<'_>) {
    let own = IDLE / 20;
    let id = bench.init().id;
    bench.wait(bench.provider.set_idle_timeout(By::Id(id), own));
    for _ in 0..100 {
        bench.advance(own / 4);
        bench.check(bench.read(&id).is_some(), "a session in use to live");
    }
    bench.advance(own);
    bench.check(bench.read(&id).is_none(), "its own idle timeout to count");
}

fn terms_do_not_touch(bench: &Bench<'_>) {
    for number in 0..3 {
        let issued = bench.init();
        let id = issued.id;
        let by = By::Id(id);
        bench.advance(IDLE - MILLI);
        if number != 1 {
            bench.wait(bench.provider.set_idle_timeout(by, IDLE));
        }
        if number != 0 {
            bench.wait(bench.provider.set_lifetime(by, IDLE * 10));
        }
        let version = bench.peek(&id.key()).map(|session| session.version);
        bench.check(
            version == Some(issued.snapshot.version),
            "terms to make no version",
        );
        bench.advance(MILLI);
        let session = bench.peek(&id.key());
        bench.check(session.is_none(), "terms to start no idle time anew");
    }
}

fn age(bench: &Bench<'_>) {
    let step = IDLE / 2;
    let issued = bench.init();
    bench.check(issued.snapshot.age == Duration::ZERO, "a new session");
    let key = issued.id.key();
    let age = || bench.peek(&key).map(|session| session.age);
    bench.advance(step);
    bench.check(age() == Some(step), "the age after a while");
    let written = bench.set(&key, "key", 1_u64);
    bench.check(written.age == step, "the age that a write returns");
    bench.advance(step);
    let renewed = bench.renew(&issued.id);
    bench.check(renewed.snapshot.age == step * 2, "no renewal to count");
    bench.set_owner(&key, Some("ann"));
    bench.advance(step);
    let logged_in = bench.wait(bench.provider.log_in(&renewed.id, "bob"));
    bench.check(logged_in.snapshot.age == step * 3, "no login to count");
    bench.check(age() == Some(step * 3), "no owner to count");
}

fn collection(bench: &Bench<'_>) {
    let early: Vec<_> = (0..50).map(|_| bench.init().id).collect();
    bench.advance(IDLE / 2);
    let late: Vec<_> = (0..50).map(|_| bench.init().id).collect();
    bench.advance(IDLE / 2 + IDLE / 10);
    let ended = bench.wait(bench.provider.collect());
    bench.check(ended <= early.len(), "no more to be ended than is due");
    for id in &early {
        bench.check(bench.peek(&id.key()).is_none(), "what is due to be gone");
    }
    for id in &late {
        bench.check(
            bench.peek(&id.key()).is_some(),
            "what is not due to be there",
        );
    }
}

fn unknown_ids(bench: &Bench<'_>) {
    let live = bench.init().id;
    let planted = SessionId::generate().expect("the operating system gives random bytes");
    let forged = live
        .renewed()
        .expect("the operating system gives random bytes");
    bench.advance(IDLE - MILLI);
    for id in [&planted, &forged] {
        for _ in 0..2 {
            bench.check(
                bench.read(id).is_none(),
                "an unknown id to answer to nothing",
            );
        }
        let refused = bench.try_wait(bench.provider.renew(id, None));
        bench.check(
            matches!(refused, Err(SessionError::Ended | SessionError::Superseded)),
            "an unknown id not to be renewed",
        );
    }
    bench.check(
        bench.peek(&planted.key()).is_none(),
        "no session to be made for it",
    );
    bench.advance(MILLI);
    bench.check(
        bench.read(&live).is_none(),
        "a key with a wrong secret not to touch the session",
    );
}

fn bound(bench: &Bench<'_>) {
    let user = bench.owned("ann").id;
    let mut ids = Vec::new();
    for _ in 0..CAPACITY * 10 {
        bench.check(bench.read(&user).is_some(), "a session in use to stay");
        let issued = bench.init();
        let is_live = bench.peek(&issued.id.key()).is_some();
        bench.check(is_live, "a new session not to be dropped silently");
        ids.push(issued.id);
    }
    let live = ids
        .iter()
        .filter(|id| bench.peek(&id.key()).is_some())
        .count();
    // A tenth over it, for providers that count loosely.
    bench.check(
        live <= CAPACITY + CAPACITY / 10,
        "no more sessions than the capacity",
    );
    bench.check(live >= CAPACITY / 2, "the capacity to be used");
}
