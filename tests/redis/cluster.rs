//! Sessions in a cluster of several servers: found wherever they are, while they move, and when a
//! node dies.

use crate::redis_server::asking::{run, set, touch};
use crate::redis_server::cluster::Cluster;
use crate::redis_server::lab::Lab;
use crate::redis_server::{LONG, Server, free_port};
use dwell::provider::redis::RedisFailure;
use dwell::provider::testing::conformance;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionKey, Settings};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);

fn cluster() -> Cluster {
    let cluster = Cluster::start(3);
    cluster.wait();
    cluster
}

fn settings() -> Settings {
    Settings::new(IDLE).touch_resolution(IDLE / 10)
}

/// Knows one node of a cluster.
fn plain(cluster: &Cluster) -> RedisProvider {
    let builder = RedisProvider::builder(cluster.address(0), "test", settings());
    builder.timeout(LONG).build().expect("an address")
}

fn near(cluster: &Cluster) -> RedisProvider {
    RedisProvider::builder(cluster.address(0), "test", settings())
        .near_cache(1_000)
        .staleness(LONG)
        .timeout(LONG)
        .build()
        .expect("an address")
}

/// A new session, and the name of the server's key for it.
async fn session(provider: &RedisProvider, cluster: &Cluster) -> (SessionKey, String) {
    let keys = || cluster.nodes.iter().flat_map(Server::keys);
    let before: Vec<_> = keys().collect();
    let key = provider.init(Attributes::default()).await.unwrap().id.key();
    let name = keys().find(|key| !before.contains(key));
    (key, name.expect("the cluster has it"))
}

#[test]
fn it_passes_the_conformance_suite_over_three_nodes() {
    let cluster = cluster();
    let report = conformance(&Lab::over(cluster.address(0)));
    assert!(report.passed.len() > 36);
}

#[test]
fn with_a_near_cache_it_passes_the_conformance_suite_over_three_nodes() {
    let cluster = cluster();
    let report = conformance(&Lab::over(cluster.address(0)).with_near_cache());
    assert!(report.passed.len() > 36);
}

