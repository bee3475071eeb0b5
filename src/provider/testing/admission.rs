//! Admission: each step of a request asks whether the id that the request came with still answers.

use super::{Bench, Case, GRACE, IDLE, case, case_with, get, set, settings};
use crate::provider::{Access, Answer, By};
use crate::session::{SessionError, SessionId, Snapshot};
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(600);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a step is taken while its id answers", in_grace),
        case("a step fails once its id does not answer", after_grace),
        case("a renewal shortens the grace of older ids", older_ids),
        case("a login leaves no other id", login),
        case("a login names the owner", login_owner),
        case("a refused login changes nothing", refused_login),
        case("of logins of one id one succeeds", one_login),
        case("a step that races a login is its or fails", login_race),
        case_with(
            settings().max_per_owner(1),
            "a login ends the owner's surplus",
            login_surplus,
        ),
    ]
}

/// What a request can do to a session under an id.
type Step = (&'static str, fn(&Bench<'_>, By) -> Result<(), SessionError>);

fn done<T: Send>(bench: &Bench<'_>, answer: Answer<'_, T>) -> Result<(), SessionError> {
    bench.try_wait(answer).map(drop)
}

const STEPS: [Step; 9] = [
    ("a read", |bench, by| {
        done(bench, bench.provider.read(by, Access::Touch))
    }),
    ("a peek", |bench, by| {
        done(bench, bench.provider.read(by, Access::Peek))
    }),
    ("a write", |bench, by| {
        done(bench, bench.provider.apply(by, set("key", 1_u64), None))
    }),
    ("a touch", |bench, by| done(bench, bench.provider.touch(by))),
    ("an owner", |bench, by| {
        done(bench, bench.provider.set_owner(by, Some("eve")))
    }),
    ("no owner", |bench, by| {
        done(bench, bench.provider.set_owner(by, None))
    }),
    ("an idle timeout", |bench, by| {
        done(bench, bench.provider.set_idle_timeout(by, LONG))
    }),
    ("a lifetime", |bench, by| {
        done(bench, bench.provider.set_lifetime(by, LONG))
    }),
    // The last one: the session is gone after it.
    ("an end", |bench, by| {
        done(bench, bench.provider.destroy(by))
    }),
];

fn in_grace(bench: &Bench<'_>) {
    let old = bench.init().id;
    bench.renew(&old);
    for (what, step) in STEPS {
        bench.check(
            step(bench, By::Id(old)).is_ok(),
            &format!("{what} to succeed"),
        );
    }
    bench.check(bench.peek(&old.key()).is_none(), "the end to be one");
}

/// What of a session must be as it was.
fn state(session: &Snapshot) -> (u64, Option<u64>, Option<&str>, Option<Duration>) {
    let value = get(session, "key");
    let owner = session.owner.as_deref();
    (session.version, value, owner, session.lifetime_left)
}

/// Each step by an id fails, and changes nothing.
fn refuses_all(bench: &Bench<'_>, id: SessionId) {
    let before = bench.peek(&id.key()).expect("the session is live");
    for (what, step) in STEPS {
        bench.check(
            matches!(step(bench, By::Id(id)), Err(SessionError::Superseded)),
            &format!("{what} by an id that does not answer to fail as superseded"),
        );
        let after = bench.peek(&id.key());
        let after = after.as_ref().map(state);
        bench.check(
            after == Some(state(&before)),
            &format!("{what} that is refused to change nothing"),
        );
    }
}

fn after_grace(bench: &Bench<'_>) {
    let old = bench.owned("ann").id;
    let key = old.key();
    bench.set(&key, "key", 7_u64);
    let new = bench.renew(&old).id;
    bench.advance(GRACE);
    refuses_all(bench, old);
    refuses_all(bench, old.renewed().expect("random bytes"));
    bench.check(bench.keys_of("ann") == [key], "the owner to stay");
    bench.check(bench.keys_of("eve").is_empty(), "no other owner");
    // Nor does it count as an access.
    bench.check(bench.read(&new).is_some(), "the new id to answer");
    bench.advance(IDLE - MILLI);
    refuses_all(bench, old);
    bench.advance(MILLI);
    bench.check(bench.read(&new).is_none(), "no refused step to touch");
}

fn older_ids(bench: &Bench<'_>) {
    let first = bench.init().id;
    let second = bench.renew(&first).id;
    let shorter = GRACE / 5;
    let third = bench.wait(bench.provider.renew(&second, Some(shorter))).id;
    bench.check(
        bench.read(&first).is_some() && bench.read(&second).is_some(),
        "both old ids to answer in the shorter grace",
    );
    bench.advance(shorter);
    refuses_all(bench, first);
    refuses_all(bench, second);
    let fourth = bench.wait(bench.provider.renew(&third, None)).id;
    let fifth = bench
        .wait(bench.provider.renew(&fourth, Some(Duration::ZERO)))
        .id;
    refuses_all(bench, third);
    refuses_all(bench, fourth);
    bench.check(bench.read(&fifth).is_some(), "the newest id to answer");
}

