//! Records for session layers that load and save a session as a whole: what the stores for
//! tower-sessions and actix-session share.
//!
//! Such a layer loads a record when a request begins, and saves all of it when the request ends. Of
//! two overlapping requests the second would undo what the first has changed. Here a save is a
//! *merge by key*: what the request changed since it loaded the record is applied to the record as
//! it is now.
//!
//! What a request changed is told by a *mark*, an entry that goes along with the values and comes
//! back with them: for each key that was loaded, a keyed hash of the key, and one of key and value.
//! A value whose hash is in the mark is as it was loaded. The mark holds all that the merge needs,
//! so that the store keeps no old versions, however long a request takes. A record that comes back
//! without a mark is taken as a whole.
//!
//! Each record is one of an [`IdleMap`], and each save one update of it. A record that has ended is
//! not saved. The versions of a record share the entries that they have in common: a save copies
//! what it changes.

use crate::count::Count;
use crate::{BuildError, Builder, Clock, Collector, Handle, IdleMap, Stats};
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

/// Values under keys, as the session layer has them.
pub(crate) type Values<V> = HashMap<String, V>;

/// A session layer's type of value.
pub(crate) trait Marked: Clone + Hash + Send + Sync + 'static {
    /// A value that holds a mark: letters, digits, `+` and `/`.
    fn of_mark(mark: &str) -> Self;
    /// The mark that a value holds.
    fn mark(&self) -> Option<&str>;
}

/// What a session layer wants to have kept with a record.
pub(crate) trait Note: Clone + Send + Sync + 'static {
    /// Whether the record has ended by another clock than the map's: by a date, say, while the
    /// machine slept and the map's clock stood still.
    fn is_over(&self) -> bool {
        false
    }
}

impl Note for () {}

/// A key and its value.
struct Entry<V> {
    key: String,
    value: V,
    print: Print,
}

/// A keyed hash of a key, and one of key and value.
type Print = (u64, u64);

/// A version of a record. `T` is what the session layer wants to have kept with it.
struct Stored<V, T> {
    entries: Vec<Arc<Entry<V>>>,
    mark: String,
    note: T,
}

impl<V: Clone, T> Stored<V, T> {
    fn new(entries: Vec<Arc<Entry<V>>>, note: T) -> Self {
        let mark = Loaded::new(entries.iter().map(|entry| entry.print)).write();
        Self {
            entries,
            mark,
            note,
        }
    }

    /// A copy, with room for one more.
    fn values(&self) -> Values<V> {
        let mut values = Values::with_capacity(self.entries.len() + 1);
        let entries = self.entries.iter();
        values.extend(entries.map(|entry| (entry.key.clone(), entry.value.clone())));
        values
    }
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

/// What of a record was loaded, in order of the keys' hashes.
struct Loaded(Vec<Print>);

impl Loaded {
    fn new(prints: impl Iterator<Item = Print>) -> Self {
        let mut prints: Vec<_> = prints.collect();
        prints.sort_unstable();
        Self(prints)
    }

    fn write(&self) -> String {
        let prints = self.0.iter();
        let bytes: Vec<u8> = prints
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
        let mut prints = Vec::with_capacity(bytes.len() / 16);
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            prints.push((key, value));
        }
        Some(Self(prints))
    }

    /// The hash that the value under a key had; none if there was no such key.
    fn value(&self, key: u64) -> Option<u64> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.0[at].1)
    }
}

/// What a request does to a record.
struct Changes<'a, V> {
    request: &'a Values<V>,
    loaded: Option<Loaded>,
    /// Entries that the request set, in order of their keys.
    set: Vec<Arc<Entry<V>>>,
}

impl<V> Changes<'_, V> {
    /// The record as it is now, with the changes.
    fn merged_into(&self, now: &[Arc<Entry<V>>]) -> Vec<Arc<Entry<V>>> {
        let is_set = |entry: &Entry<V>| {
            let place = self.set.binary_search_by(|set| set.key.cmp(&entry.key));
            place.is_ok()
        };
        // What the request does not have although it loaded it, it has deleted. Without a mark that
        // is everything.
        let is_deleted = |entry: &Entry<V>| {
            let was_loaded = |loaded: &Loaded| loaded.value(entry.print.0).is_some();
            self.loaded.as_ref().is_none_or(was_loaded) && !self.request.contains_key(&entry.key)
        };
        let kept = now
            .iter()
            .filter(|entry| !is_set(entry) && !is_deleted(entry));
        kept.chain(&self.set).cloned().collect()
    }
}

