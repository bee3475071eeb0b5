//! Sessions in a Redis server: the conformance suite, and what only such a provider has.

use crate::redis_server::asking::run;
use crate::redis_server::lab::Lab;
use crate::redis_server::{LONG, Server};
use dwell::provider::redis::{RedisBuildError, RedisBuilder, RedisFailure};
use dwell::provider::testing::{Subject, conformance};
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionError, Settings};
use dwell::{Clock, ManualClock};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(60);

/// A provider with the server's own time.
fn provider(server: &Server, settings: Settings) -> RedisProvider {
    let builder = RedisProvider::builder(server.address(), "test", settings);
    builder
        .timeout(LONG)
        .build()
        .expect("the settings are right")
}

#[test]
fn it_passes_the_conformance_suite() {
    let server = Server::start();
    let report = conformance(&Lab::over(server.address()));
    assert!(report.passed.len() > 36);
    assert_eq!(
        report.skipped,
        ["a full store takes new sessions and keeps its bound"]
    );
}

/// Milliseconds until the server removes a key.
fn time_to_live(server: &Server, name: &str) -> u64 {
    let answer = server.must(&format!("PTTL {name}"));
    answer
        .trim_start_matches(':')
        .trim()
        .parse()
        .expect("a time")
}

fn names<'a>(keys: &'a [String], part: &str) -> Vec<&'a String> {
    keys.iter().filter(|key| key.contains(part)).collect()
}

#[test]
fn the_server_removes_what_has_ended() {
    let server = Server::start();
    let settings = Settings::new(IDLE).max_lifetime(IDLE * 3);
    let provider = provider(&server, settings);
    run(async {
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        let keys = server.keys();
        let session = names(&keys, "session")[0];
        let left = || Duration::from_millis(time_to_live(&server, session));
        assert!(left() <= IDLE && left() > IDLE / 2, "its idle timeout");
        let longer = IDLE * 2;
        provider
            .set_idle_timeout(By::Key(key), longer)
            .await
            .unwrap();
        assert!(left() <= longer && left() > IDLE, "its own idle timeout");
        provider
            .set_idle_timeout(By::Key(key), IDLE * 10)
            .await
            .unwrap();
        assert!(
            left() <= IDLE * 3 && left() > longer,
            "its absolute deadline"
        );
        provider.set_owner(By::Key(key), Some("ann")).await.unwrap();
        let keys = server.keys();
        let index = names(&keys, "owner")[0];
        assert!(
            time_to_live(&server, index) + 1_000 >= time_to_live(&server, session),
            "the index holds the session for as long as it lives"
        );
        assert!(provider.destroy(By::Key(key)).await.unwrap());
        assert!(server.keys().is_empty(), "{:?}", server.keys());
    });
}

#[test]
fn nothing_is_left_of_an_owner_whose_sessions_lapsed() {
    let server = Server::start();
    let lab = Lab::over(server.address());
    let one = lab.provider(&Settings::new(IDLE)).unwrap();
    lab.runtime.block_on(async {
        let kept = one.init(Attributes::default()).await.unwrap().id.key();
        one.set_owner(By::Key(kept), Some("ann")).await.unwrap();
        for _ in 0..5 {
            let lapsed = one.init(Attributes::default()).await.unwrap().id.key();
            one.set_owner(By::Key(lapsed), Some("ann")).await.unwrap();
        }
        // In use for long enough that what the index holds must be put off.
        for _ in 0..20 {
            lab.clock.advance(IDLE / 2);
            one.touch(By::Key(kept)).await.unwrap();
            let listed = one.owned_by("ann").await.unwrap();
            assert!(listed.iter().any(|session| session.key == kept));
        }
        let keys = server.keys();
        let index = names(&keys, "owner")[0];
        let held = server.must(&format!("ZCARD {index}"));
        assert_eq!(held.trim(), ":1", "those that lapsed are gone");
    });
}

