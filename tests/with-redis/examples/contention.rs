//! A page that counts its visits in one session: what a request takes alone, and with many others
//! at once, of one process and of two.
//!
//! `cargo run --release -p redis-tests --example contention`. It starts redis-server by itself,
//! anew for each row.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use clap::Parser;
use dwell::manager::Manager;
use dwell::provider::RedisProvider;
use dwell::session::{SessionError, Settings};
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use redis_server::Server;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Copy, Parser)]
struct Options {
    /// How many requests are under way at a time.
    #[arg(long, default_value_t = 256)]
    requests: usize,
    /// How long each row is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The provider's timeout, in seconds.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    println!(
        "a request starts its session and counts its visit; {} s a row\n",
        options.seconds
    );
    println!(
        "| at once | processes | near cache | requests/s | a request, median | 99 of 100 | worst | commands a request | \
         given up | lost |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for near in [false, true] {
        for (requests, processes) in [(1, 1), (options.requests, 1), (options.requests, 2)] {
            measure(requests, processes, near, options).await?;
        }
    }
    Ok(())
}

async fn measure(
    requests: usize,
    processes: usize,
    near: bool,
    options: Options,
) -> Result<(), Failure> {
    let server = Server::with(&["--appendonly", "no"]);
    let settings =
        Settings::new(Duration::from_secs(1_800)).touch_resolution(Duration::from_secs(60));
    // A provider has its own connections, queues and copies, as a process has.
    let managers = (0..processes).map(|_| {
        let builder = RedisProvider::builder(server.address(), "test", settings);
        let builder = builder.timeout(Duration::from_secs(options.timeout));
        let provider = match near {
            false => builder.build()?,
            true => builder.near_cache(1_000).build()?,
        };
        let manager = Manager::builder("sid").provider(Arc::new(provider));
        Ok::<_, Failure>(Arc::new(manager.build()?))
    });
    let managers: Vec<_> = managers.collect::<Result<_, _>>()?;
    let cookie = Arc::new(cookie(&managers[0]).await?);
    for manager in &managers {
        visit(manager, &cookie).await?;
    }
    let visits = visit(&managers[0], &cookie).await?;
    let commands = server.scripts();
    let began = Instant::now();
    let end = began + Duration::from_secs(options.seconds);
    let clients = (0..requests).map(|number| {
        let (manager, cookie) = (
            Arc::clone(&managers[number % processes]),
            Arc::clone(&cookie),
        );
        tokio::spawn(async move {
            let (mut took, mut given_up) = (Vec::new(), 0);
            while Instant::now() < end {
                let began = Instant::now();
                match visit(&manager, &cookie).await {
                    Ok(_) => took.push(began.elapsed()),
                    Err(SessionError::Contended) => given_up += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok::<_, Failure>((took, given_up))
        })
    });
    let (mut took, mut given_up) = (Vec::new(), 0);
    for client in clients.collect::<Vec<_>>() {
        let (more, gave_up) = client.await??;
        took.extend(more);
        given_up += gave_up;
    }
    let seconds = began.elapsed().as_secs_f64();
    let commands = (server.scripts() - commands) as f64;
    let counted = visit(&managers[0], &cookie).await? - visits - 1;
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "| {requests} | {processes} | {} | {:.0} | {:.2?} | {:.2?} | {:.2?} | {:.2} | {given_up} | {} |",
        if near { "yes" } else { "no" },
        took.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        at(1.0),
        commands / took.len() as f64,
        took.len() as i64 - counted as i64,
    );
    Ok(())
}

/// A request with the cookie of its session.
async fn visit(manager: &Manager, cookie: &HeaderMap) -> Result<u64, SessionError> {
    let session = manager.start(cookie).await?;
    let visits = session.update("visits", |n: Option<&u64>| n.map_or(1, |n| n + 1));
    let visits = *visits.await?;
    manager.finish(session, &mut HeaderMap::new());
    Ok(visits)
}

/// What the client of a new session sends.
async fn cookie(manager: &Manager) -> Result<HeaderMap, Failure> {
    let session = manager.start(&HeaderMap::new()).await?;
    session.set("visits", 0_u64).await?;
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);
    let cookie = response[SET_COOKIE].to_str()?;
    let cookie = cookie.split(';').next().ok_or("no cookie")?;
    Ok(HeaderMap::from_iter([(COOKIE, cookie.parse()?)]))
}