impl<K, V, T> Records<K, V, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Marked,
    T: Note,
{
    pub(crate) fn new(capacity: Option<usize>, clock: impl Clock) -> Result<Self, BuildError> {
        let mut builder: Builder<K, Stored<V, T>> = IdleMap::builder();
        builder = builder.no_idle_timeout().clock(clock);
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

    fn print(&self, key: &String, value: &V) -> Print {
        let hasher = &self.shared.hasher;
        (hasher.hash_one(key), hasher.hash_one((key, value)))
    }

    fn entry(&self, key: String, value: V) -> Arc<Entry<V>> {
        let print = self.print(&key, &value);
        Arc::new(Entry { key, value, print })
    }

    /// A record as it is kept: its mark is not among the entries.
    fn stored(&self, values: Values<V>, note: T) -> Stored<V, T> {
        let values = values.into_iter().filter(|(key, _)| key != MARK);
        let entries = values.map(|(key, value)| self.entry(key, value));
        Stored::new(entries.collect(), note)
    }

    /// Creates a record that lives for so long. False if the key is taken: nothing is done then.
    pub(crate) fn create(&self, key: K, values: Values<V>, note: T, lifetime: Duration) -> bool {
        let stored = self.stored(values, note);
        let is_new = self.shared.map.try_insert(key.clone(), stored).is_ok();
        if is_new {
            self.shared.map.set_lifetime(&key, lifetime);
        }
        is_new
    }

    /// Merges what a request made of a record into the record, which lives for so long from now on.
    /// False if it has ended: nothing brings it back.
    pub(crate) fn save<Q>(&self, key: &Q, values: &Values<V>, note: T, lifetime: Duration) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let changes = self.changes(values);
        let saved = self
            .shared
            .map
            .try_update(key, |now| match now.note.is_over() {
                true => Err(()),
                false => Ok(Stored::new(changes.merged_into(&now.entries), note.clone())),
            });
        let is_saved = matches!(saved, Ok(Some(_))) && self.shared.map.set_lifetime(key, lifetime);
        if !is_saved {
            self.shared.refused.one();
        }
        is_saved
    }

    /// What a request changed since it loaded a record. All, if it does not tell what it loaded.
    fn changes<'a>(&self, request: &'a Values<V>) -> Changes<'a, V> {
        let mark = request.get(MARK).and_then(V::mark);
        let loaded = mark.and_then(Loaded::read);
        let is_untouched = |(key, value): Print| {
            let before = loaded.as_ref().and_then(|loaded| loaded.value(key));
            before == Some(value)
        };
        let mut set = Vec::new();
        for (key, value) in request.iter().filter(|(key, _)| *key != MARK) {
            let print = self.print(key, value);
            if !is_untouched(print) {
                let (key, value) = (key.clone(), value.clone());
                set.push(Arc::new(Entry { key, value, print }));
            }
        }
        set.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Changes {
            request,
            loaded,
            set,
        }
    }

    /// Puts a record in the place of whatever there is.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn put(&self, key: &K, values: &Values<V>, note: &T, lifetime: Duration) {
        let stored = self.stored(values.clone(), note.clone());
        self.shared.map.insert(key.clone(), stored);
        self.shared.map.set_lifetime(key, lifetime);
    }

    fn get<Q>(&self, key: &Q) -> Option<Handle<K, Stored<V, T>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.map.get_if(key, |stored| !stored.note.is_over())
    }

    /// A record, and its mark among the values.
    pub(crate) fn load<Q>(&self, key: &Q) -> Option<(Values<V>, T)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let stored = self.get(key)?;
        let mut values = stored.values();
        values.insert(MARK.to_owned(), V::of_mark(&stored.mark));
        Some((values, stored.note.clone()))
    }

    /// A record without its mark.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn load_plain(&self, key: &K) -> Option<(Values<V>, T)> {
        let stored = self.get(key)?;
        Some((stored.values(), stored.note.clone()))
    }

    /// The mark of values that were just stored.
    #[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
    pub(crate) fn mark(&self, values: &Values<V>) -> V {
        let prints = values.iter().map(|(key, value)| self.print(key, value));
        V::of_mark(&Loaded::new(prints).write())
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
    pub(crate) fn remove<Q>(&self, key: &Q)
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

#[cfg(test)]
mod tests {
    use super::{Note, Records};
    use crate::ManualClock;
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        static IS_LATE: Cell<bool> = const { Cell::new(false) };
    }

    /// Ends when the test says so.
    #[derive(Clone)]
    struct Date;

    impl Note for Date {
        fn is_over(&self) -> bool {
            IS_LATE.get()
        }
    }

    #[test]
    fn a_record_whose_date_is_past_has_ended_although_the_clock_stands() {
        const MINUTE: Duration = Duration::from_secs(60);
        let records = Records::<u32, String, Date>::new(None, ManualClock::new()).unwrap();
        let values = |value: &str| [(String::from("name"), String::from(value))].into();
        assert!(records.create(1, values("Ann"), Date, MINUTE));
        assert!(records.load(&1).is_some());
        IS_LATE.set(true);
        assert!(records.load(&1).is_none());
        assert!(!records.save(&1, &values("Bob"), Date, MINUTE));
        assert_eq!(records.refused(), 1);
        IS_LATE.set(false);
        let (values, Date) = records.load(&1).unwrap();
        assert_eq!(values["name"], "Ann", "what is refused changes nothing");
    }
}
