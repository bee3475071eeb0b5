//! Records for session layers that load and save a session as a whole: what the stores for tower-sessions and
//! actix-session share.
//!
//! Such a layer loads a record when a request begins, and saves all of it when the request ends. Of two
//! overlapping requests the second would undo what the first has changed. Here a save is a *merge by key*: what
//! the request changed since it loaded the record is applied to the record as it is now.
//!
//! What a request changed is told by a *mark*, an entry that goes along with the values and comes back with
//! them: for each key that was loaded, a keyed hash of the key, and one of key and value. A value whose hash is
//! in the mark is as it was loaded. The mark holds all that the merge needs, so that the store keeps no old
//! versions, however long a request takes. A record that comes back without a mark is taken as a whole.
//!
//! Each record is one of an [`IdleMap`], and each save one update of it. A record that has ended is not saved.

use crate::count::Count;
use crate::{BuildError, Builder, Clock, Collector, IdleMap, Stats};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// The key of the mark. Session layers show it where they list a session's keys.
pub(crate) const MARK: &str = "dwell.mark";
/// The map's idle timeout, which says how soon after its deadline a record is collected: after a part of it in
/// some hundreds, a minute or two.
const COLLECTED_BY: Duration = Duration::from_secs(6 * 60 * 60);
/// Each record's own: it does not lapse by itself, but at its deadline.
const FOREVER: Duration = Duration::from_secs(34 * 365 * 24 * 60 * 60);

/// Values under keys, as the session layer has them.
pub(crate) type Values<V> = HashMap<String, V>;

/// A session layer's type of value.
pub(crate) trait Marked: Clone + Hash + Send + Sync + 'static {
    /// A value that holds a mark: letters, digits, `+` and `/`.
    fn of_mark(mark: &str) -> Self;
    /// The mark that a value holds.
    fn mark(&self) -> Option<&str>;
}

/// One record. `T` is what the session layer wants to have kept with it.
struct Stored<V, T> {
    values: Values<V>,
    mark: String,
    note: T,
}

/// The records of a store. A clone is another reference to the same ones.
pub(crate) struct Records<K, V, T>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    shared: Arc<Shared<K, V, T>>,
}

struct Shared<K, V, T>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    map: Arc<IdleMap<K, Stored<V, T>>>,
    hasher: RandomState,
    refused: Count,
    /// Stops when it is dropped.
    _collector: Collector,
}

/// What of a record was loaded: for each key its hash, and that of key and value, in order of the first.
struct Loaded(Vec<(u64, u64)>);

impl Loaded {
    fn write(&self) -> String {
        let pairs = self.0.iter();
        let bytes: Vec<u8> = pairs
            .flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect();
        STANDARD_NO_PAD.encode(bytes)
    }

    fn read(mark: &str) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(mark).ok()?;
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("a chunk has eight bytes")));
        let mut pairs = Vec::with_capacity(bytes.len() / 16);
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            pairs.push((key, value));
        }
        Some(Self(pairs))
    }

    /// The hash that the value under a key had; none if there was no such key.
    fn value(&self, key: u64) -> Option<u64> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.0[at].1)
    }
}