#[test]
fn a_copy_of_the_servers_data_logs_nobody_in() {
    let server = Server::start();
    let provider = provider(&server, Settings::new(IDLE));
    run(async {
        let first = provider.init(Attributes::default()).await.unwrap().id;
        let second = provider.renew(&first, Some(IDLE)).await.unwrap().id;
        let keys = server.keys();
        let all = server.must(&format!("HGETALL {}", keys[0]));
        for id in [first, second] {
            let cookie = id.to_cookie();
            // The key is 16 bytes of 48: the secret begins with the 22nd character.
            let secret = &cookie[22..];
            assert!(!all.contains(secret), "the secret is in the server");
            assert!(
                !keys[0].contains(&id.key().to_text()),
                "a name tells the key"
            );
        }
    });
}

#[test]
fn a_touch_writes_no_data_and_only_once_in_its_resolution() {
    let server = Server::start();
    let settings = Settings::new(IDLE).touch_resolution(IDLE / 4);
    let provider = provider(&server, settings);
    run(async {
        let mut large = Attributes::default();
        large.set("large", "x".repeat(1 << 20)).unwrap();
        let id = provider.init(large).await.unwrap().id;
        server.must("CONFIG RESETSTAT");
        for _ in 0..10 {
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        let stats = server.must("INFO commandstats");
        assert!(stats.contains("cmdstat_hgetall:calls=10"), "{stats}");
        assert!(!stats.contains("cmdstat_hset"), "{stats}");
        assert!(!stats.contains("cmdstat_pexpire"), "{stats}");
    });
}

#[test]
fn what_does_not_look_like_a_session_is_an_error() {
    let server = Server::start();
    let provider = provider(&server, Settings::new(IDLE));
    run(async {
        let id = provider.init(Attributes::default()).await.unwrap().id;
        let name = server.keys().remove(0);
        server.must(&format!("HSET {name} v many"));
        let error = provider.read(By::Id(id), Access::Touch).await.unwrap_err();
        assert!(
            format!("{error:?}").contains("a number that is none"),
            "{error:?}"
        );
        server.must(&format!("HDEL {name} v"));
        assert!(provider.read(By::Id(id), Access::Touch).await.is_err());
        server.must(&format!("DEL {name}"));
        server.must(&format!("SET {name} 1"));
        assert!(matches!(
            provider.read(By::Id(id), Access::Touch).await,
            Err(SessionError::Backend(_))
        ));
    });
}

#[test]
fn machines_agree_on_the_time_whatever_their_clocks_say() {
    let server = Server::start();
    let (one, other) = (
        provider(&server, Settings::new(IDLE)),
        provider(&server, Settings::new(IDLE)),
    );
    run(async {
        let id = one.init(Attributes::default()).await.unwrap().id;
        let changes = Changes::default().set("by", String::from("one")).unwrap();
        one.apply(By::Key(id.key()), changes, None).await.unwrap();
        let seen = other
            .read(By::Key(id.key()), Access::Peek)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            *seen.attributes.get::<String>("by").unwrap().unwrap(),
            "one"
        );
        assert!(seen.age < IDLE);
    });
}

#[test]
fn there_are_as_many_connections_as_asked_for() {
    let server = Server::start();
    let builder =
        RedisProvider::builder(server.address(), "test", Settings::new(IDLE)).timeout(LONG);
    let provider = builder.connections(2).build().unwrap();
    run(async {
        for _ in 0..50 {
            provider.init(Attributes::default()).await.unwrap();
        }
        let clients = server.must("CLIENT LIST");
        assert_eq!(clients.matches("cmd=evalsha").count(), 2, "{clients}");
    });
}

