//! The end of a session is final.

use super::{Bench, Case, case, set};
use crate::provider::By;
use crate::session::SessionError;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a destroyed session refuses what comes late", late_writes),
        case("a logout during a slow request stays", slow_request),
        case("of requests that destroy a session one does", one_destroyer),
    ]
}

fn late_writes(bench: &Bench<'_>) {
    let issued = bench.owned("ann");
    let (id, key) = (issued.id, issued.id.key());
    bench.check(
        bench.wait(bench.provider.destroy(By::Key(key))),
        "a live session to be destroyed",
    );
    bench.check(
        !bench.wait(bench.provider.destroy(By::Key(key))),
        "it to be destroyed once",
    );
    let long = Duration::from_secs(600);
    let provider = &bench.provider;
    bench.refuses_as_ended(
        provider.apply(By::Key(key), set("key", 1_u64), None),
        "a write",
    );
    bench.refuses_as_ended(
        provider.apply(
            By::Key(key),
            set("key", 1_u64),
            Some(issued.snapshot.version),
        ),
        "a write to a version",
    );
    bench.refuses_as_ended(provider.touch(By::Key(key)), "a touch");
    bench.refuses_as_ended(provider.renew(&id, None), "a renewal");
    bench.refuses_as_ended(provider.set_owner(By::Key(key), Some("ann")), "a new owner");
    bench.refuses_as_ended(
        provider.set_idle_timeout(By::Key(key), long),
        "an idle timeout",
    );
    bench.refuses_as_ended(provider.set_lifetime(By::Key(key), long), "a lifetime");
    bench.check(bench.read(&id).is_none(), "nothing to bring it back");
    bench.check(
        bench.peek(&key).is_none(),
        "nothing to bring it back by its key",
    );
    bench.check(
        bench.keys_of("ann").is_empty(),
        "it to leave its owner's list",
    );
}

fn slow_request(bench: &Bench<'_>) {
    for _ in 0..50 {
        let id = bench.init().id;
        let key = id.key();
        bench.together(3, |number| {
            if number == 0 {
                bench.check(
                    bench.wait(bench.provider.destroy(By::Key(key))),
                    "the logout to succeed",
                );
                return;
            }
            for _ in 0..5 {
                match bench.try_wait(bench.provider.apply(By::Key(key), set("key", 1_u64), None)) {
                    Ok(_) | Err(SessionError::Ended) => {}
                    Err(error) => panic!("{}: the provider failed: {error}", bench.name),
                }
            }
        });
        bench.check(bench.read(&id).is_none(), "the logout to stay");
    }
}

fn one_destroyer(bench: &Bench<'_>) {
    for _ in 0..20 {
        let key = bench.init().id.key();
        let destroyed = bench.together(4, |_| bench.wait(bench.provider.destroy(By::Key(key))));
        let winners = destroyed.into_iter().filter(|won| *won).count();
        bench.check(winners == 1, "one of them");
    }
}
