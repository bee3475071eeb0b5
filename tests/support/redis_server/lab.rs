//! The provider over a server or a cluster, with a clock to set.

use super::{LONG, runtime};
use dwell::ManualClock;
use dwell::provider::redis::RedisBuilder;
use dwell::provider::testing::Subject;
use dwell::provider::{Provider, RedisProvider};
use dwell::session::Settings;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

type Build = dyn Fn(&str, Settings) -> RedisBuilder + Send + Sync;

pub struct Lab {
    pub clock: ManualClock,
    pub runtime: Runtime,
    build: Box<Build>,
    has_near_cache: bool,
    prefixes: AtomicUsize,
}

impl Lab {
    pub fn over(address: String) -> Self {
        Self::of(move |prefix, settings| RedisProvider::builder(&*address, prefix, settings))
    }

    /// `build` is given a prefix of its own for each provider.
    pub fn of(build: impl Fn(&str, Settings) -> RedisBuilder + Send + Sync + 'static) -> Self {
        let clock = ManualClock::new();
        clock.set(Duration::from_secs(1_000_000));
        Self {
            clock,
            runtime: runtime(),
            build: Box::new(build),
            has_near_cache: false,
            prefixes: AtomicUsize::new(0),
        }
    }

    pub fn with_near_cache(mut self) -> Self {
        self.has_near_cache = true;
        self
    }
}

impl Subject for Lab {
    fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>> {
        let prefix = self.prefixes.fetch_add(1, Ordering::Relaxed);
        // The clock stands still between the suite's advances, so every read after the first is a
        // near one.
        let least = Duration::from_millis(1);
        let near = settings.touch_resolution(settings.touch_resolution.max(least));
        let settings = if self.has_near_cache { near } else { *settings };
        let mut builder = (self.build)(&prefix.to_string(), settings)
            .clock(self.clock.clone())
            .timeout(LONG);
        if self.has_near_cache {
            builder = builder.near_cache(1_000).staleness(LONG);
        }
        let provider = builder.build().ok()?;
        Some(Arc::new(provider))
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn block_on(&self, task: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        self.runtime.block_on(task);
    }
}
