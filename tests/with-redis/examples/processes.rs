//! One, two and four processes over one Redis: requests a second, commands and touches a request,
//! and whether each increment of each process is there in the end.
//!
//! `cargo run --release -p redis-tests --example processes`. It starts redis-server by itself, and
//! itself again as the processes.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use clap::Parser;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionError, SessionId, Settings};
use redis_server::Server;
use redis_tests::Usage;
use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Parser)]
struct Options {
    /// How many sessions. Each process asks for all of them.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// How many requests are under way at a time, in all processes together.
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// How long each variant runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// So many requests in a hundred count one up.
    #[arg(long, default_value_t = 10)]
    writes: u8,
    /// The touch resolution, in seconds.
    #[arg(long, default_value_t = 5)]
    resolution: u64,
    /// Whether there is a near cache. For a process.
    #[arg(long, hide = true)]
    near: bool,
    /// The server. For a process.
    #[arg(long, hide = true)]
    address: Option<String>,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let runtime = redis_server::runtime();
    match &options.address {
        Some(address) => runtime.block_on(work(address, &options)),
        None => runtime.block_on(measure(&options)),
    }
}

async fn measure(options: &Options) -> Result<(), Failure> {
    println!(
        "{} sessions, evenly; {} requests under way in all; {} of 100 count one up, if the version is still the one \
         that was read; a touch resolution of {} s\n",
        options.sessions, options.clients, options.writes, options.resolution
    );
    println!(
        "| processes | variant | requests/s | commands a request | touches and writes of deadlines a request | conflicts, all repeated | increments | of them lost |\n|---|---|---|---|---|---|---|---|"
    );
    for near in [false, true] {
        for processes in [1, 2, 4] {
            let server = Server::with(&["--appendonly", "no"]);
            let provider = provider(&server.address(), options, false)?;
            let mut ids = Vec::new();
            for _ in 0..options.sessions {
                ids.push(provider.init(Attributes::default()).await?.id);
            }
            let before = Usage::of(server.port())?;
            let began = Instant::now();
            let told = start(&server, &ids, processes, near, options)?;
            let took = began.elapsed();
            let used = Usage::of(server.port())? - before;
            let mut found = 0;
            for id in &ids {
                found += count(&provider, id).await?;
            }
            let requests = told[0] as f64;
            println!(
                "| {processes} | {} | {:.0} | {:.3} | {:.3} | {} | {} | {} |",
                if near { "near cache" } else { "plain" },
                requests / took.as_secs_f64(),
                used.commands as f64 / requests,
                used.expiries as f64 / requests,
                told[2],
                told[1],
                told[1] as i64 - found as i64
            );
        }
    }
    Ok(())
}

/// Has processes work, and adds up what they tell: requests, increments, conflicts.
fn start(
    server: &Server,
    ids: &[SessionId],
    processes: u64,
    near: bool,
    options: &Options,
) -> Result<[u64; 3], Failure> {
    let mut running = Vec::new();
    for _ in 0..processes {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--address", &server.address()]);
        command.args(near.then_some("--near"));
        for (option, value) in [
            ("--sessions", options.sessions as u64),
            ("--clients", options.clients / processes),
            ("--seconds", options.seconds),
            ("--writes", options.writes.into()),
            ("--resolution", options.resolution),
        ] {
            command.args([option, &value.to_string()]);
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = piped.spawn()?;
        let mut input = process.stdin.take().ok_or("no pipe")?;
        for id in ids {
            writeln!(input, "{}", id.to_cookie())?;
        }
        running.push(process);
    }
    let mut sum = [0; 3];
    for process in running {
        let output = process.wait_with_output()?;
        let told = String::from_utf8(output.stdout)?;
        for (sum, number) in sum.iter_mut().zip(told.split_whitespace()) {
            *sum += number.parse::<u64>()?;
        }
    }
    Ok(sum)
}

fn provider(address: &str, options: &Options, near: bool) -> Result<RedisProvider, Failure> {
    let settings = Settings::new(Duration::from_secs(30 * 60))
        .touch_resolution(Duration::from_secs(options.resolution));
    let builder = RedisProvider::builder(address, "test", settings);
    Ok(match near {
        false => builder.build()?,
        true => builder.near_cache(options.sessions * 2).build()?,
    })
}

async fn count(provider: &RedisProvider, id: &SessionId) -> Result<u64, Failure> {
    let session = provider.read(By::Key(id.key()), Access::Peek).await?;
    let session = session.ok_or("the session ended")?;
    Ok(session.attributes.get::<u64>("n")?.map_or(0, |n| *n))
}

/// A process.
async fn work(address: &str, options: &Options) -> Result<(), Failure> {
    let provider = provider(address, options, options.near)?;
    let ids: Result<Arc<[SessionId]>, Failure> = std::io::stdin()
        .lines()
        .map(|line| Ok(SessionId::parse(&line?).ok_or("no id")?))
        .collect();
    let ids = ids?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let clients = (0..options.clients).map(|client| {
        let (provider, ids, writes) = (provider.clone(), Arc::clone(&ids), options.writes);
        let seed = u64::from(std::process::id()) << 32 | client;
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut told = [0; 3];
            while Instant::now() < end {
                let id = &ids[random.usize(0..ids.len())];
                told[0] += 1;
                if random.u8(0..100) < writes {
                    told[2] += count_up(&provider, id).await?;
                    told[1] += 1;
                } else {
                    provider
                        .read(By::Id(*id), Access::Touch)
                        .await?
                        .ok_or("the session ended")?;
                }
                tokio::task::consume_budget().await;
            }
            Ok::<_, Failure>(told)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut sum = [0; 3];
    for client in clients {
        for (sum, number) in sum.iter_mut().zip(client.await??) {
            *sum += number;
        }
    }
    println!("{} {} {}", sum[0], sum[1], sum[2]);
    Ok(())
}

/// Adds one to what was read, if nobody wrote since; otherwise reads again. Returns how often
/// somebody had.
async fn count_up(provider: &RedisProvider, id: &SessionId) -> Result<u64, Failure> {
    let mut conflicts = 0;
    loop {
        let session = provider
            .read(By::Id(*id), Access::Touch)
            .await?
            .ok_or("the session ended")?;
        let n = session.attributes.get::<u64>("n")?.map_or(0, |n| *n);
        let changes = Changes::default().set("n", n + 1)?;
        let key = id.key();
        let applied = provider.apply(By::Key(key), changes, Some(session.version));
        match applied.await {
            Ok(_) => return Ok(conflicts),
            Err(SessionError::Conflict { .. }) => conflicts += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
