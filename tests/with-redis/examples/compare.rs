//! The ways to keep sessions in Redis, in one run: requests a second, and what each request costs
//! the server.
//!
//! `cargo run --release -p redis-tests --example compare`. It starts redis-server by itself, anew
//! for each variant.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use clap::Parser;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionId, Settings};
use redis_server::Server;
use redis_tests::Usage;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::{CachingSessionStore, SessionStore};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

const IDLE: Duration = Duration::from_secs(30 * 60);
const CONNECTIONS: usize = 4;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Copy, Parser)]
struct Options {
    /// How many sessions.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// How many requests are under way at a time.
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// How long each variant is measured, after as long a warm-up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each variant is measured: the median counts.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// So many requests in a hundred write.
    #[arg(long, default_value_t = 0)]
    writes: u8,
    /// The touch resolution, in seconds.
    #[arg(long, default_value_t = 5)]
    resolution: u64,
}

/// A way to keep sessions.
trait Store: Clone + Send + Sync + 'static {
    type Key: Copy + Send + Sync + 'static;

    /// A session with a few values.
    fn create(&self) -> impl Future<Output = Result<Self::Key, Failure>> + Send;

    /// Reads a value, which is an access, and changes another one if it `writes`.
    fn request(
        &self,
        key: Self::Key,
        writes: Option<u64>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

const VALUES: [(&str, &str); 4] = [
    ("name", "User Number 7"),
    ("mail", "user7@example.com"),
    ("theme", "dark"),
    ("token", "some thirty letters, or so it is"),
];

#[derive(Clone)]
struct Dwell(RedisProvider);

impl Store for Dwell {
    type Key = SessionId;

    async fn create(&self) -> Result<SessionId, Failure> {
        let mut attributes = Attributes::default();
        for (name, value) in VALUES {
            attributes.set(name, value.to_owned())?;
        }
        Ok(self.0.init(attributes).await?.id)
    }

    async fn request(&self, id: SessionId, writes: Option<u64>) -> Result<(), Failure> {
        let session = self
            .0
            .read(By::Id(id), Access::Touch)
            .await?
            .ok_or("the session ended")?;
        session.attributes.get::<String>("name")?.ok_or("no name")?;
        if let Some(number) = writes {
            let changes = Changes::default().set("visits", number)?;
            self.0.apply(By::Key(id.key()), changes, None).await?;
        }
        Ok(())
    }
}

/// A store of tower-sessions, used as its layer does. Whether a request extends the session's life.
#[derive(Clone)]
struct Tower<S>(S, bool);

impl<S: SessionStore + Clone> Store for Tower<S> {
    type Key = Id;

    async fn create(&self) -> Result<Id, Failure> {
        let values = VALUES.map(|(name, value)| (name.to_owned(), value.into()));
        let mut record = Record {
            id: Id::default(),
            data: values.into(),
            expiry_date: OffsetDateTime::now_utc() + IDLE,
        };
        self.0.create(&mut record).await?;
        Ok(record.id)
    }

    async fn request(&self, id: Id, writes: Option<u64>) -> Result<(), Failure> {
        let mut record = self.0.load(&id).await?.ok_or("the session ended")?;
        record.data.get("name").ok_or("no name")?;
        if let Some(number) = writes {
            record.data.insert("visits".into(), number.into());
        }
        if self.1 || writes.is_some() {
            record.expiry_date = OffsetDateTime::now_utc() + IDLE;
            self.0.save(&record).await?;
        }
        Ok(())
    }
}

/// What a request costs, of one measurement.
struct Cost {
    rate: f64,
    commands: f64,
    micros: f64,
    bytes: f64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    println!(
        "{} sessions, evenly; {} requests under way; {} of 100 write; a touch resolution of {} s; the median of {}\n",
        options.sessions, options.clients, options.writes, options.resolution, options.repetitions
    );
    println!(
        "| variant | requests/s | commands a request | Redis' processor time a request | bytes a request |\n|---|---|---|---|---|"
    );
    let mut results: [(&str, Vec<Cost>); 6] = [
        ("`RedisProvider`", Vec::new()),
        ("`RedisProvider`, near cache", Vec::new()),
        ("`RedisStore`", Vec::new()),
        ("`RedisStore`, no touch", Vec::new()),
        ("`CachingSessionStore`", Vec::new()),
        ("`CachingSessionStore`, no touch", Vec::new()),
    ];
    for _ in 0..options.repetitions {
        for (number, (_, results)) in results.iter_mut().enumerate() {
            let server = Server::with(&["--appendonly", "no"]);
            results.push(match number {
                0 => measure(Dwell(provider(&server, options, false)?), &server, options).await?,
                1 => measure(Dwell(provider(&server, options, true)?), &server, options).await?,
                2 => measure(Tower(redis(&server).await?, true), &server, options).await?,
                3 => measure(Tower(redis(&server).await?, false), &server, options).await?,
                4 => measure(Tower(caching(&server).await?, true), &server, options).await?,
                _ => measure(Tower(caching(&server).await?, false), &server, options).await?,
            });
        }
    }
    for (name, mut results) in results {
        results.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        let Cost {
            rate,
            commands,
            micros,
            bytes,
        } = &results[results.len() / 2];
        println!("| {name} | {rate:.0} | {commands:.3} | {micros:.1} µs | {bytes:.0} |");
    }
    Ok(())
}

fn provider(server: &Server, options: Options, near: bool) -> Result<RedisProvider, Failure> {
    let settings = Settings::new(IDLE).touch_resolution(Duration::from_secs(options.resolution));
    let builder =
        RedisProvider::builder(server.address(), "test", settings).connections(CONNECTIONS);
    Ok(match near {
        false => builder.build()?,
        true => builder.near_cache(options.sessions * 2).build()?,
    })
}

async fn redis(server: &Server) -> Result<RedisStore<Pool>, Failure> {
    let config = Config::from_url(&server.address())?;
    let pool = Pool::new(config, None, None, None, CONNECTIONS)?;
    pool.init().await?;
    Ok(RedisStore::new(pool))
}

type Caching = CachingSessionStore<MokaStore, RedisStore<Pool>>;

async fn caching(server: &Server) -> Result<Caching, Failure> {
    Ok(CachingSessionStore::new(
        MokaStore::new(None),
        redis(server).await?,
    ))
}

async fn measure<S: Store>(store: S, server: &Server, options: Options) -> Result<Cost, Failure> {
    let mut keys = Vec::new();
    for _ in 0..options.sessions {
        keys.push(store.create().await?);
    }
    let keys: Arc<[S::Key]> = keys.into();
    run(&store, &keys, options).await?; // the warm-up
    let before = Usage::of(server.port())?;
    let began = Instant::now();
    let requests = run(&store, &keys, options).await? as f64;
    let took = began.elapsed();
    let used = Usage::of(server.port())? - before;
    Ok(Cost {
        rate: requests / took.as_secs_f64(),
        commands: used.commands as f64 / requests,
        micros: used.micros / requests,
        bytes: used.bytes as f64 / requests,
    })
}

/// Has all clients ask, and returns how often they did.
async fn run<S: Store>(store: &S, keys: &Arc<[S::Key]>, options: Options) -> Result<u64, Failure> {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let clients = (0..options.clients).map(|seed| {
        let (store, keys) = (store.clone(), Arc::clone(keys));
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut requests = 0;
            while Instant::now() < end {
                let writes = random.u8(0..100) < options.writes;
                let key = keys[random.usize(0..keys.len())];
                store.request(key, writes.then_some(requests)).await?;
                requests += 1;
                tokio::task::consume_budget().await;
            }
            Ok::<_, Failure>(requests)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await??;
    }
    Ok(requests)
}
