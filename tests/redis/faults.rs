//! What a caller sees when the server is down, slow, full, or not what it was. Nothing that was
//! acknowledged is lost, and nothing hangs.

use crate::redis_server::asking::{failure, peek, reason, run, set};
use crate::redis_server::relay::Relay;
use crate::redis_server::{LONG, Server, free_port, runtime};
use dwell::provider::redis::RedisFailure;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionId, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
/// What the tests allow where the server will not answer.
const SHORT: Duration = Duration::from_millis(300);

fn provider(address: String, timeout: Duration) -> RedisProvider {
    let builder = RedisProvider::builder(address, "test", Settings::new(IDLE)).timeout(timeout);
    builder
        .connections(1)
        .build()
        .expect("the settings are right")
}

/// What every operation says.
async fn all_fail(
    provider: &RedisProvider,
    id: &SessionId,
    expected: impl Fn(&RedisFailure) -> bool,
) {
    let key = id.key();
    let failures = [
        provider.init(Attributes::default()).await.err(),
        provider.read(By::Id(*id), Access::Touch).await.err(),
        provider.read(By::Key(key), Access::Peek).await.err(),
        provider.apply(By::Key(key), set("n", 0), None).await.err(),
        provider.touch(By::Key(key)).await.err(),
        provider.destroy(By::Key(key)).await.err(),
        provider.renew(id, None).await.err(),
        provider.set_owner(By::Key(key), Some("ann")).await.err(),
        provider.owned_by("ann").await.err(),
        provider.destroy_owned_by("ann", None).await.err(),
        provider.set_idle_timeout(By::Key(key), IDLE).await.err(),
        provider.set_lifetime(By::Key(key), IDLE).await.err(),
        provider.ping().await.err(),
    ];
    for (number, error) in failures.iter().enumerate() {
        let error = error
            .as_ref()
            .unwrap_or_else(|| panic!("operation {number} succeeds"));
        let failure = RedisFailure::of(error);
        assert!(
            failure.is_some_and(&expected),
            "operation {number}: {error:?}"
        );
    }
}

#[test]
fn a_server_that_is_down_is_out_of_reach_and_nothing_was_done() {
    run(async {
        let nobody = provider(format!("redis://127.0.0.1:{}/", free_port()), SHORT);
        let id = SessionId::generate().unwrap();
        all_fail(&nobody, &id, |failure| {
            let is_told = matches!(
                failure,
                RedisFailure::Unreachable(_) | RedisFailure::TimedOut { .. }
            );
            is_told && !failure.may_have_been_done()
        })
        .await;
        let refused = reason(async || nobody.read(By::Id(id), Access::Touch).await).await;
        assert!(matches!(refused, RedisFailure::Unreachable(_)), "{refused}");
    });
}

#[test]
fn a_server_that_stands_still_is_given_up_in_time_and_found_again() {
    run(async {
        let server = Server::start();
        let hasty = provider(server.address(), SHORT);
        let id = provider(server.address(), LONG)
            .init(Attributes::default())
            .await
            .unwrap()
            .id;
        // A connection that was made before, and one that cannot be made.
        hasty.read(By::Id(id), Access::Touch).await.unwrap();
        server.signal("STOP");
        all_fail(&hasty, &id, |failure| {
            matches!(failure, RedisFailure::TimedOut { after, .. } if *after == SHORT)
                || matches!(failure, RedisFailure::Unreachable(_))
        })
        .await;
        server.signal("CONT");
        let patient = provider(server.address(), LONG);
        // What timed out may have been done; the session is whole or gone, whichever came last.
        let _ = patient.read(By::Id(id), Access::Touch).await.unwrap();
        let key = patient.init(Attributes::default()).await.unwrap().id.key();
        while hasty.apply(By::Key(key), set("n", 1), None).await.is_err() {}
        patient.ping().await.unwrap();
        assert_eq!(peek(&patient, &key, "n").await, Some(1));
    });
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_what_it_acknowledged() {
    run(async {
        let mut server = Server::start();
        let provider = provider(server.address(), LONG);
        let ended = provider.init(Attributes::default()).await.unwrap().id;
        let id = provider.init(Attributes::default()).await.unwrap().id;
        let key = id.key();
        provider.set_owner(By::Key(key), Some("ann")).await.unwrap();
        assert!(provider.destroy(By::Key(ended.key())).await.unwrap());
        for round in 1..=3 {
            provider
                .apply(By::Key(key), set("n", round), None)
                .await
                .unwrap();
            server.kill();
            // What is asked while it is away is done when it is back.
            let waiting = tokio::spawn({
                let provider = provider.clone();
                async move { peek(&provider, &key, "n").await }
            });
            server.restart();
            assert_eq!(waiting.await.unwrap(), Some(round));
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
            assert!(
                provider
                    .read(By::Id(ended), Access::Touch)
                    .await
                    .unwrap()
                    .is_none(),
                "a logout stays"
            );
            assert_eq!(provider.owned_by("ann").await.unwrap().len(), 1);
        }
    });
}

#[test]
fn writers_lose_nothing_that_was_acknowledged_while_the_server_dies_over_and_over() {
    const WRITERS: u64 = 4;
    run(async {
        let mut server = Server::start();
        let provider = provider(server.address(), Duration::from_secs(10));
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        let writers = (0..WRITERS).map(|writer| {
            let provider = provider.clone();
            tokio::spawn(async move {
                let name = format!("writer {writer}");
                let mut acknowledged = 0;
                for n in 1..=200 {
                    match provider.apply(By::Key(key), set(&name, n), None).await {
                        Ok(_) => acknowledged = n,
                        Err(error) => {
                            let failure = RedisFailure::of(&error).expect("the server's failure");
                            assert!(failure.may_have_been_done(), "{failure}");
                        }
                    }
                }
                (name, acknowledged)
            })
        });
        let writers: Vec<_> = writers.collect();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.kill();
            server.restart();
        }
        for writer in writers {
            let (name, acknowledged) = writer.await.unwrap();
            let found = peek(&provider, &key, &name).await.unwrap_or(0);
            assert!(found >= acknowledged, "{name}: {found} of {acknowledged}");
        }
    });
}

