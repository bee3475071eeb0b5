//! Iteration, and what is built on it: `retain` and `clear`.
//!
//! Records are visited in the order of their hashes. A cursor into the hash space is all that an
//! iteration remembers: it takes the records of one line at a time, and is not pinned between
//! lines. Since a record's hash never changes, growing and shrinking on the way neither hides nor
//! repeats one.

use crate::map::IdleMap;
use crate::map::handle::Handle;
use crate::map::ops::ends::{Ends, Found};
use std::fmt;

/// The end of the hash space, of which records remember 32 bits.
const END: u64 = 1 << 32;

/// The records of a map, by [`IdleMap::iter`].
pub struct Iter<'m, K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    map: &'m IdleMap<K, V, S>,
    position: u64,
    line: Vec<Handle<K, V>>,
}

impl<K, V, S> fmt::Debug for Iter<'_, K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter { .. }")
    }
}

impl<K, V, S> Iterator for Iter<'_, K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Item = Handle<K, V>;

    fn next(&mut self) -> Option<Handle<K, V>> {
        while self.line.is_empty() && self.position < END {
            let context = self.map.begin();
            let line = &mut self.line;
            self.position = self
                .map
                .table
                .visit_line(self.position, &context, |record, seen| {
                    if let Found::Live(record, _) = self.map.judge(record, seen, &context) {
                        line.push(Handle::new(record));
                    }
                });
        }
        self.line.pop()
    }
}

/// As [`IdleMap::iter`].
///
/// ```
/// use dwell::IdleMap;
/// use std::time::Duration;
/// let map = IdleMap::new(Duration::from_secs(60));
/// map.insert("one", 1);
/// for record in &map {
///     assert_eq!((*record.key(), *record), ("one", 1));
/// }
/// ```
impl<'m, K, V, S> IntoIterator for &'m IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Item = Handle<K, V>;
    type IntoIter = Iter<'m, K, V, S>;

    fn into_iter(self) -> Iter<'m, K, V, S> {
        self.iter()
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The records of the map, in no particular order, as handles. Does not touch them.
    ///
    /// Weakly consistent: a record that is in the map from the beginning to the end is visited
    /// exactly once, one that comes or goes meanwhile at most once. The iterator may be kept for as
    /// long as you like: it delays nothing. Lock-free.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("one", 1);
    /// map.insert("two", 2);
    /// assert_eq!(map.iter().map(|value| *value).sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, S> {
        Iter {
            map: self,
            position: 0,
            line: Vec::new(),
        }
    }

    /// Removes the records for which `keep` returns false. Does not touch the others. Consistency
    /// as [`iter`](Self::iter); the value that was judged is the one that is removed. Lock-free.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("one", 1);
    /// map.insert("two", 2);
    /// map.retain(|_, value| *value > 1);
    /// assert_eq!(map.len(), 1);
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let mut position = 0;
        while position < END {
            let context = self.begin();
            position = self.table.visit_line(position, &context, |record, seen| {
                if let Found::Live(record, seen) = self.judge(record, seen, &context) {
                    let key = record.key();
                    let mut condition = |value: &V| !keep(key, value);
                    self.remove_record(record, seen, &mut condition, &context);
                }
            });
            self.tidy(context);
        }
        self.settle();
    }

    /// Removes every record. Consistency as [`iter`](Self::iter): what is inserted meanwhile may
    /// stay. Lock-free.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("one", 1);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    #[doc(alias("invalidate_all", "flush"))]
    pub fn clear(&self) {
        self.retain(|_, _| false);
    }
}
