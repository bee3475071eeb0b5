//! Redis with and without a near cache, in one run: requests a second, and commands to Redis for each request.
//!
//! Needs a server: `redis-server --port 7379 --save '' &`, then
//! `cargo run --release --features redis --example near -- --address 127.0.0.1:7379`

use clap::Parser;
use dwell::provider::{Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionError, SessionId, Settings};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, Parser)]
struct Options {
    /// Where the server is.
    #[arg(long, default_value = "127.0.0.1:6379")]
    address: String,
    /// How many sessions.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// How many requests are under way at a time.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How long each variant runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// One request in so many writes.
    #[arg(long, default_value_t = 100)]
    write_every: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let settings =
        Settings::new(Duration::from_secs(1_800)).touch_resolution(Duration::from_secs(60));
    let builder = || RedisProvider::builder(format!("redis://{}/", options.address), settings);
    let variants = [
        ("plain", builder().build()?),
        (
            "near cache",
            builder().near_cache(options.sessions * 2).build()?,
        ),
    ];
    println!("| variant | requests/s | commands a request |\n|---|---|---|");
    for (name, provider) in variants {
        let mut attributes = Attributes::default();
        attributes.set("name", String::from("User Number 7"))?;
        attributes.set("cart", vec![1_u64, 2, 3])?;
        let mut ids = Vec::new();
        for _ in 0..options.sessions {
            ids.push(provider.init(attributes.clone()).await?.id);
        }
        let ids: Arc<[SessionId]> = ids.into();
        let before = scripts(&options.address)?;
        let end = Instant::now() + Duration::from_secs(options.seconds);
        let clients = (0..options.clients as u64).map(|seed| {
            let (provider, ids) = (provider.clone(), Arc::clone(&ids));
            tokio::spawn(client(provider, ids, seed, options.write_every, end))
        });
        let clients: Vec<_> = clients.collect();
        let mut requests = 0;
        for client in clients {
            requests += client.await??;
        }
        let commands = scripts(&options.address)? - before;
        println!(
            "| {name} | {} | {:.3} |",
            requests / options.seconds,
            commands as f64 / requests as f64
        );
    }
    Ok(())
}

/// Asks for sessions, nine times in ten for one of the first tenth of them. Returns how often.
async fn client(
    provider: RedisProvider,
    ids: Arc<[SessionId]>,
    seed: u64,
    write_every: u64,
    end: Instant,
) -> Result<u64, SessionError> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut requests = 0;
    while Instant::now() < end {
        let among = if random.u8(0..10) == 0 {
            ids.len()
        } else {
            ids.len().div_ceil(10)
        };
        let id = &ids[random.usize(0..among)];
        provider.read(id).await?.ok_or(SessionError::Ended)?;
        requests += 1;
        if requests % write_every == 0 {
            let changes = Changes::default().set("visits", requests)?;
            provider.apply(&id.key(), changes, None).await?;
        }
        tokio::task::consume_budget().await;
    }
    Ok(requests)
}

/// How many scripts the server ran: one for each operation that reaches it.
fn scripts(address: &str) -> Result<u64, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"INFO commandstats\r\nQUIT\r\n")?;
    let mut stats = String::new();
    stream.read_to_string(&mut stats)?;
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1);
    let calls = calls.and_then(|calls| calls.split(',').next());
    Ok(calls.ok_or("the server ran no script")?.parse()?)
}