impl<K, V, T> Records<K, V, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Marked,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(capacity: Option<usize>, clock: impl Clock) -> Result<Self, BuildError> {
        let mut builder: Builder<K, Stored<V, T>> = IdleMap::builder();
        builder = builder.idle_timeout(COLLECTED_BY).clock(clock);
        if let Some(capacity) = capacity {
            builder = builder.capacity(capacity);
        }
        let map = Arc::new(builder.build()?);
        let collector = map.spawn_collector();
        Ok(Self {
            shared: Arc::new(Shared {
                map,
                hasher: RandomState::new(),
                refused: Count::default(),
                _collector: collector,
            }),
        })
    }

    fn loaded(&self, values: &Values<V>) -> Loaded {
        let hasher = &self.shared.hasher;
        let mut pairs: Vec<_> = values
            .iter()
            .map(|(key, value)| (hasher.hash_one(key), hasher.hash_one((key, value))))
            .collect();
        pairs.sort_unstable();
        Loaded(pairs)
    }

    /// A record as it is kept: its mark is not among the values.
    fn stored(&self, mut values: Values<V>, note: T) -> Stored<V, T> {
        values.remove(MARK);
        let mark = self.loaded(&values).write();
        Stored { values, mark, note }
    }

    /// Creates a record that lives for so long. False if the key is taken: nothing is done then.
    pub(crate) fn create(&self, key: K, values: Values<V>, note: T, lifetime: Duration) -> bool {
        let stored = self.stored(values, note);
        let is_new = self.shared.map.try_insert(key.clone(), stored).is_ok();
        if is_new {
            self.shared.map.set_idle_timeout(&key, FOREVER);
            self.shared.map.set_lifetime(&key, lifetime);
        }
        is_new
    }

    /// Merges what a request made of a record into the record, which lives for so long from now on. False if
    /// it has ended: nothing brings it back.
    pub(crate) fn save<Q>(&self, key: &Q, values: &Values<V>, note: T, lifetime: Duration) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let base = values.get(MARK).and_then(V::mark);
        let loaded = base.and_then(Loaded::read);
        let saved = self.shared.map.update(key, |now| {
            let merged = match &loaded {
                Some(loaded) if base != Some(&now.mark) => self.merge(loaded, values, &now.values),
                _ => values.clone(),
            };
            self.stored(merged, note.clone())
        });
        let is_saved = saved.is_some() && self.shared.map.set_lifetime(key, lifetime);
        if !is_saved {
            self.shared.refused.one();
        }
        is_saved
    }

    /// The record as it is now, changed by what the request changed since it loaded it.
    fn merge(&self, loaded: &Loaded, request: &Values<V>, now: &Values<V>) -> Values<V> {
        let hasher = &self.shared.hasher;
        let is_untouched = |key: &String, value: &V| {
            let before = loaded.value(hasher.hash_one(key));
            before == Some(hasher.hash_one((key, value)))
        };
        let was_loaded = |key: &String| loaded.value(hasher.hash_one(key)).is_some();
        let changed = request
            .iter()
            .filter(|(key, value)| !is_untouched(key, value));
        // What the request does not have although it loaded it, it has deleted.
        let kept = now.iter().filter(|(key, _)| {
            let is_deleted = was_loaded(key) && !request.contains_key(*key);
            !is_deleted
        });
        let both = kept.chain(changed);
        both.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Puts a record in the place of whatever there is.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn put(&self, key: &K, values: &Values<V>, note: &T, lifetime: Duration) {
        let stored = self.stored(values.clone(), note.clone());
        self.shared.map.insert(key.clone(), stored);
        self.shared.map.set_idle_timeout(key, FOREVER);
        self.shared.map.set_lifetime(key, lifetime);
    }

    /// A record, and its mark among the values.
    pub(crate) fn load<Q>(&self, key: &Q) -> Option<(Values<V>, T)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let stored = self.shared.map.get(key)?;
        let mut values = Values::with_capacity(stored.values.len() + 1);
        values.clone_from(&stored.values);
        values.insert(MARK.to_owned(), V::of_mark(&stored.mark));
        Some((values, stored.note.clone()))
    }

    /// A record without its mark.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn load_plain(&self, key: &K) -> Option<(Values<V>, T)> {
        let stored = self.shared.map.get(key)?;
        Some((stored.values.clone(), stored.note.clone()))
    }

    /// The mark of values that were just stored.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn mark(&self, values: &Values<V>) -> V {
        V::of_mark(&self.loaded(values).write())
    }

    /// Lets a record live for so long from now on. False if there is none.
    #[cfg(feature = "actix-session")]
    pub(crate) fn set_lifetime<Q>(&self, key: &Q, lifetime: Duration) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.map.set_lifetime(key, lifetime)
    }

    /// Ends a record, for good.
    pub(crate) fn end<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.map.remove(key);
    }

    /// Ends what is past its deadline.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn collect(&self) {
        self.shared.map.collect();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.map.stats()
    }

    /// Saves that were refused because their record had ended.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.get()
    }
}

impl<K, V, T> Clone for Records<K, V, T>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, V, T> fmt::Debug for Records<K, V, T>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("len", &self.shared.map.len())
            .finish_non_exhaustive()
    }
}
