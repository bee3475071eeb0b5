//! The background collector: a thread that collects when something is due.
//!
//! It parks in between; no operation of the map ever waits for it or wakes it.

use crate::map::IdleMap;
use crate::tuning::ops::LONGEST_SLEEP;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A background thread that collects a map, from [`IdleMap::spawn_collector`].
///
/// It stops when this is dropped, and by itself soon after the last other owner of the map has let
/// go of it.
///
/// ```
/// use dwell::IdleMap;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let map: Arc<IdleMap<u64, u64>> = Arc::new(IdleMap::new(Duration::from_secs(60)));
/// let collector = map.spawn_collector();
/// assert!(collector.is_running());
/// drop(collector); // Waits for the thread, which ends at once.
/// ```
#[derive(Debug)]
#[must_use = "it stops when it is dropped: keep it for as long as the map"]
pub struct Collector {
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Whether the thread is still there. It ends with its map, and if the clock panics.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Relaxed, as the thread's loads: the flag brings nothing along, and unparking lets it be
        // seen.
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.thread().id() != thread::current().id() {
                // A panic on that thread was reported where it happened.
                let _ = thread.join();
            }
        }
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Starts a thread that collects this map whenever something is due, in bounded steps.
    ///
    /// The thread holds no reference to the map while it sleeps, and sleeps for a second at the
    /// most. Several collectors of one map do no harm. Listeners run on its thread, and may panic.
    ///
    /// # Panics
    /// If the operating system does not give a thread.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// let map: Arc<IdleMap<u64, u64>> = Arc::new(IdleMap::new(Duration::from_secs(60)));
    /// let _collector = map.spawn_collector();
    /// ```
    #[doc(alias("sweeper", "reaper", "janitor"))]
    pub fn spawn_collector(self: &Arc<Self>) -> Collector {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopping);
        let map = Arc::downgrade(self);
        let thread = thread::Builder::new()
            .name("dwell-collector".into())
            .spawn(move || run(&map, &stop))
            .expect("the operating system gives no thread to collect with");
        Collector {
            is_stopping,
            thread: Some(thread),
        }
    }

    /// Collects what is due, unless told to stop. Returns for how long there is nothing to do.
    fn collect_until(&self, is_stopping: &AtomicBool) -> Duration {
        let now = self.now();
        let mut has_ended = false;
        while let Some(ended) = self.collect_step(now) {
            has_ended |= ended > 0;
            if is_stopping.load(Ordering::Relaxed) {
                break;
            }
        }
        if has_ended || self.remains.garbage() > 0 {
            self.settle();
        }
        let until_due = self.next_due().unwrap_or(LONGEST_SLEEP);
        Duration::from_millis(until_due.clamp(self.quantum(), LONGEST_SLEEP.max(self.quantum())))
            .min(Duration::from_millis(LONGEST_SLEEP))
    }
}

fn run<K, V, S>(map: &Weak<IdleMap<K, V, S>>, is_stopping: &AtomicBool)
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    while !is_stopping.load(Ordering::Relaxed) {
        let Some(map) = map.upgrade() else {
            return;
        };
        let pause = map.collect_until(is_stopping);
        drop(map);
        thread::park_timeout(pause);
    }
}
