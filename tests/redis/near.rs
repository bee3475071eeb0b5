//! The near cache: what it saves, and that it is coherent.

use crate::redis_server::asking::{run, set, touch};
use crate::redis_server::lab::Lab;
use crate::redis_server::relay::Relay;
use crate::redis_server::{LONG, Server};
use dwell::ManualClock;
use dwell::provider::redis::{RedisBuildError, RedisFailure};
use dwell::provider::testing::conformance;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionError, SessionId, Settings};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
const RESOLUTION: Duration = Duration::from_secs(60);

/// A machine with a near cache.
fn machine(server: &Server, staleness: Duration) -> RedisProvider {
    RedisProvider::builder(
        server.address(),
        "test",
        Settings::new(IDLE).touch_resolution(RESOLUTION),
    )
    .near_cache(1_000)
    .staleness(staleness)
    .timeout(LONG)
    .build()
    .expect("the settings are right")
}

/// A clock to set, and a machine that goes by it.
fn machine_with_clock(server: &Server) -> (ManualClock, RedisProvider) {
    let clock = ManualClock::new();
    clock.set(Duration::from_secs(1_000_000));
    let settings = Settings::new(IDLE).touch_resolution(RESOLUTION);
    let provider = RedisProvider::builder(server.address(), "test", settings)
        .clock(clock.clone())
        .near_cache(10)
        .staleness(LONG)
        .timeout(LONG)
        .build()
        .expect("the settings are right");
    (clock, provider)
}

#[test]
fn it_passes_the_conformance_suite() {
    let server = Server::start();
    let report = conformance(&Lab::over(server.address()).with_near_cache());
    assert!(report.passed.len() > 36);
}

#[test]
fn a_session_in_use_costs_one_command_in_each_resolution() {
    let server = Server::start();
    let (clock, provider) = machine_with_clock(&server);
    run(async {
        let id = provider.init(Attributes::default()).await.unwrap().id;
        // The connection is known, and the script is there.
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        server.must("CONFIG RESETSTAT");
        for minute in 1..=5 {
            clock.advance(RESOLUTION);
            for _ in 0..100 {
                assert!(
                    provider
                        .read(By::Id(id), Access::Touch)
                        .await
                        .unwrap()
                        .is_some()
                );
                provider.touch(By::Key(id.key())).await.unwrap();
            }
            assert_eq!(server.scripts(), minute, "after {minute} resolutions");
        }
        clock.advance(IDLE - RESOLUTION);
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some(),
            "the touches count"
        );
    });
}

#[test]
fn what_one_machine_changes_the_other_sees_as_soon_as_the_server_says_so() {
    run(async {
        let server = Server::start();
        let (one, other) = (machine(&server, LONG), machine(&server, LONG));
        let id = one.init(Attributes::default()).await.unwrap().id;
        let key = id.key();
        for round in 1..=50 {
            // Both have a copy.
            let _ = (touch(&one, &key, "n").await, touch(&other, &key, "n").await);
            one.apply(By::Key(key), set("n", round), None)
                .await
                .unwrap();
            assert_eq!(touch(&one, &key, "n").await, Some(round), "its own at once");
            while touch(&other, &key, "n").await != Some(round) {
                tokio::task::yield_now().await;
            }
        }
        let renewed = one.renew(&id, Some(Duration::ZERO)).await.unwrap().id;
        let at_once = one.read(By::Id(id), Access::Touch).await;
        assert!(matches!(at_once, Err(SessionError::Superseded)));
        while other.read(By::Id(id), Access::Touch).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(
            other
                .read(By::Id(renewed), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        other.set_owner(By::Key(key), Some("ann")).await.unwrap();
        let owner = other
            .read(By::Id(renewed), Access::Touch)
            .await
            .unwrap()
            .unwrap()
            .owner;
        assert_eq!(owner.as_deref(), Some("ann"));
        one.read(By::Id(renewed), Access::Touch).await.unwrap();
        assert_eq!(other.destroy_owned_by("ann", None).await.unwrap(), 1);
        assert!(
            other
                .read(By::Id(renewed), Access::Touch)
                .await
                .unwrap()
                .is_none(),
            "refused at once"
        );
        while one
            .read(By::Id(renewed), Access::Touch)
            .await
            .unwrap()
            .is_some()
        {
            tokio::task::yield_now().await;
        }
        let late = one.apply(By::Key(key), set("n", 0), None).await;
        assert!(matches!(late, Err(SessionError::Ended)));
    });
}

#[test]
fn a_destroyed_session_is_refused_at_once_however_many_read_it() {
    run(async {
        let server = Server::start();
        let provider = machine(&server, LONG);
        for _ in 0..50 {
            let id = provider.init(Attributes::default()).await.unwrap().id;
            let readers = (0..4).map(|_| {
                let provider = provider.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        provider.read(By::Id(id), Access::Touch).await.unwrap();
                    }
                })
            });
            let readers: Vec<_> = readers.collect();
            assert!(provider.destroy(By::Key(id.key())).await.unwrap());
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_none()
            );
            for reader in readers {
                reader.await.unwrap();
            }
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_none()
            );
        }
    });
}