#[test]
fn a_server_without_memory_refuses_writes_and_still_reads() {
    run(async {
        let server = Server::with(&["--maxmemory-policy", "noeviction"]);
        let provider = provider(server.address(), LONG);
        let id = provider.init(Attributes::default()).await.unwrap().id;
        let key = id.key();
        provider
            .apply(By::Key(key), set("n", 1), None)
            .await
            .unwrap();
        server.must("CONFIG SET maxmemory 1");
        let refusals = [
            provider
                .apply(By::Key(key), set("n", 2), None)
                .await
                .map(drop),
            provider.init(Attributes::default()).await.map(drop),
            provider.renew(&id, None).await.map(drop),
            provider.set_owner(By::Key(key), Some("ann")).await,
            provider.set_lifetime(By::Key(key), IDLE).await,
        ];
        for refusal in &refusals {
            let failure = failure(refusal);
            assert!(matches!(failure, RedisFailure::OutOfMemory(_)), "{failure}");
            assert!(!failure.may_have_been_done());
        }
        let session = provider
            .read(By::Id(id), Access::Touch)
            .await
            .unwrap()
            .expect("it can be read");
        assert_eq!((session.version, session.owner), (2, None));
        assert_eq!(peek(&provider, &key, "n").await, Some(1));
        assert!(
            provider.destroy(By::Key(key)).await.unwrap(),
            "a logout needs no memory"
        );
        server.must("CONFIG SET maxmemory 0");
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_none()
        );
        provider.init(Attributes::default()).await.unwrap();
    });
}

#[test]
fn a_server_that_became_a_replica_takes_no_writes_until_one_takes_over() {
    run(async {
        let server = Server::start();
        let (hasty, patient) = (
            provider(server.address(), SHORT),
            provider(server.address(), LONG),
        );
        let key = hasty.init(Attributes::default()).await.unwrap().id.key();
        hasty.apply(By::Key(key), set("n", 1), None).await.unwrap();
        server.must(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
        let refused = reason(async || hasty.apply(By::Key(key), set("n", 2), None).await).await;
        assert!(matches!(refused, RedisFailure::ReadOnly(_)), "{refused}");
        assert!(!refused.may_have_been_done());
        let used = reason(async || hasty.read(By::Key(key), Access::Touch).await).await;
        assert!(matches!(used, RedisFailure::ReadOnly(_)), "{used}");
        assert_eq!(
            peek(&hasty, &key, "n").await,
            Some(1),
            "it can be looked at"
        );
        // A caller with time waits for the failover, and is done in the end.
        let waiting =
            tokio::spawn(async move { patient.apply(By::Key(key), set("n", 3), None).await });
        server.must("REPLICAOF NO ONE");
        waiting.await.unwrap().unwrap();
        assert_eq!(peek(&hasty, &key, "n").await, Some(3));
    });
}

#[test]
fn a_password_is_not_shown_and_a_wrong_one_is_told() {
    run(async {
        let server = Server::with(&["--requirepass", "right"]);
        let address = |password| format!("redis://:{password}@127.0.0.1:{}/", server.port());
        let wrong = provider(address("wrong"), SHORT);
        let denied = wrong.init(Attributes::default()).await;
        assert!(
            matches!(failure(&denied), RedisFailure::Denied(_)),
            "{denied:?}"
        );
        assert!(!failure(&denied).may_have_been_done());
        assert!(!format!("{wrong:?} {denied:?}").contains("wrong@"));
        let right = provider(address("right"), LONG);
        right.init(Attributes::default()).await.unwrap();
        assert!(!format!("{right:?}").contains("right"));
    });
}

/// Whether a connection of this machine's to the server is closed by it, and not yet at this end.
fn is_half_closed(server: &Server) -> bool {
    const CLOSE_WAIT: &str = "08";
    let port = format!(":{:04X}", server.port());
    let connections = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    connections.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        let (remote, state) = (words.next(), words.next());
        remote.is_some_and(|remote| remote.ends_with(&port)) && state == Some(CLOSE_WAIT)
    })
}

