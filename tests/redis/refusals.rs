//! What a server or a proxy refuses to do at all: nothing is half done, and the caller is told what
//! to do.

use crate::redis_server::asking::{failure, peek, run, set};
use crate::redis_server::lab::Lab;
use crate::redis_server::relay::Relay;
use crate::redis_server::{LONG, Server};
use dwell::ManualClock;
use dwell::provider::redis::{RedisBuilder, RedisFailure};
use dwell::provider::testing::conformance;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionError, Settings};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
/// What `docs/providers.md` says that a user needs.
const COMMANDS: [&str; 17] = [
    "hello",
    "eval",
    "evalsha",
    "time",
    "hmget",
    "hgetall",
    "hset",
    "hdel",
    "pexpire",
    "zadd",
    "zrem",
    "zscore",
    "zrevrange",
    "zrangebyscore",
    "zremrangebyscore",
    "client",
    "info",
];

/// Gives the user `app` the commands, but one, and nothing else.
fn allow(server: &Server, except: Option<&str>) {
    let commands = COMMANDS.iter().filter(|command| Some(**command) != except);
    let commands: Vec<_> = commands.map(|command| format!("+{command}")).collect();
    let rules = format!(
        "ACL SETUSER app reset on >secret ~shop:* {}",
        commands.join(" ")
    );
    server.must(&rules);
}

fn builder(address: &str, settings: Settings) -> RedisBuilder {
    RedisProvider::builder(address, "shop", settings).timeout(LONG)
}

fn app(server: &Server, settings: Settings) -> RedisProvider {
    let address = format!("redis://app:secret@127.0.0.1:{}/", server.port());
    builder(&address, settings).build().expect("an address")
}

#[test]
fn the_commands_that_are_documented_are_enough() {
    let text = include_str!("../../docs/providers.md");
    let line = format!("+{}", COMMANDS.join(" +"));
    let text: Vec<_> = text.split_whitespace().collect();
    assert!(
        text.join(" ").contains(&line),
        "docs/providers.md lists {line}"
    );
    let server = Server::start();
    allow(&server, None);
    server.must("ACL SETUSER app ~*");
    let port = server.port();
    for has_near_cache in [false, true] {
        let lab = Lab::of(move |prefix, settings| {
            let address = format!("redis://app:secret@127.0.0.1:{port}/");
            let prefix = format!("{has_near_cache}{prefix}");
            RedisProvider::builder(address, &*prefix, settings)
        });
        match has_near_cache {
            true => conformance(&lab.with_near_cache()),
            false => conformance(&lab),
        };
    }
}

/// All that the server has: what is in each key, and whether it ends.
fn content(server: &Server) -> Vec<String> {
    let mut keys = server.keys();
    keys.sort();
    let of = |key: &String| {
        let ends = !server.must(&format!("PTTL {key}")).starts_with(":-1");
        assert!(ends, "{key} never ends");
        match key.contains(":owner:") {
            true => format!("{key}: {}", server.must(&format!("ZRANGE {key} 0 -1"))),
            false => {
                let fields = server.must(&format!("HGETALL {key}"));
                let mut pairs: Vec<_> = fields.lines().skip(1).collect();
                // A field, its value, and their lengths. Their order is the server's.
                let mut pairs: Vec<_> = pairs.chunks_mut(4).map(|pair| pair.join(" ")).collect();
                pairs.sort();
                format!("{key}: {pairs:?}")
            }
        }
    };
    keys.iter().map(of).collect()
}

#[test]
fn whatever_command_is_refused_nothing_is_half_done() {
    run(async {
        let server = Server::start();
        let settings = Settings::new(IDLE).max_per_owner(2);
        let admin = builder(&server.address(), settings).build().unwrap();
        for refused in COMMANDS {
            allow(&server, None);
            // Connected before, so that no operation ends at the door.
            let app = app(&server, settings);
            let id = admin.init(Attributes::default()).await.unwrap().id;
            let key = id.key();
            admin.apply(By::Key(key), set("n", 1), None).await.unwrap();
            for _ in 0..2 {
                let other = admin.init(Attributes::default()).await.unwrap().id.key();
                admin.set_owner(By::Key(other), Some("bob")).await.unwrap();
            }
            admin.set_owner(By::Key(key), Some("ann")).await.unwrap();
            assert!(app.read(By::Id(id), Access::Touch).await.unwrap().is_some());
            let mut newest = id;
            allow(&server, Some(refused));
            let change = || set("n", 2).delete("o").set("m", 3).unwrap();
            for step in 0..15 {
                let before = content(&server);
                let done: Result<(), SessionError> = match step {
                    0 => app.init(Attributes::default()).await.map(drop),
                    1 => app.read(By::Id(id), Access::Touch).await.map(drop),
                    2 => app.read(By::Key(key), Access::Peek).await.map(drop),
                    3 => app.apply(By::Key(key), change(), None).await.map(drop),
                    4 => app
                        .apply(By::Key(key), Changes::default().delete("n"), None)
                        .await
                        .map(drop),
                    5 => app.touch(By::Id(id)).await,
                    6 => app.set_idle_timeout(By::Key(key), IDLE * 2).await,
                    7 => app.set_lifetime(By::Key(key), IDLE * 2).await,
                    8 => app.owned_by("ann").await.map(drop),
                    9 => app.set_owner(By::Key(key), Some("bob")).await,
                    10 => app.set_owner(By::Key(key), None).await,
                    11 => app.renew(&id, None).await.map(|issued| newest = issued.id),
                    12 => app.log_in(&newest, "ann").await.map(drop),
                    13 => app.destroy_owned_by("bob", None).await.map(drop),
                    _ => app.destroy(By::Key(key)).await.map(drop),
                };
                let Err(error) = done else { continue };
                let failure = RedisFailure::of(&error).unwrap_or_else(|| panic!("{error}"));
                let what = format!("without {refused}, step {step}: {failure}");
                assert!(matches!(failure, RedisFailure::Denied(_)), "{what}");
                assert!(!failure.may_have_been_done(), "{what}");
                assert_eq!(content(&server), before, "{what}");
            }
            server.must("FLUSHALL");
        }
    });
}

