//! All contenders by name.

use super::caches::{MiniMoka, Moka, QuickCache};
use super::limits::{Immutable, Unshared};
use super::own::Dwell;
use super::seed::{Seed, Sessions};
use super::skiplist::SkipLists;
use super::tables::{Dash, Papaya, SccIndex, SccMap};
use super::tower::Tower;
use super::{Contender, Time};

/// What is done with a contender of whatever type.
pub trait Task<T: Time> {
    type Output;
    fn run<C: Contender<Time = T> + 'static>(self) -> Self::Output;
}

macro_rules! contenders {
    ($($name:literal => $contender:ty,)*) => {
        /// The names of all contenders.
        pub const NAMES: [&str; [$($name),*].len()] = [$($name),*];

        /// Does `task` with the contender of this name; none if there is no such contender.
        pub fn run<T: Time + 'static, W: Task<T>>(name: &str, task: W) -> Option<W::Output> {
            match name {
                $($name => Some(task.run::<$contender>()),)*
                _ => None,
            }
        }
    };
}

contenders! {
    "F" => Unshared<T>,
    "immutable" => Immutable<T, false>,
    "immutable-tick" => Immutable<T, true>,
    "dwell" => Dwell<T, false, 0>,
    "dwell-handle" => Dwell<T, true, 0>,
    "dwell-1s" => Dwell<T, false, 1_000>,
    "seed" => Seed<T, parking_lot::Mutex<Sessions>, 1>,
    "seed-std" => Seed<T, std::sync::Mutex<Sessions>, 1>,
    "seed-64" => Seed<T, parking_lot::Mutex<Sessions>, 64>,
    "moka" => Moka<T>,
    "mini-moka" => MiniMoka<T>,
    "quick-cache" => QuickCache<T>,
    "dashmap" => Dash<T, false>,
    "dashmap-tick" => Dash<T, true>,
    "papaya" => Papaya<T, false>,
    "papaya-tick" => Papaya<T, true>,
    "scc-map" => SccMap<T, false>,
    "scc-map-tick" => SccMap<T, true>,
    "scc-index" => SccIndex<T, false>,
    "scc-index-tick" => SccIndex<T, true>,
    "skiplist" => SkipLists<T>,
    "tower-sessions" => Tower<T>,
}
