//! The near cache under load: what bounds its commands, its memory, and the age of what it says.

use crate::redis_server::asking::{run, set};
use crate::redis_server::{LONG, Server};
use dwell::ManualClock;
use dwell::provider::redis::RedisBuilder;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionError, SessionId, Settings, Snapshot};
use futures_util::future::join_all;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
const RESOLUTION: Duration = Duration::from_secs(60);

/// One connection: whatever the server said before it answers has come with the answer.
fn near(server: &Server) -> RedisBuilder {
    let settings = Settings::new(IDLE).touch_resolution(RESOLUTION);
    let builder = RedisProvider::builder(server.address(), "test", settings);
    let builder = builder.near_cache(1_000).staleness(LONG);
    builder.timeout(LONG).connections(1)
}

fn machine(server: &Server) -> RedisProvider {
    near(server).build().expect("the settings are right")
}

/// A clock to set, and a machine that goes by it.
fn machine_with_clock(server: &Server) -> (ManualClock, RedisProvider) {
    let clock = ManualClock::new();
    clock.set(Duration::from_secs(1_000_000));
    let provider = near(server).clock(clock.clone()).build();
    (clock, provider.expect("the settings are right"))
}

async fn new(provider: &RedisProvider) -> SessionId {
    let issued = provider.init(Attributes::default()).await;
    issued.expect("a server").id
}

/// The session, unless it ended or the id is not, or no longer, its own.
async fn read(provider: &RedisProvider, id: SessionId) -> Option<Snapshot> {
    match provider.read(By::Id(id), Access::Touch).await {
        Err(SessionError::Superseded) => None,
        read => read.expect("a server"),
    }
}

/// Sessions of one owner, each with a copy here if there is room for it.
async fn copied(provider: &RedisProvider, number: usize) -> Vec<SessionId> {
    let mut ids = Vec::new();
    for _ in 0..number {
        let id = new(provider).await;
        let owned = provider.set_owner(By::Id(id), Some("ann")).await;
        owned.expect("a server");
        ids.push(id);
    }
    for id in &ids {
        assert!(read(provider, *id).await.is_some());
        assert!(read(provider, *id).await.is_some());
    }
    ids
}

#[test]
fn what_the_server_stops_to_track_is_not_answered_from_a_copy() {
    const SESSIONS: usize = 200;
    for table in [1, 20, 100] {
        let server = Server::with(&["--tracking-table-max-keys", &table.to_string()]);
        run(async {
            let (one, other) = (machine(&server), machine(&server));
            let ids = copied(&one, SESSIONS).await;
            let ended = other.destroy_owned_by("ann", None).await.unwrap();
            assert_eq!(ended, SESSIONS);
            new(&one).await;
            let mut found = 0;
            for id in ids {
                found += usize::from(read(&one, id).await.is_some());
            }
            assert_eq!(
                found, 0,
                "of {SESSIONS} that ended, with a table of {table}"
            );
        });
    }
}

#[test]
fn what_the_server_evicts_is_not_answered_from_a_copy() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-random"]);
    run(async {
        let one = near(&server).allow_eviction().build().unwrap();
        let ids = copied(&one, 200).await;
        let used = server.must("INFO memory");
        let used = used
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        let used: u64 = used.unwrap().trim().parse().unwrap();
        server.must(&format!("CONFIG SET maxmemory {}", used + 200_000));
        // While it runs our own commands.
        for _ in 0..40 {
            let mut large = Attributes::default();
            large.set("large", "x".repeat(20_000)).unwrap();
            one.init(large).await.unwrap();
        }
        server.must("CONFIG SET maxmemory 0");
        new(&one).await;
        let (mut here, mut there) = (0, 0);
        let fresh = machine(&server);
        for id in ids {
            here += usize::from(read(&one, id).await.is_some());
            there += usize::from(read(&fresh, id).await.is_some());
        }
        assert!(there < 200, "some were evicted");
        assert_eq!(here, there);
    });
}

#[test]
fn readers_that_come_together_cost_one_command() {
    let server = Server::start();
    run(async {
        let (one, other) = (machine(&server), machine(&server));
        let id = new(&other).await;
        // The connection is made, and the script is there.
        read(&one, new(&one).await).await;
        for round in 1..=20 {
            let write = other.apply(By::Id(id), set("n", round), None).await;
            write.unwrap();
            new(&one).await;
            server.must("CONFIG RESETSTAT");
            for _ in 0..3 {
                let readers = (0..64).map(|_| read(&one, id));
                for found in join_all(readers).await {
                    let n = found.unwrap().attributes.get::<u64>("n").unwrap();
                    assert_eq!(n.as_deref(), Some(&round));
                }
            }
            assert_eq!(server.scripts(), 1, "in round {round}");
        }
    });
}

