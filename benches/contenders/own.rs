//! [`dwell::IdleMap`] as a contender.

use std::marker::PhantomData;
use std::time::Duration;

use dwell::{Builder, IdleMap};

use super::{Contender, Id, Store, Time, Value, updated};

/// `HANDLE`: read through an owned handle instead of a closure.
/// `RESOLUTION`: the touch resolution in milliseconds; zero is every clock tick.
pub struct Dwell<T, const HANDLE: bool, const RESOLUTION: u64> {
    map: IdleMap<Id, Value>,
    time: PhantomData<T>,
}

impl<T: Time, const HANDLE: bool, const RESOLUTION: u64> Dwell<T, HANDLE, RESOLUTION> {
    fn build(builder: Builder<Id, Value>, idle: Duration) -> Self {
        let map = builder
            .idle_timeout(idle)
            .touch_resolution(Duration::from_millis(RESOLUTION))
            .build()
            .expect("a valid configuration");
        Self {
            map,
            time: PhantomData,
        }
    }
}

impl<T: Time, const HANDLE: bool, const RESOLUTION: u64> Contender
    for Dwell<T, HANDLE, RESOLUTION>
{
    shared_by_threads!();

    fn new(time: T, idle: Duration, _: u64) -> Self {
        Self::build(time.builder(), idle)
    }

    fn bounded(time: T, idle: Duration, capacity: u64) -> Option<Self> {
        let builder = time.builder().capacity(capacity as usize);
        Some(Self::build(builder, idle))
    }
}

impl<T: Time, const HANDLE: bool, const RESOLUTION: u64> Store for &Dwell<T, HANDLE, RESOLUTION> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        if HANDLE {
            self.map.get(id).map(|handle| read(&handle))
        } else {
            self.map.with(id, read)
        }
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        self.map.update(id, updated).is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        self.map.try_insert(id, value).is_ok()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.map.remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        self.map.collect()
    }
}
