//! Two machines with copies of the same sessions: when a logout on one holds on the other, and what
//! is left of what both write at the same time.
//!
//! `cargo run --release -p redis-tests --example agree`. It starts redis-server by itself.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, Settings};
use redis_server::Server;
use std::error::Error;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::{CachingSessionStore, SessionStore};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

type Failure = Box<dyn Error + Send + Sync>;

const IDLE: Duration = Duration::from_secs(30 * 60);
/// For how long a logout is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many values each machine adds.
const EACH: usize = 100;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let server = Server::with(&["--appendonly", "no"]);
    println!(
        "| variant | a logout on one machine is refused on the other | of {} values that both add at the same time |\n|---|---|---|",
        2 * EACH
    );
    for near in [false, true] {
        let machine = || provider(&server, near);
        let name = if near {
            "`RedisProvider`, near cache"
        } else {
            "`RedisProvider`"
        };
        let kept = dwell_keeps(machine()?, machine()?).await?;
        let lag = dwell_logout(machine()?, machine()?).await?;
        println!("| {name} | {} | {kept} kept |", told(lag));
    }
    let plain = async || Ok::<_, Failure>(RedisStore::new(pool(&server).await?));
    let kept = tower_keeps(plain().await?, plain().await?).await?;
    let lag = tower_logout(plain().await?, plain().await?).await?;
    println!("| `RedisStore` | {} | {kept} kept |", told(lag));
    let caching = async || {
        let store = RedisStore::new(pool(&server).await?);
        Ok::<_, Failure>(CachingSessionStore::new(MokaStore::new(None), store))
    };
    let kept = tower_keeps(caching().await?, caching().await?).await?;
    let lag = tower_logout(caching().await?, caching().await?).await?;
    println!("| `CachingSessionStore` | {} | {kept} kept |", told(lag));
    Ok(())
}

fn told(lag: Option<Duration>) -> String {
    match lag {
        Some(lag) => format!("after {} µs", lag.as_micros()),
        None => format!("not within {PATIENCE:?}"),
    }
}

fn provider(server: &Server, near: bool) -> Result<RedisProvider, Failure> {
    let settings = Settings::new(IDLE).touch_resolution(Duration::from_secs(60));
    let builder = RedisProvider::builder(server.address(), "test", settings);
    Ok(match near {
        false => builder.build()?,
        true => builder.near_cache(1_000).build()?,
    })
}

async fn pool(server: &Server) -> Result<Pool, Failure> {
    let pool = Pool::new(Config::from_url(&server.address())?, None, None, None, 4)?;
    pool.init().await?;
    Ok(pool)
}

/// How long after a logout on one machine the other one still answers; none if it always does.
async fn dwell_logout(
    one: RedisProvider,
    other: RedisProvider,
) -> Result<Option<Duration>, Failure> {
    let id = one.init(Attributes::default()).await?.id;
    for _ in 0..3 {
        one.read(By::Id(id), Access::Touch)
            .await?
            .ok_or("no session")?;
        other
            .read(By::Id(id), Access::Touch)
            .await?
            .ok_or("no session")?;
    }
    one.destroy(By::Key(id.key())).await?;
    let began = Instant::now();
    while other.read(By::Id(id), Access::Touch).await?.is_some() {
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
        tokio::task::consume_budget().await;
    }
    Ok(Some(began.elapsed()))
}

async fn tower_logout<S: SessionStore>(one: S, other: S) -> Result<Option<Duration>, Failure> {
    let id = tower_session(&one).await?;
    for _ in 0..3 {
        one.load(&id).await?.ok_or("no session")?;
        other.load(&id).await?.ok_or("no session")?;
    }
    one.delete(&id).await?;
    let began = Instant::now();
    while other.load(&id).await?.is_some() {
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
        tokio::task::consume_budget().await;
    }
    Ok(Some(began.elapsed()))
}

async fn dwell_keeps(one: RedisProvider, other: RedisProvider) -> Result<usize, Failure> {
    let id = one.init(Attributes::default()).await?.id;
    let add = async |machine: &RedisProvider, letter| {
        for number in 0..EACH {
            machine
                .read(By::Id(id), Access::Touch)
                .await?
                .ok_or("no session")?;
            let changes = Changes::default().set(&format!("{letter}{number}"), number)?;
            machine.apply(By::Key(id.key()), changes, None).await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::try_join!(add(&one, 'a'), add(&other, 'b'))?;
    let session = one
        .read(By::Id(id), Access::Touch)
        .await?
        .ok_or("no session")?;
    Ok(session.attributes.len())
}

async fn tower_keeps<S: SessionStore>(one: S, other: S) -> Result<usize, Failure> {
    let id = tower_session(&one).await?;
    let add = async |machine: &S, letter| {
        for number in 0..EACH {
            let mut record = machine.load(&id).await?.ok_or("no session")?;
            record
                .data
                .insert(format!("{letter}{number}"), number.into());
            machine.save(&record).await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::try_join!(add(&one, 'a'), add(&other, 'b'))?;
    Ok(one.load(&id).await?.ok_or("no session")?.data.len())
}

async fn tower_session<S: SessionStore>(store: &S) -> Result<Id, Failure> {
    let mut record = Record {
        id: Id::default(),
        data: Default::default(),
        expiry_date: OffsetDateTime::now_utc() + IDLE,
    };
    store.create(&mut record).await?;
    Ok(record.id)
}