#[test]
fn a_touch_that_comes_with_a_copy_does_not_cost_the_copy() {
    let server = Server::start();
    let (clock, provider) = machine_with_clock(&server);
    run(async {
        let id = new(&provider).await;
        read(&provider, id).await;
        server.must("CONFIG RESETSTAT");
        for round in 1..=20 {
            clock.advance(RESOLUTION);
            for _ in 0..3 {
                for found in join_all((0..64).map(|_| read(&provider, id))).await {
                    assert!(found.is_some());
                }
            }
            assert_eq!(server.scripts(), round);
        }
    });
}

#[test]
fn a_reader_that_gives_up_leaves_the_answer_to_the_others() {
    let server = Server::start();
    run(async {
        let provider = machine(&server);
        let id = new(&provider).await;
        for _ in 0..50 {
            // A write removes the copy.
            provider.apply(By::Id(id), set("n", 1), None).await.unwrap();
            let others = (0..8).map(|_| read(&provider, id));
            let first = tokio::time::timeout(Duration::ZERO, read(&provider, id));
            let (_, found) = tokio::join!(first, join_all(others));
            assert!(found.iter().all(Option::is_some));
        }
    });
}

#[test]
fn readers_that_come_together_are_each_judged_by_their_own_secret() {
    let server = Server::start();
    run(async {
        let provider = machine(&server);
        let id = new(&provider).await;
        read(&provider, new(&provider).await).await;
        for round in 0..50 {
            provider.apply(By::Id(id), set("n", 1), None).await.unwrap();
            let readers = (0..16).map(|number| {
                let is_forged = (number + round) % 3 != 0;
                let own = if is_forged { id.renewed().unwrap() } else { id };
                let provider = &provider;
                async move { (is_forged, read(provider, own).await) }
            });
            for (is_forged, found) in join_all(readers).await {
                assert_eq!(found.is_none(), is_forged);
            }
        }
    });
}

#[test]
fn a_server_that_is_down_keeps_no_reader_longer_than_its_timeout() {
    let mut server = Server::start();
    run(async {
        let short = Duration::from_millis(200);
        let provider = near(&server).timeout(short).build().unwrap();
        let id = loop {
            if let Ok(issued) = provider.init(Attributes::default()).await {
                break issued.id;
            }
        };
        server.kill();
        let readers = (0..32).map(|_| provider.read(By::Id(id), Access::Touch));
        for found in join_all(readers).await {
            assert!(matches!(found, Err(SessionError::Backend(_))));
        }
    });
}

#[test]
fn copies_are_bounded_by_bytes() {
    const SIZE: usize = 16 << 10;
    let server = Server::start();
    run(async {
        let provider = near(&server).near_cache_bytes(1 << 20).build().unwrap();
        let session = async |size: usize| {
            let mut attributes = Attributes::default();
            attributes.set("text", "x".repeat(size)).unwrap();
            provider.init(attributes).await.unwrap().id
        };
        let mut ids = Vec::new();
        for _ in 0..200 {
            ids.push(session(SIZE).await);
        }
        read(&provider, ids[0]).await;
        for id in &ids {
            assert!(read(&provider, *id).await.is_some());
        }
        server.must("CONFIG RESETSTAT");
        for id in ids.iter().rev() {
            assert!(read(&provider, *id).await.is_some());
        }
        let most = (1 << 20) / SIZE as u64;
        let asked = server.scripts();
        assert!(asked >= 200 - most, "{asked} of 200 had no copy");
        assert!(asked < 200, "some had");
        // One that would push out most of the others is not kept.
        let huge = session(100 << 10).await;
        server.must("CONFIG RESETSTAT");
        for _ in 0..5 {
            assert!(read(&provider, huge).await.is_some());
        }
        assert_eq!(server.scripts(), 5);
    });
}

#[test]
fn a_session_with_a_short_idle_timeout_of_its_own_lives_while_it_is_used() {
    const OWN: Duration = Duration::from_secs(2);
    let server = Server::start();
    let (clock, provider) = machine_with_clock(&server);
    run(async {
        let id = new(&provider).await;
        let set = provider.set_idle_timeout(By::Id(id), OWN).await;
        set.unwrap();
        for step in 0..100 {
            clock.advance(OWN / 4);
            assert!(read(&provider, id).await.is_some(), "at step {step}");
        }
        clock.advance(OWN);
        assert!(read(&provider, id).await.is_none(), "it was left alone");
    });
}
