//! What is refused changes nothing: no version, and the idle time goes on.

use super::{Bench, Case, IDLE, case, case_with, get, set, settings};
use crate::provider::{Access, By};
use crate::session::{Attributes, Changes, IssuedSession, SessionError};

/// What a session may take in the cases about that.
const BOUND: u64 = 16_000;

pub(super) fn cases() -> Vec<Case> {
    let bounded = || settings().max_session_bytes(BOUND);
    vec![
        case("a refused write does not touch", untouched),
        case("a write that changes nothing is none", unwritten),
        case_with(bounded(), "a session that is too large is refused", large),
        case_with(bounded(), "what is deleted makes room", room),
    ]
}

/// Whether a step leaves a session as it is: two thirds of its idle time before it, and one after
/// it.
fn leaves_as_it_is(bench: &Bench<'_>, what: &str, step: impl Fn(&IssuedSession)) {
    let issued = bench.init();
    let key = issued.id.key();
    let version = bench.set(&key, "key", 1_u64).version;
    bench.advance(IDLE / 3 * 2);
    step(&issued);
    let session = bench.peek(&key).expect("the session is live");
    bench.check(
        session.version == version && get(&session, "key") == Some(1_u64),
        &format!("{what} to change nothing"),
    );
    bench.advance(IDLE / 3);
    let is_over = bench.peek(&key).is_none();
    bench.check(is_over, &format!("{what} not to touch"));
}

fn untouched(bench: &Bench<'_>) {
    let provider = &bench.provider;
    leaves_as_it_is(bench, "a conflict", |issued| {
        let changes = set("key", 2_u64);
        let version = Some(issued.snapshot.version);
        let refused = bench.try_wait(provider.apply(By::Key(issued.id.key()), changes, version));
        bench.check(
            matches!(refused, Err(SessionError::Conflict { .. })),
            "a conflict",
        );
    });
    leaves_as_it_is(bench, "a write by another id", |issued| {
        let other = issued.id.renewed().expect("the system gives random bytes");
        let refused = bench.try_wait(provider.apply(By::Id(other), set("key", 2_u64), None));
        bench.check(
            matches!(refused, Err(SessionError::Superseded)),
            "a write by another id to be refused",
        );
    });
    leaves_as_it_is(bench, "a renewal by another id", |issued| {
        let other = issued.id.renewed().expect("the system gives random bytes");
        let renewed = bench.try_wait(provider.renew(&other, None));
        let logged_in = bench.try_wait(provider.log_in(&other, "ann"));
        bench.check(
            matches!(renewed, Err(SessionError::Superseded))
                && matches!(logged_in, Err(SessionError::Superseded)),
            "a renewal by another id to be refused",
        );
        let owned = bench.keys_of("ann");
        bench.check(owned.is_empty(), "no owner");
    });
}

fn unwritten(bench: &Bench<'_>) {
    for (what, changes) in [
        ("no changes", Changes::default()),
        (
            "deleting what is not there",
            Changes::default().delete("none").delete(""),
        ),
    ] {
        leaves_as_it_is(bench, what, |issued| {
            let key = By::Key(issued.id.key());
            let session = bench.wait(bench.provider.apply(key, changes.clone(), None));
            bench.check(
                get(&session, "key") == Some(1_u64),
                "the session as it is, in return",
            );
        });
    }
}

fn large(bench: &Bench<'_>) {
    let provider = &bench.provider;
    let large = || "x".repeat(BOUND as usize + 1);
    let is_refused = |result: Result<(), SessionError>| {
        let bound = matches!(result, Err(SessionError::TooLarge { bytes, bound })
            if bound == BOUND && bytes > BOUND);
        bench.check(bound, "an error that says how large it would be");
    };
    leaves_as_it_is(bench, "a value that is too large", |issued| {
        let changes = set("key", 2_u64)
            .set("large", large())
            .expect("the suite's values are JSON");
        let key = By::Key(issued.id.key());
        is_refused(bench.try_wait(provider.apply(key, changes, None)).map(drop));
    });
    leaves_as_it_is(bench, "a name that is too large", |issued| {
        let key = By::Key(issued.id.key());
        let changes = set(&large(), 1_u64);
        is_refused(bench.try_wait(provider.apply(key, changes, None)).map(drop));
    });
    leaves_as_it_is(bench, "an owner that is too large", |issued| {
        let key = By::Key(issued.id.key());
        is_refused(bench.try_wait(provider.set_owner(key, Some(&large()))));
        is_refused(
            bench
                .try_wait(provider.log_in(&issued.id, &large()))
                .map(drop),
        );
        let by_id = bench.provider.read(By::Id(issued.id), Access::Peek);
        let answers = matches!(bench.try_wait(by_id), Ok(Some(_)));
        bench.check(answers, "the id to answer");
    });
    let mut attributes = Attributes::default();
    let kept = attributes.set("large", large());
    kept.expect("the suite's values are JSON");
    is_refused(bench.try_wait(provider.init(attributes)).map(drop));
}

fn room(bench: &Bench<'_>) {
    let id = bench.init().id;
    let key = id.key();
    let third = || "x".repeat(BOUND as usize / 3);
    for _ in 0..10 {
        bench.set(&key, "one", third());
    }
    bench.set(&key, "two", third());
    let more = |changes| bench.try_wait(bench.provider.apply(By::Key(key), changes, None));
    bench.check(
        matches!(
            more(set("three", third())),
            Err(SessionError::TooLarge { .. })
        ),
        "three thirds and what is beside them to be too much",
    );
    let instead = set("three", third()).delete("one");
    bench.check(more(instead).is_ok(), "one to go for the other");
    let session = bench.wait(bench.provider.apply(
        By::Key(key),
        Changes::default().delete("two").delete("three"),
        None,
    ));
    bench.check(session.attributes.is_empty(), "nothing to be left");
    bench.set(&key, "two", third());
    let renewed = bench.renew(&id);
    bench.check(
        get(&renewed.snapshot, "two") == Some(third()),
        "a renewal to need no room",
    );
}
