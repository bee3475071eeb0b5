//! A server with a replica, and the replica that takes over: what a caller sees, what is there
//! afterwards, and what may not be.
//!
//! What brings a program's connections to the new server, a name, an address that moves or a proxy,
//! is here a relay.

use crate::redis_server::asking::{peek, run, set};
use crate::redis_server::relay::Relay;
use crate::redis_server::{LONG, Server, free_port};
use dwell::ManualClock;
use dwell::provider::redis::{RedisBuilder, RedisFailure};
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Settings};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);

fn settings() -> Settings {
    Settings::new(IDLE).touch_resolution(IDLE / 10)
}

/// A server, its replica, and where programs connect.
struct Pair {
    master: Server,
    replica: Server,
    relay: Relay,
}

impl Pair {
    fn start(options: &[&str]) -> Self {
        let master = Server::with(options);
        let replica = Server::start();
        replica.must(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
        while !replica
            .must("INFO replication")
            .contains("master_link_status:up")
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let relay = Relay::to(&master);
        Self {
            master,
            replica,
            relay,
        }
    }

    fn provider(&self, near_cache: bool) -> RedisProvider {
        self.builder(near_cache).build().expect("an address")
    }

    fn builder(&self, near_cache: bool) -> RedisBuilder {
        let builder = RedisProvider::builder(&*self.relay.address, "test", settings());
        match near_cache {
            true => builder.timeout(LONG).near_cache(1_000).staleness(LONG),
            false => builder.timeout(LONG),
        }
    }

    /// The master is gone for good, and the replica is the master.
    fn fail_over(&mut self) {
        self.master.kill();
        self.replica.must("REPLICAOF NO ONE");
        self.relay.turn_to(&self.replica);
    }
}

#[test]
fn what_was_replicated_is_there_after_a_failover_and_a_read_meanwhile_waits() {
    run(async {
        let mut pair = Pair::start(&[]);
        let (plain, near) = (pair.provider(false), pair.provider(true));
        let id = plain.init(Attributes::default()).await.unwrap().id;
        let ended = plain.init(Attributes::default()).await.unwrap().id;
        let key = id.key();
        plain.set_owner(By::Key(key), Some("ann")).await.unwrap();
        plain.apply(By::Key(key), set("n", 1), None).await.unwrap();
        for _ in 0..2 {
            assert!(
                near.read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
            assert!(
                near.read(By::Id(ended), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert!(plain.destroy(By::Key(ended.key())).await.unwrap());
        pair.master.wait_for_replica(&pair.replica);
        pair.master.kill();
        let waiting = tokio::spawn({
            let plain = plain.clone();
            async move { peek(&plain, &key, "n").await }
        });
        pair.fail_over();
        assert_eq!(waiting.await.unwrap(), Some(1));
        for provider in [&plain, &near] {
            assert_eq!(provider.owned_by("ann").await.unwrap().len(), 1);
            while provider
                .read(By::Id(ended), Access::Touch)
                .await
                .unwrap()
                .is_some()
            {
                tokio::task::yield_now().await; // a copy, until the broken connection is noticed
            }
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
            let current = peek(provider, &key, "n").await.unwrap();
            let written = provider
                .apply(By::Key(key), set("n", current + 1), None)
                .await;
            written.unwrap();
        }
        assert_eq!(peek(&plain, &key, "n").await, Some(3));
    });
}

/// A planned failover: the old master is a replica now, and no client is disconnected.
#[test]
fn readers_of_a_master_that_became_a_replica_stay_logged_in() {
    run(async {
        for near_cache in [false, true] {
            let pair = Pair::start(&[]);
            let clock = ManualClock::new();
            clock.set(Duration::from_secs(1_000_000));
            let provider = pair.builder(near_cache).clock(clock.clone());
            let provider = provider.build().unwrap();
            let mut ids = Vec::new();
            for _ in 0..40 {
                ids.push(provider.init(Attributes::default()).await.unwrap().id);
            }
            let ended = provider.init(Attributes::default()).await.unwrap().id;
            pair.master.wait_for_replica(&pair.replica);
            pair.replica.must("REPLICAOF NO ONE");
            pair.relay.turn_to(&pair.replica);
            let port = pair.replica.port();
            pair.master.must(&format!("REPLICAOF 127.0.0.1 {port}"));
            // Another machine knows the new master, and the old one has not heard of it.
            pair.master
                .must(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
            let elsewhere = RedisProvider::builder(pair.replica.address(), "test", settings());
            let elsewhere = elsewhere.clock(clock.clone()).build().unwrap();
            assert!(elsewhere.destroy(By::Key(ended.key())).await.unwrap());
            let read = provider.read(By::Id(ended), Access::Touch).await;
            assert!(read.unwrap().is_none(), "the logout counts here too");
            // Together longer than they may be idle.
            for _ in 0..4 {
                clock.advance(IDLE / 3);
                for id in &ids {
                    let read = provider.read(By::Id(*id), Access::Touch).await;
                    assert!(read.unwrap().is_some(), "near cache: {near_cache}");
                }
            }
        }
    });
}

/// Redis acknowledges a write before its replicas have it.
#[test]
fn what_was_acknowledged_and_not_replicated_is_lost_with_the_master() {
    run(async {
        let mut pair = Pair::start(&[]);
        let provider = pair.provider(false);
        let id = provider.init(Attributes::default()).await.unwrap().id;
        provider
            .apply(By::Key(id.key()), set("n", 1), None)
            .await
            .unwrap();
        pair.master.wait_for_replica(&pair.replica);
        // The replica is cut off, and the master goes on.
        pair.replica.must("REPLICAOF NO ONE");
        provider
            .apply(By::Key(id.key()), set("n", 2), None)
            .await
            .unwrap();
        assert!(provider.destroy(By::Key(id.key())).await.unwrap());
        pair.fail_over();
        assert_eq!(peek(&provider, &id.key(), "n").await, Some(1));
        let session = provider.read(By::Id(id), Access::Touch).await.unwrap();
        assert!(session.is_some(), "even the logout");
    });
}

#[test]
fn a_master_that_must_have_a_replica_refuses_what_it_could_lose() {
    run(async {
        // However late the replica answers: what counts here is whether there is one.
        let options = [
            "--min-replicas-to-write",
            "1",
            "--min-replicas-max-lag",
            "3600",
        ];
        let mut pair = Pair::start(&options);
        let provider = pair.provider(false);
        // The master counts its replicas now and then.
        let id = loop {
            if let Ok(issued) = provider.init(Attributes::default()).await {
                break issued.id;
            }
        };
        provider
            .apply(By::Key(id.key()), set("n", 1), None)
            .await
            .unwrap();
        pair.master.wait_for_replica(&pair.replica);
        pair.replica.must("REPLICAOF NO ONE");
        while !pair
            .master
            .must("INFO replication")
            .contains("connected_slaves:0")
        {
            tokio::task::yield_now().await;
        }
        let refusals = [
            provider
                .apply(By::Key(id.key()), set("n", 2), None)
                .await
                .map(drop),
            provider.destroy(By::Key(id.key())).await.map(drop),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap_err();
            let failure = RedisFailure::of(&refusal).expect("the server's failure");
            assert!(matches!(failure, RedisFailure::CannotKeep(_)), "{failure}");
            assert!(!failure.may_have_been_done());
        }
        assert_eq!(peek(&provider, &id.key(), "n").await, Some(1));
        pair.fail_over();
        // The new master is the only one, and has no such demand here.
        assert_eq!(peek(&provider, &id.key(), "n").await, Some(1));
        assert!(provider.destroy(By::Key(id.key())).await.unwrap());
    });
}