#[test]
fn a_proxy_that_loads_no_scripts_is_sent_their_texts() {
    run(async {
        let server = Server::start();
        let relay = Relay::without(&["SCRIPT"], &server);
        let provider = builder(&relay.address, Settings::new(IDLE))
            .build()
            .unwrap();
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        provider
            .apply(By::Key(key), set("n", 1), None)
            .await
            .unwrap();
        assert_eq!(peek(&provider, &key, "n").await, Some(1));
    });
}

#[test]
fn what_does_not_know_hello_is_asked_without_it() {
    run(async {
        let server = Server::with(&["--requirepass", "secret"]);
        let relay = Relay::without(&["HELLO"], &server);
        let address = relay.address.replace("redis://", "redis://:secret@");
        let provider = builder(&address, Settings::new(IDLE)).build().unwrap();
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        provider.set_owner(By::Key(key), Some("ann")).await.unwrap();
        provider
            .apply(By::Key(key), set("n", 1), None)
            .await
            .unwrap();
        assert_eq!(peek(&provider, &key, "n").await, Some(1));
        assert_eq!(provider.owned_by("ann").await.unwrap().len(), 1);
        assert!(provider.destroy(By::Key(key)).await.unwrap());
        assert!(!provider.destroy(By::Key(key)).await.unwrap());
    });
}

/// Without HELLO nobody says that a connection was closed. One that was silent is asked before a
/// write goes over it.
#[test]
fn without_hello_a_connection_that_was_closed_while_nobody_used_it_fails_no_write() {
    run(async {
        let server = Server::start();
        let relay = Relay::without(&["HELLO"], &server);
        let clock = ManualClock::new();
        clock.set(Duration::from_secs(1_000_000));
        let builder = builder(&relay.address, Settings::new(IDLE));
        let provider = builder.clock(clock.clone()).build().unwrap();
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        for n in 0..20 {
            server.must("CLIENT KILL TYPE normal");
            clock.advance(Duration::from_secs(1));
            let written = provider.apply(By::Key(key), set("n", n), None);
            assert_eq!(written.await.unwrap().version, n + 2);
        }
    });
}

#[test]
fn a_near_cache_over_what_tells_of_nothing_is_refused_and_says_so() {
    run(async {
        let server = Server::start();
        for unknown in [&["HELLO"][..], &["CLIENT"]] {
            let relay = Relay::without(unknown, &server);
            let settings = Settings::new(IDLE).touch_resolution(IDLE / 10);
            let near = builder(&relay.address, settings).near_cache(10);
            let refused = near.build().unwrap().init(Attributes::default()).await;
            let failure = failure(&refused);
            assert!(matches!(failure, RedisFailure::NoTracking(_)), "{failure}");
            assert!(!failure.may_have_been_done());
            assert!(failure.to_string().contains("build without `near_cache`"));
        }
    });
}

#[test]
fn a_server_that_forgets_its_scripts_over_and_over_fails_nothing() {
    run(async {
        let server = Server::start();
        let provider = builder(&server.address(), Settings::new(IDLE))
            .build()
            .unwrap();
        let key = provider.init(Attributes::default()).await.unwrap().id.key();
        let forgets = tokio::task::spawn_blocking(move || {
            for _ in 0..300 {
                server.must("SCRIPT FLUSH");
            }
            server
        });
        let mut written = 0;
        while !forgets.is_finished() {
            written += 1;
            provider
                .apply(By::Key(key), set("n", written), None)
                .await
                .unwrap();
        }
        let _server = forgets.await.unwrap();
        assert_eq!(peek(&provider, &key, "n").await, Some(written));
    });
}