fn login(bench: &Bench<'_>) {
    let first = bench.init().id;
    bench.set(&first.key(), "key", 7_u64);
    let planted = bench.renew(&first).id;
    let issued = bench.wait(bench.provider.log_in(&planted, "ann"));
    bench.check(issued.id.key() == first.key(), "the same key");
    bench.check(
        issued.id != planted && issued.id != first,
        "an id of its own",
    );
    refuses_all(bench, first);
    refuses_all(bench, planted);
    let session = bench.read(&issued.id).expect("the new id answers");
    bench.check(get(&session, "key") == Some(7_u64), "the same attributes");
}

fn login_owner(bench: &Bench<'_>) {
    let visitor = bench.init().id;
    let key = visitor.key();
    let issued = bench.wait(bench.provider.log_in(&visitor, "ann"));
    bench.check(
        issued.snapshot.owner.as_deref() == Some("ann"),
        "what is returned to name the owner",
    );
    bench.check(bench.keys_of("ann") == [key], "the owner to have it");
    bench.wait(bench.provider.set_lifetime(By::Id(issued.id), LONG));
    let issued = bench.wait(bench.provider.log_in(&issued.id, "bob"));
    bench.check(
        issued.snapshot.lifetime_left == Some(LONG),
        "the deadline to be told along with the new id",
    );
    bench.check(bench.keys_of("ann").is_empty(), "another owner's now");
    bench.check(bench.keys_of("bob") == [key], "the other owner to have it");
    let ended = bench.wait(bench.provider.destroy_owned_by("bob", None));
    bench.check(ended == 1, "one session to end");
    bench.check(bench.read(&issued.id).is_none(), "it to be gone");
}

fn refused_login(bench: &Bench<'_>) {
    let old = bench.owned("ann").id;
    let new = bench.renew(&old).id;
    let before = bench.peek(&old.key()).expect("the session is live");
    for _ in 0..2 {
        let refused = bench.try_wait(bench.provider.log_in(&old, "eve"));
        bench.check(
            matches!(refused, Err(SessionError::Superseded)),
            "an old id not to log in, in its grace or after",
        );
        let after = bench.peek(&old.key());
        let after = after.as_ref().map(state);
        bench.check(after == Some(state(&before)), "nothing to be changed by it");
        bench.advance(GRACE);
    }
    bench.check(bench.read(&new).is_some(), "the new id to answer");
    bench.check(bench.keys_of("eve").is_empty(), "no session of hers");
    bench.check(bench.keys_of("ann") == [old.key()], "the owner to stay");
    bench.wait(bench.provider.destroy(By::Id(new)));
    bench.refuses_as_ended(bench.provider.log_in(&new, "ann"), "a login");
    bench.check(bench.keys_of("ann").is_empty(), "nothing to come back");
}

fn one_login(bench: &Bench<'_>) {
    for _ in 0..20 {
        let visitor = bench.init().id;
        let logins = bench.together(4, |number| {
            let owner = format!("user {number}");
            bench.try_wait(bench.provider.log_in(&visitor, &owner))
        });
        let mut winners = 0;
        for (number, login) in logins.into_iter().enumerate() {
            let owned = bench.keys_of(&format!("user {number}"));
            match login {
                Ok(issued) => {
                    winners += 1;
                    bench.check(owned == [visitor.key()], "the winner to have it");
                    bench.wait(bench.provider.destroy(By::Id(issued.id)));
                }
                Err(SessionError::Superseded) => {
                    bench.check(owned.is_empty(), "the others to have nothing");
                }
                Err(error) => panic!("{}: the provider failed: {error}", bench.name),
            }
        }
        bench.check(winners == 1, "one winner");
    }
}

/// A write under the old id came before the login, so that the login's version counts it, or
/// failed.
fn login_race(bench: &Bench<'_>) {
    const WRITERS: u64 = 2;
    for _ in 0..20 {
        let issued = bench.init();
        let old = issued.id;
        let results = bench.together(WRITERS as usize + 1, |number| {
            if number == 0 {
                let issued = bench.wait(bench.provider.log_in(&old, "ann"));
                return Ok(issued.snapshot.version);
            }
            let name = format!("key {number}");
            let write = bench.provider.apply(By::Id(old), set(&name, 1_u64), None);
            bench.try_wait(write).map(|session| session.version)
        });
        let session = bench.peek(&old.key()).expect("the session is live");
        let written = session.attributes.len();
        let mut acknowledged = 0;
        let login = *results[0].as_ref().expect("a login");
        for result in &results[1..] {
            match result {
                Ok(version) => {
                    acknowledged += 1;
                    bench.check(*version < login, "no write after the login");
                }
                Err(SessionError::Superseded) => {}
                Err(error) => panic!("{}: the provider failed: {error}", bench.name),
            }
        }
        bench.check(written == acknowledged, "a write to be done or refused");
        refuses_all(bench, old);
    }
}

fn login_surplus(bench: &Bench<'_>) {
    let first = bench.owned("ann").id;
    bench.advance(MILLI);
    let visitor = bench.init().id;
    let second = bench.wait(bench.provider.log_in(&visitor, "ann")).id;
    bench.check(bench.read(&first).is_none(), "the older one to end");
    bench.check(bench.read(&second).is_some(), "the newest to stay");
    bench.check(bench.keys_of("ann") == [second.key()], "one session");
}