#[test]
fn settings_that_are_of_no_use_are_refused() {
    let settings = Settings::new(IDLE);
    let with = |settings| RedisProvider::builder("redis://127.0.0.1/", "test", settings);
    let refused = |builder: RedisBuilder| builder.build().expect_err("it is refused");
    for (setting, builder) in [
        ("timeout", with(settings).timeout(Duration::ZERO)),
        ("connections", with(settings).connections(0)),
        ("staleness", with(settings).staleness(Duration::ZERO)),
    ] {
        match refused(builder) {
            RedisBuildError::Zero { setting: told } => assert_eq!(told, setting),
            other => panic!("{setting}: {other}"),
        }
    }
    for unbounded in [settings.capacity(10), settings.capacity_bytes(10)] {
        let error = refused(with(unbounded));
        assert!(matches!(error, RedisBuildError::Capacity), "{error}");
    }
    for (setting, settings) in [
        ("idle_timeout", Settings::new(Duration::ZERO)),
        ("max_lifetime", settings.max_lifetime(Duration::ZERO)),
        ("max_per_owner", settings.max_per_owner(0)),
    ] {
        match refused(with(settings)) {
            RedisBuildError::Settings(error) => {
                assert!(error.to_string().contains(setting), "{error}");
            }
            other => panic!("{setting}: {other}"),
        }
    }
    let error = refused(RedisProvider::builder("redis://127.0.0.1/", "", settings));
    assert!(matches!(error, RedisBuildError::Prefix), "{error}");
    let error = RedisProvider::builder("nowhere", "test", settings)
        .build()
        .err();
    assert!(matches!(error, Some(RedisBuildError::Address(_))));
}

