//! [`dwell::IdleMap`] as a contender.

use std::marker::PhantomData;
use std::time::Duration;

use dwell::IdleMap;

use super::{Contender, Id, Store, Time, Value, fold, updated};

/// `HANDLE`: read through an owned handle instead of a closure.
/// `RESOLUTION`: the touch resolution in milliseconds; zero is every clock tick.
pub struct Dwell<T, const HANDLE: bool = false, const RESOLUTION: u64 = 0> {
    map: IdleMap<Id, Value>,
    time: PhantomData<T>,
}

impl<T: Time, const HANDLE: bool, const RESOLUTION: u64> Contender
    for Dwell<T, HANDLE, RESOLUTION>
{
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, idle: Duration) -> Self {
        let map = time
            .builder()
            .idle_timeout(idle)
            .touch_resolution(Duration::from_millis(RESOLUTION))
            .build()
            .expect("a valid configuration");
        Self {
            map,
            time: PhantomData,
        }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time, const HANDLE: bool, const RESOLUTION: u64> Store for &Dwell<T, HANDLE, RESOLUTION> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        if HANDLE {
            self.map.get(id).map(|handle| fold(&handle))
        } else {
            self.map.with(id, fold)
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