#[test]
fn a_write_that_is_given_up_leaves_no_old_copy() {
    run(async {
        let server = Server::start();
        let provider = machine(&server, LONG);
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        let mut least = 0;
        for round in 1..=200 {
            touch(&provider, &key, "n").await;
            let mut write = provider.apply(By::Key(key), set("n", round), None);
            // Dropped when it may have been sent, or have been done.
            let polled = tokio::time::timeout(Duration::from_micros(round % 400), &mut write);
            let is_done = polled.await.is_ok();
            drop(write);
            // What the server has is what is read here, once the server has answered something
            // else.
            provider
                .apply(By::Key(key), set("other", round), None)
                .await
                .unwrap();
            let seen = touch(&provider, &key, "n").await.unwrap_or(0);
            assert!(seen >= least && (!is_done || seen == round));
            least = seen;
        }
    });
}

#[test]
fn a_connection_that_is_cut_loses_its_copies() {
    run(async {
        let server = Server::start();
        let one = machine(&server, LONG);
        let settings = Settings::new(IDLE).touch_resolution(RESOLUTION);
        let other = RedisProvider::builder(server.address(), "test", settings)
            .near_cache(10)
            .staleness(LONG)
            .timeout(LONG)
            .connections(1)
            .build()
            .unwrap();
        let unchanged = one.init(Attributes::default()).await.unwrap().id;
        let key = one.init(Attributes::default()).await.unwrap().id.key();
        for round in 1..=10 {
            for _ in 0..2 {
                assert!(
                    other
                        .read(By::Id(unchanged), Access::Touch)
                        .await
                        .unwrap()
                        .is_some()
                );
                touch(&other, &key, "n").await;
            }
            // All connections, the one included that would tell.
            server.must("CLIENT KILL TYPE normal");
            // The writer's connection is cut too.
            while one
                .apply(By::Key(key), set("n", round), None)
                .await
                .is_err()
            {}
            // Another session first: the connection is made anew, and trusted, but not for older
            // copies.
            other.read(By::Id(unchanged), Access::Touch).await.unwrap();
            while touch(&other, &key, "n").await != Some(round) {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn time_passes_for_a_copy_too() {
    const GRACE: Duration = Duration::from_secs(5);
    let server = Server::start();
    let (clock, provider) = machine_with_clock(&server);
    run(async {
        let old = provider.init(Attributes::default()).await.unwrap().id;
        provider
            .set_lifetime(By::Key(old.key()), IDLE)
            .await
            .unwrap();
        let new = provider.renew(&old, Some(GRACE)).await.unwrap().id;
        for _ in 0..2 {
            assert!(
                provider
                    .read(By::Id(new), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        server.must("CONFIG RESETSTAT");
        assert!(
            provider
                .read(By::Id(old), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        clock.advance(GRACE);
        let late = provider.read(By::Id(old), Access::Touch).await;
        assert!(matches!(late, Err(SessionError::Superseded)), "{late:?}");
        let session = provider
            .read(By::Id(new), Access::Touch)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(session.age, GRACE);
        assert_eq!(session.lifetime_left, Some(IDLE - GRACE));
        assert_eq!(server.scripts(), 0, "all this from the copy");
        provider
            .set_lifetime(By::Key(new.key()), GRACE)
            .await
            .unwrap();
        provider.read(By::Id(new), Access::Touch).await.unwrap();
        clock.advance(GRACE);
        assert!(
            provider
                .read(By::Id(new), Access::Touch)
                .await
                .unwrap()
                .is_none(),
            "its lifetime is over"
        );
    });
}

#[test]
fn a_connection_that_dies_in_silence_counts_no_longer_than_the_bound() {
    const BOUND: Duration = Duration::from_millis(400);
    run(async {
        let server = Server::start();
        let relay = Relay::to(&server);
        let settings = Settings::new(IDLE).touch_resolution(RESOLUTION);
        let cut_off = RedisProvider::builder(&*relay.address, "test", settings)
            .near_cache(10)
            .staleness(BOUND)
            .timeout(Duration::from_millis(200))
            .connections(1)
            .build()
            .unwrap();
        let one = machine(&server, LONG);
        let id = one.init(Attributes::default()).await.unwrap().id;
        while cut_off
            .read(By::Id(id), Access::Touch)
            .await
            .ok()
            .flatten()
            .is_none()
        {}
        let _ = cut_off.read(By::Id(id), Access::Touch).await;
        relay.be_silent(true);
        one.destroy(By::Key(id.key())).await.unwrap();
        // Until the bound the copy may count, and nobody knows better; then it is an error, and
        // never the copy.
        let mut answer = cut_off.read(By::Id(id), Access::Touch).await;
        while let Ok(found) = &answer {
            assert!(found.is_some(), "nobody could know");
            tokio::task::yield_now().await;
            answer = cut_off.read(By::Id(id), Access::Touch).await;
        }
        let failure = RedisFailure::of(answer.as_ref().unwrap_err());
        assert!(
            matches!(failure, Some(RedisFailure::TimedOut { .. })),
            "{answer:?}"
        );
        assert!(cut_off.read(By::Id(id), Access::Touch).await.is_err());
        relay.be_silent(false);
        let mut answer = cut_off.read(By::Id(id), Access::Touch).await;
        while answer.is_err() {
            answer = cut_off.read(By::Id(id), Access::Touch).await;
        }
        assert!(answer.unwrap().is_none(), "the logout holds");
    });
}

#[test]
fn a_server_that_is_emptied_or_killed_leaves_no_copies() {
    run(async {
        let mut server = Server::start();
        let provider = machine(&server, LONG);
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        server.must("FLUSHALL");
        while provider
            .read(By::Id(id), Access::Touch)
            .await
            .unwrap()
            .is_some()
        {
            tokio::task::yield_now().await;
        }
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        server.kill();
        server.restart();
        server.must(&format!("DEL {}", server.keys()[0]));
        while provider
            .read(By::Id(id), Access::Touch)
            .await
            .unwrap()
            .is_some()
        {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn an_unknown_secret_is_refused_from_the_copy_too() {
    run(async {
        let server = Server::start();
        let provider = machine(&server, LONG);
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        let forged: SessionId = id.renewed().unwrap();
        let refused = provider.read(By::Id(forged), Access::Touch).await;
        assert!(matches!(refused, Err(SessionError::Superseded)));
        let renewed = provider.renew(&id, Some(RESOLUTION)).await.unwrap().id;
        for _ in 0..3 {
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some(),
                "in its grace"
            );
            assert!(
                provider
                    .read(By::Id(renewed), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
    });
}

#[test]
fn a_cache_that_could_keep_nothing_is_refused() {
    let build = |settings: Settings, sessions| {
        let builder = RedisProvider::builder("redis://127.0.0.1/", "test", settings);
        builder.near_cache(sessions).build().err()
    };
    let settings = Settings::new(IDLE);
    assert!(matches!(
        build(settings, 10),
        Some(RedisBuildError::NoResolution)
    ));
    let settings = settings.touch_resolution(RESOLUTION);
    assert!(matches!(
        build(settings, 0),
        Some(RedisBuildError::Zero {
            setting: "near_cache"
        })
    ));
}