/// A server that restarted, or that closes what was idle for long.
#[test]
fn a_connection_that_was_closed_while_nobody_used_it_fails_no_write() {
    run(async {
        let server = Server::start();
        let provider = provider(server.address(), LONG);
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        for n in 0..20 {
            server.must("CLIENT KILL TYPE normal");
            while is_half_closed(&server) {
                tokio::task::yield_now().await;
            }
            provider
                .apply(By::Key(key), set("n", n), None)
                .await
                .unwrap();
        }
    });
}

#[test]
fn a_provider_that_is_gone_leaves_no_connections() {
    run(async {
        let server = Server::start();
        for near_cache in [false, true] {
            let settings = Settings::new(IDLE).touch_resolution(IDLE / 10);
            let mut builder =
                RedisProvider::builder(server.address(), "test", settings).timeout(LONG);
            if near_cache {
                builder = builder.near_cache(10);
            }
            let provider = builder.build().unwrap();
            for _ in 0..20 {
                let id = provider.init(Attributes::default()).await.unwrap().id;
                for _ in 0..2 {
                    provider.read(By::Id(id), Access::Touch).await.unwrap();
                }
            }
            let only_this = "connected_clients:1\r";
            assert!(!server.must("INFO clients").contains(only_this));
            drop(provider);
            while !server.must("INFO clients").contains(only_this) {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_runtime_that_ends_leaves_its_connections_to_the_others() {
    let server = Server::start();
    let builder = RedisProvider::builder(server.address(), "test", Settings::new(IDLE));
    let provider = builder.timeout(LONG).build().unwrap();
    let keys = runtime().block_on(async {
        let mut keys = Vec::new();
        for _ in 0..16 {
            let id = provider.init(Attributes::default()).await.unwrap().id;
            keys.push(id.key());
        }
        keys
    });
    let clients = || {
        let info = server.must("INFO clients");
        let line = info.lines().find(|line| line.starts_with("connected_"));
        line.expect("a number").to_owned()
    };
    let before = clients();
    run(async {
        for key in keys {
            let written = provider.apply(By::Key(key), set("n", 1), None).await;
            written.unwrap();
        }
    });
    assert_eq!(clients(), before, "the same connections");
}

#[test]
fn a_runtime_that_stands_still_delays_nobody_else() {
    let server = Server::start();
    let provider = provider(server.address(), LONG);
    // It runs while it is waited for, and no longer.
    let standing = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let id = standing.block_on(provider.init(Attributes::default()));
    let id = id.unwrap().id;
    run(async {
        for _ in 0..10 {
            let read = provider.read(By::Id(id), Access::Touch).await;
            assert!(read.unwrap().is_some());
        }
    });
    drop(standing);
}

#[test]
fn an_answer_that_comes_twice_is_never_taken_for_another_one() {
    run(async {
        let server = Server::start();
        let relay = Relay::to(&server);
        // Of an answer that comes in two parts the relay may repeat one: rubbish, which only the
        // time ends.
        let provider = provider(relay.address.clone(), Duration::from_millis(300));
        let mut sessions = Vec::new();
        for n in 0..16 {
            let key = provider.init(Attributes::default()).await.unwrap().id.key();
            let written = provider.apply(By::Key(key), set("n", n), None).await;
            written.unwrap();
            sessions.push((key, n));
        }
        let found_out = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let tasks = sessions.into_iter().map(|(key, n)| {
            let (provider, found_out) = (provider.clone(), Arc::clone(&found_out));
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    match provider.read(By::Key(key), Access::Touch).await {
                        Ok(read) => {
                            let read = read.expect("it is live");
                            assert_eq!(read.key, key, "another session's");
                            let value = read.attributes.get::<u64>("n").unwrap();
                            assert_eq!(value.as_deref(), Some(&n), "another session's value");
                        }
                        Err(error) => {
                            RedisFailure::of(&error).expect("the server's");
                        }
                    }
                    match provider.apply(By::Key(key), set("n", n), None).await {
                        Ok(written) => assert_eq!(written.key, key, "another session's"),
                        Err(error) => {
                            let failure = RedisFailure::of(&error).expect("the server's");
                            let is_found_out = matches!(failure, RedisFailure::WrongAnswer);
                            found_out.fetch_add(usize::from(is_found_out), Ordering::Relaxed);
                        }
                    }
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut repeated = 0;
        for _ in 0..400 {
            relay.repeat_answers(1);
            // Meanwhile a new connection may greet the server undisturbed.
            tokio::time::sleep(Duration::from_millis(20)).await;
            repeated += usize::from(relay.has_repeated());
            if found_out.load(Ordering::Relaxed) >= 10 {
                break;
            }
        }
        assert!(repeated > 0, "the relay repeated nothing");
        relay.repeat_answers(0);
        is_over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
    });
}
