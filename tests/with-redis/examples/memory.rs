//! What sessions cost in Redis' memory.
//!
//! `cargo run --release -p redis-tests --example memory`. It starts redis-server by itself.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use clap::Parser;
use dwell::provider::{By, Provider, RedisProvider};
use dwell::session::{Attributes, Settings};
use futures_util::future::try_join_all;
use redis_server::Server;
use redis_tests::memory;
use std::error::Error;
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// How many are made at a time.
const TOGETHER: u64 = 64;

#[derive(Debug, Parser)]
struct Options {
    /// How many sessions.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let sessions = Options::parse().sessions;
    println!("| {sessions} sessions, each with | bytes a session | in all |\n|---|---|---|");
    for (what, attributes, owner) in [
        ("nothing", false, false),
        ("four attributes", true, false),
        ("four attributes and an owner of its own", true, true),
    ] {
        let server = Server::with(&["--appendonly", "no"]);
        let settings = Settings::new(Duration::from_secs(24 * 60 * 60));
        let provider = RedisProvider::builder(server.address(), "test", settings)
            .timeout(Duration::from_secs(60 * 60))
            .build()?;
        let before = memory(server.port())?;
        let tasks = (0..TOGETHER).map(|task| {
            let provider = provider.clone();
            tokio::spawn(async move {
                for number in (task..sessions).step_by(TOGETHER as usize) {
                    let key = provider.init(some(attributes, number)?).await?.id.key();
                    if owner {
                        provider
                            .set_owner(By::Key(key), Some(&format!("user-{number}")))
                            .await?;
                    }
                }
                Ok::<_, Failure>(())
            })
        });
        for done in try_join_all(tasks).await? {
            done?;
        }
        let used = memory(server.port())? - before;
        println!(
            "| {what} | {} | {:.2} GiB |",
            used / sessions,
            used as f64 / f64::from(1 << 30)
        );
    }
    Ok(())
}

/// As in dwell's example of a snapshot.
fn some(attributes: bool, number: u64) -> Result<Attributes, Failure> {
    let mut all = Attributes::default();
    if attributes {
        all.set("user", number)?;
        all.set("name", format!("User Number {number}"))?;
        all.set("theme", String::from("dark"))?;
        all.set("cart", vec![number % 1_000, number % 77])?;
    }
    Ok(all)
}