#[test]
fn what_is_shown_of_a_builder_has_no_password() {
    let settings = Settings::new(IDLE);
    let builder = RedisProvider::builder("redis://user:secret@127.0.0.1/", "shop", settings);
    let builder = builder.connections(3);
    let shown = format!("{builder:?}");
    assert!(shown.contains("shop") && shown.contains("connections: 3"));
    assert!(!shown.contains("secret"), "{shown}");
    let shown = format!("{:?}", builder.build().unwrap());
    assert!(shown.contains("connections: 3"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn applications_that_share_a_server_know_nothing_of_each_others_sessions() {
    let server = Server::start();
    let of = |prefix: &str| {
        let builder = RedisProvider::builder(server.address(), prefix, Settings::new(IDLE));
        builder.timeout(LONG).build().unwrap()
    };
    run(async {
        // One name begins with the other.
        let (shop, shop2) = (of("shop"), of("shop2"));
        let id = shop.init(Attributes::default()).await.unwrap().id;
        shop.set_owner(By::Key(id.key()), Some("admin"))
            .await
            .unwrap();
        assert!(
            shop2
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_none(),
            "not a session"
        );
        assert!(!shop2.destroy(By::Key(id.key())).await.unwrap());
        assert!(shop2.owned_by("admin").await.unwrap().is_empty());
        assert_eq!(shop2.destroy_owned_by("admin", None).await.unwrap(), 0);
        assert!(
            of("shop")
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some(),
            "one of ours"
        );
    });
}

#[test]
fn an_owner_makes_no_read_dearer() {
    let server = Server::start();
    let provider = provider(&server, Settings::new(IDLE));
    run(async {
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider
            .set_owner(By::Key(id.key()), Some("ann"))
            .await
            .unwrap();
        // The first one sends the script.
        assert!(
            provider
                .read(By::Id(id), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        server.must("CONFIG RESETSTAT");
        for _ in 0..10 {
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert_eq!(server.scripts(), 10);
    });
}

#[test]
fn of_an_earlier_owner_nothing_is_left() {
    let server = Server::start();
    let provider = provider(&server, Settings::new(IDLE));
    run(async {
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        for owner in [Some("ann"), Some("bob")] {
            provider.set_owner(By::Key(key), owner).await.unwrap();
            let keys = server.keys();
            assert_eq!(names(&keys, "owner").len(), 1, "{owner:?}: {keys:?}");
        }
        assert!(provider.owned_by("ann").await.unwrap().is_empty());
        assert_eq!(provider.owned_by("bob").await.unwrap().len(), 1);
        provider.set_owner(By::Key(key), None).await.unwrap();
        let keys = server.keys();
        assert!(names(&keys, "owner").is_empty(), "{keys:?}");
    });
}

#[test]
fn whoever_bounds_an_owners_sessions_ends_all_that_are_too_many() {
    let server = Server::start();
    let (unbounded, bounded) = (
        provider(&server, Settings::new(IDLE)),
        provider(&server, Settings::new(IDLE).max_per_owner(2)),
    );
    run(async {
        for provider in [&unbounded, &unbounded, &unbounded, &unbounded, &bounded] {
            let key = provider.init(Attributes::default()).await.unwrap().id.key();
            provider.set_owner(By::Key(key), Some("ann")).await.unwrap();
        }
        assert_eq!(bounded.owned_by("ann").await.unwrap().len(), 2);
    });
}

#[test]
fn a_timeout_beyond_all_bounds_is_a_long_one() {
    let server = Server::start();
    let provider = provider(&server, Settings::new(IDLE));
    run(async {
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        provider
            .set_idle_timeout(By::Key(key), Duration::MAX)
            .await
            .unwrap();
        assert!(
            provider
                .read(By::Key(key), Access::Peek)
                .await
                .unwrap()
                .is_some()
        );
    });
}

/// A server that may evict, with all the memory that it needs.
fn evicting(policy: &str) -> Server {
    Server::with(&["--maxmemory-policy", policy, "--maxmemory", "1gb"])
}

#[test]
fn a_server_that_evicts_is_refused_until_it_does_not() {
    run(async {
        for policy in [
            "allkeys-lru",
            "volatile-lru",
            "allkeys-random",
            "volatile-ttl",
        ] {
            let server = evicting(policy);
            let provider = provider(&server, Settings::new(IDLE));
            let error = provider.init(Attributes::default()).await.unwrap_err();
            let failure = RedisFailure::of(&error).unwrap();
            assert!(matches!(failure, RedisFailure::Evicts { policy: told } if told == policy));
            assert!(!failure.may_have_been_done());
            assert!(server.keys().is_empty());
            let text = failure.to_string();
            assert!(text.contains("noeviction") && text.contains("allow_eviction"));
            server.must("CONFIG SET maxmemory-policy noeviction");
            assert!(provider.init(Attributes::default()).await.is_ok());
        }
    });
}

#[test]
fn a_server_that_cannot_evict_or_may_is_taken() {
    run(async {
        // A policy without a bound does nothing.
        let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
        let provider = provider(&server, Settings::new(IDLE));
        assert!(provider.init(Attributes::default()).await.is_ok());
        let server = evicting("allkeys-lru");
        let builder = RedisProvider::builder(server.address(), "test", Settings::new(IDLE));
        let provider = builder.timeout(LONG).allow_eviction().build().unwrap();
        assert!(provider.init(Attributes::default()).await.is_ok());
    });
}

#[test]
fn a_server_that_does_not_tell_its_policy_is_taken() {
    let server = evicting("allkeys-lru");
    server.must("ACL SETUSER app on >secret ~* +@all -info");
    let address = server.address().replace("//", "//app:secret@");
    let builder = RedisProvider::builder(address, "test", Settings::new(IDLE));
    let provider = builder.timeout(LONG).build().unwrap();
    run(async {
        assert!(provider.init(Attributes::default()).await.is_ok());
    });
}

#[test]
fn an_index_that_was_lost_is_put_back_by_the_sessions_that_are_accessed() {
    let server = Server::start();
    let (one, other) = (
        provider(&server, Settings::new(IDLE)),
        provider(&server, Settings::new(IDLE)),
    );
    run(async {
        let mut ids = Vec::new();
        for _ in 0..5 {
            let id = one.init(Attributes::default()).await.unwrap().id;
            one.set_owner(By::Key(id.key()), Some("ann")).await.unwrap();
            ids.push(id);
        }
        let keys = server.keys();
        server.must(&format!("DEL {}", names(&keys, "owner")[0]));
        assert!(one.owned_by("ann").await.unwrap().is_empty());
        let [read, loaded, written, touched, renewed] = &ids[..] else {
            panic!("five");
        };
        assert!(
            one.read(By::Id(*read), Access::Touch)
                .await
                .unwrap()
                .is_some()
        );
        // Another machine does as well.
        let load = other.read(By::Key(loaded.key()), Access::Touch).await;
        assert!(load.unwrap().is_some());
        let changes = Changes::default().set("n", 1).unwrap();
        one.apply(By::Key(written.key()), changes, None)
            .await
            .unwrap();
        other.touch(By::Key(touched.key())).await.unwrap();
        let renewed = one.renew(renewed, None).await.unwrap().id;
        assert_eq!(other.owned_by("ann").await.unwrap().len(), 5);
        assert_eq!(other.destroy_owned_by("ann", None).await.unwrap(), 5);
        for id in ids.iter().chain([&renewed]) {
            assert!(
                one.read(By::Id(*id), Access::Touch)
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        assert!(server.keys().is_empty(), "{:?}", server.keys());
    });
}

#[test]
fn an_index_that_is_lost_again_is_put_back_again_a_resolution_later() {
    let server = Server::start();
    let lab = Lab::over(server.address());
    const RESOLUTION: Duration = Duration::from_secs(20);
    let settings = Settings::new(IDLE).touch_resolution(RESOLUTION);
    let provider = lab.provider(&settings).unwrap();
    lab.runtime.block_on(async {
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider
            .set_owner(By::Key(id.key()), Some("ann"))
            .await
            .unwrap();
        provider.read(By::Id(id), Access::Touch).await.unwrap();
        for _ in 0..3 {
            let keys = server.keys();
            server.must(&format!("DEL {}", names(&keys, "owner")[0]));
            lab.clock.advance(RESOLUTION);
            server.must("CONFIG RESETSTAT");
            for _ in 0..10 {
                assert!(
                    provider
                        .read(By::Id(id), Access::Touch)
                        .await
                        .unwrap()
                        .is_some()
                );
            }
            assert_eq!(server.scripts(), 11, "one more in a resolution");
            assert_eq!(provider.owned_by("ann").await.unwrap().len(), 1);
        }
        assert_eq!(provider.destroy_owned_by("ann", None).await.unwrap(), 1);
    });
}

#[test]
fn settings_that_are_shorter_now_reach_sessions_that_are_there() {
    let server = Server::start();
    let clock = ManualClock::new();
    clock.set(Duration::from_secs(1_000_000));
    let with = |settings: Settings| {
        let builder = RedisProvider::builder(server.address(), "test", settings);
        builder.timeout(LONG).clock(clock.clone()).build().unwrap()
    };
    let before = with(Settings::new(IDLE * 60).max_lifetime(IDLE * 120));
    let now = with(Settings::new(IDLE).max_lifetime(IDLE * 2));
    run(async {
        let new = async || before.init(Attributes::default()).await.unwrap().id;
        let (idle, used, own, owned) = (new().await, new().await, new().await, new().await);
        let by = By::Id(own);
        before.set_idle_timeout(by, IDLE * 10).await.unwrap();
        before.set_lifetime(by, IDLE * 20).await.unwrap();
        before.set_owner(By::Id(owned), Some("ann")).await.unwrap();
        let peek = async |id| now.read(By::Id(id), Access::Peek).await.unwrap();
        let left = peek(used).await.unwrap().lifetime_left;
        assert_eq!(left, Some(IDLE * 2));
        for _ in 0..4 {
            clock.advance(IDLE / 2);
            let read = now.read(By::Id(used), Access::Touch).await.unwrap();
            let is_over = clock.now_millis() >= 1_000_000_000 + (IDLE * 2).as_millis() as u64;
            assert_eq!(
                read.is_none(),
                is_over,
                "its lifetime is that of the settings"
            );
        }
        assert!(peek(idle).await.is_none(), "it was idle for longer");
        assert!(now.owned_by("ann").await.unwrap().is_empty());
        assert_eq!(now.destroy_owned_by("ann", None).await.unwrap(), 0);
        let kept = peek(own).await.expect("its terms are its own");
        assert_eq!(kept.lifetime_left, Some(IDLE * 18));
        clock.advance(IDLE * 8);
        assert!(peek(own).await.is_none(), "its own idle timeout is over");
    });
}