#[test]
fn sessions_are_on_all_nodes_and_each_is_asked_for_at_the_right_one() {
    const SESSIONS: usize = 100;
    run(async {
        let cluster = cluster();
        let provider = plain(&cluster);
        let mut ids = Vec::new();
        for _ in 0..SESSIONS {
            ids.push(provider.init(Attributes::default()).await.unwrap().id);
        }
        let held: Vec<_> = cluster.nodes.iter().map(|node| node.keys().len()).collect();
        assert_eq!(held.iter().sum::<usize>(), SESSIONS);
        assert!(held.iter().all(|held| *held > SESSIONS / 10), "{held:?}");
        assert!(cluster.redirections("MOVED") > 0, "nobody told where");
        cluster.reset_statistics();
        for id in &ids {
            assert!(
                provider
                    .read(By::Id(*id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert_eq!(cluster.redirections("MOVED"), 0, "it is known by now");
    });
}

#[test]
fn a_session_that_moves_to_another_node_is_found_at_each_step() {
    run(async {
        let cluster = cluster();
        let (one, other) = (near(&cluster), near(&cluster));
        for (round, plain) in [(1, plain(&cluster)), (2, plain(&cluster))] {
            let (key, name) = session(&one, &cluster).await;
            let from = cluster.holder(&name);
            let to = (from + 1) % cluster.nodes.len();
            let mut n = 0;
            // All see what any has written; `near` ones as soon as they are told.
            let mut all_see_a_write = async || {
                for writer in [&one, &other, &plain] {
                    n += 1;
                    writer.apply(By::Key(key), set("n", n), None).await.unwrap();
                    assert_eq!(touch(writer, &key, "n").await, Some(n), "its own at once");
                    assert_eq!(touch(&plain, &key, "n").await, Some(n));
                    for reader in [&one, &other] {
                        while touch(reader, &key, "n").await != Some(n) {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            };
            all_see_a_write().await;
            cluster.reset_statistics();
            cluster.begin_to_move(&name, from, to);
            all_see_a_write().await;
            assert!(cluster.redirections("ASK") > 0, "it was on its way");
            // Nothing of it is kept meanwhile: nobody would be told that a copy is old.
            for _ in 0..2 {
                touch(&one, &key, "n").await;
            }
            cluster.nodes[to].must("CLIENT KILL TYPE normal");
            let cut_off = set("n", 1_000);
            while plain
                .apply(By::Key(key), cut_off.clone(), None)
                .await
                .is_err()
            {}
            while touch(&one, &key, "n").await != Some(1_000) {
                tokio::task::yield_now().await;
            }
            cluster.end_to_move(&name, to);
            cluster.reset_statistics();
            all_see_a_write().await;
            assert!(cluster.redirections("MOVED") > 0, "it has moved");
            assert_eq!(cluster.holder(&name), to);
            cluster.reset_statistics();
            all_see_a_write().await;
            assert_eq!(cluster.redirections("MOVED"), 0, "round {round}");
            assert!(one.destroy(By::Key(key)).await.unwrap());
            assert_eq!(touch(&plain, &key, "n").await, None);
            while other
                .read(By::Key(key), Access::Touch)
                .await
                .unwrap()
                .is_some()
            {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn writers_lose_nothing_while_their_session_moves_around() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 300;
    run(async {
        let cluster = cluster();
        let provider = plain(&cluster);
        let (key, name) = session(&provider, &cluster).await;
        let writers = (0..WRITERS).map(|writer| {
            // Half of them share what they learn, half do not.
            let provider = match writer % 2 {
                0 => provider.clone(),
                _ => plain(&cluster),
            };
            tokio::spawn(async move {
                for n in 0..EACH {
                    let mine = set(&format!("writer {writer}"), n);
                    provider.apply(By::Key(key), mine, None).await.unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut moves = 0;
        while writers.iter().any(|writer| !writer.is_finished()) || moves < 3 {
            let from = cluster.holder(&name);
            let to = (from + 1) % cluster.nodes.len();
            cluster.begin_to_move(&name, from, to);
            tokio::time::sleep(Duration::from_millis(5)).await;
            cluster.end_to_move(&name, to);
            moves += 1;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let session = provider
            .read(By::Key(key), Access::Peek)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(session.version, 1 + WRITERS * EACH, "after {moves} moves");
    });
}

/// Of the node that the program was given, and that told it where things are.
#[test]
fn a_node_that_dies_is_replaced_and_what_was_replicated_is_there() {
    run(async {
        let mut cluster = cluster();
        let replica = cluster.add_replica(0);
        cluster.wait();
        let (plain, near) = (plain(&cluster), near(&cluster));
        let mut sessions = Vec::new();
        for n in 0..30 {
            let id = plain.init(Attributes::default()).await.unwrap().id;
            plain
                .apply(By::Key(id.key()), set("n", n), None)
                .await
                .unwrap();
            near.read(By::Id(id), Access::Touch).await.unwrap();
            near.read(By::Id(id), Access::Touch).await.unwrap();
            sessions.push((id, n));
        }
        let (gone, n) = sessions.pop().unwrap();
        assert!(
            plain.destroy(By::Key(gone.key())).await.unwrap(),
            "session {n}"
        );
        assert!(!cluster.nodes[0].keys().is_empty());
        cluster.nodes[0].wait_for_replica(&cluster.nodes[replica]);
        cluster.nodes[0].kill();
        let ask = |id| {
            let provider = plain.clone();
            tokio::spawn(async move { provider.read(By::Id(id), Access::Touch).await })
        };
        let waiting: Vec<_> = sessions.iter().map(|(id, _)| ask(*id)).collect();
        cluster.nodes[replica].must("CLUSTER FAILOVER TAKEOVER");
        for answer in waiting {
            assert!(answer.await.unwrap().unwrap().is_some());
        }
        for (id, n) in &sessions {
            for provider in [&plain, &near] {
                assert_eq!(touch(provider, &id.key(), "n").await, Some(*n));
                let written = provider
                    .apply(By::Key(id.key()), set("after", *n), None)
                    .await;
                written.unwrap();
            }
        }
        assert!(
            plain
                .read(By::Id(gone), Access::Touch)
                .await
                .unwrap()
                .is_none(),
            "a logout stays"
        );
    });
}

#[test]
fn any_of_the_given_nodes_is_enough_to_begin_with() {
    run(async {
        let cluster = cluster();
        let nobody = format!("redis://127.0.0.1:{}/", free_port());
        let provider = RedisProvider::builder(nobody, "test", settings())
            .cluster_node(cluster.address(2))
            .timeout(LONG)
            .build()
            .unwrap();
        for _ in 0..10 {
            let id = provider.init(Attributes::default()).await.unwrap().id;
            assert!(
                provider
                    .read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
    });
}

#[test]
fn servers_that_are_no_cluster_are_not_taken_for_one() {
    run(async {
        let servers = [Server::start(), Server::start()];
        let provider = RedisProvider::builder(servers[0].address(), "test", settings())
            .cluster_node(servers[1].address())
            .timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        let refused = provider.init(Attributes::default()).await.unwrap_err();
        let failure = RedisFailure::of(&refused).expect("the server's failure");
        assert!(!failure.may_have_been_done(), "{failure}");
        assert!(format!("{failure:?}").contains("cluster support disabled"));
        assert!(servers.iter().all(|server| server.keys().is_empty()));
    });
}

#[test]
fn a_cluster_that_is_down_is_told_and_waited_for() {
    run(async {
        let mut cluster = cluster();
        let hasty = RedisProvider::builder(cluster.address(0), "test", settings())
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let patient = plain(&cluster);
        let key = patient.init(Attributes::default()).await.unwrap().id.key();
        let (slot, holder) = {
            let holder = cluster
                .nodes
                .iter()
                .position(|node| !node.keys().is_empty());
            let holder = holder.expect("a node has it");
            (cluster.slot(&cluster.nodes[holder].keys()[0]), holder)
        };
        // Nobody has the slot: the cluster says that it is down.
        for node in &cluster.nodes {
            node.must(&format!("CLUSTER DELSLOTS {slot}"));
        }
        loop {
            let refused = hasty
                .apply(By::Key(key), set("n", 1), None)
                .await
                .unwrap_err();
            match RedisFailure::of(&refused).expect("the server's failure") {
                RedisFailure::TimedOut { .. } => {} // the machine stood still
                RedisFailure::NotReady(_) => break,
                other => panic!("{other}"),
            }
        }
        let waiting = tokio::spawn({
            let patient = patient.clone();
            async move { patient.apply(By::Key(key), set("n", 2), None).await }
        });
        cluster.nodes[holder].must(&format!("CLUSTER ADDSLOTS {slot}"));
        waiting.await.unwrap().unwrap();
        cluster.wait();
        assert_eq!(touch(&patient, &key, "n").await, Some(2));
        cluster.nodes.iter_mut().for_each(Server::kill);
    });
}
