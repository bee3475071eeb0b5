//! Stores for tower-sessions, for both versions of its core. The trait is the same in both, but not
//! to the compiler: so there is one text for two modules.

use super::records::{Marked, Note};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;

impl Marked for Value {
    fn of_mark(mark: &str) -> Self {
        Self::String(mark.to_owned())
    }

    fn mark(&self) -> Option<&str> {
        self.as_str()
    }
}

/// A record's expiry date.
impl Note for OffsetDateTime {
    fn is_over(&self) -> bool {
        *self <= Self::now_utc()
    }
}

/// How long a record lives that ends at a date.
fn lifetime(end: OffsetDateTime) -> Duration {
    let left = end - OffsetDateTime::now_utc();
    left.try_into().unwrap_or(Duration::ZERO)
}

macro_rules! stores {
    ($module:ident, $core:ident, $feature:literal) => {
        #[doc = concat!("Stores for tower-sessions, with the feature `", $feature, "`.")]
        ///
        /// `RecordStore` is the store; `RecordCache` is the front tier of a `CachingSessionStore`.
        #[cfg(feature = $feature)]
        pub mod $module {
            use super::super::records::{MARK, Records};
            use super::lifetime;
            use crate::{Clock, CoarseClock, Stats};
            use $core::session::{Id, Record};
            use $core::session_store::{ExpiredDeletion, Result, SessionStore};
            use async_trait::async_trait;
            use time::OffsetDateTime;
            use serde_json::Value;

            /// A store for tower-sessions, in this process and without a lock.
            ///
            /// - `save` merges by key: what the request changed since it loaded the record is
            ///   applied to the record as it is. Overlapping requests that set different keys keep
            ///   them all; of two that set the same key, the last one wins.
            /// - `save` updates an existing record only: one that was deleted stays deleted. The
            ///   write is [counted](Self::refused_saves), and the request is not failed.
            /// - `create` gives a record whose id is taken another one.
            /// - A record ends at its expiry date, exactly, also if the machine slept meanwhile,
            ///   and a thread frees its memory.
            ///
            /// What the merge needs to know comes along as one more entry of the record, under the
            /// key `dwell.mark`. [The web
            /// layer](crate::book::web#where-the-traits-make-it-impossible) tells where a merge is
            /// not possible. A clone is another reference to the same records.
            ///
            /// ```
            #[doc = concat!("# use ", stringify!($core), " as tower_sessions;")]
            #[doc = concat!("use dwell::web::", stringify!($module), "::RecordStore;")]
            /// use std::sync::Arc;
            /// use tower_sessions::Session;
            ///
            /// # pollster::block_on(async {
            /// let store = Arc::new(RecordStore::new(Some(1_000_000)));
            /// let session = Session::new(None, store.clone(), None);
            /// session.insert("name", "Ann").await?;
            /// session.save().await?;
            ///
            /// // Two requests overlap.
            /// let one = Session::new(session.id(), store.clone(), None);
            /// let two = Session::new(session.id(), store.clone(), None);
            /// one.insert("cart", 1).await?;
            /// two.insert("theme", "dark").await?;
            /// one.save().await?;
            /// two.save().await?;
            ///
            /// let later = Session::new(session.id(), store, None);
            /// assert_eq!(later.get("cart").await?, Some(1));
            /// assert_eq!(later.get("theme").await?, Some(String::from("dark")));
            /// # Ok::<(), tower_sessions::session::Error>(())
            /// # }).unwrap();
            /// ```
            #[derive(Debug, Clone)]
            pub struct RecordStore {
                records: Records<i128, Value, OffsetDateTime>,
            }

            impl RecordStore {
                /// A store for so many records, or without a bound. In a full one those go first
                /// that were never loaded since their creation.
                ///
                /// # Panics
                /// If the capacity is zero, or if the operating system gives no thread to collect
                /// with.
                pub fn new(capacity: Option<usize>) -> Self {
                    Self::with_clock(capacity, CoarseClock)
                }

                /// A store that goes by a clock of yours: for tests.
                ///
                /// # Panics
                /// As [`new`](Self::new).
                pub fn with_clock(capacity: Option<usize>, clock: impl Clock) -> Self {
                    let records = Records::new(capacity, clock);
                    Self {
                        records: records.expect("give a capacity of at least 1, or None"),
                    }
                }

                /// Counts and gauges of the records.
                pub fn stats(&self) -> Stats {
                    self.records.stats()
                }

                /// Saves that were refused because their record had ended.
                pub fn refused_saves(&self) -> u64 {
                    self.records.refused()
                }
            }

            #[async_trait]
            impl SessionStore for RecordStore {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    let ends = record.expiry_date;
                    record.data.remove(MARK);
                    let mark = self.records.mark(&record.data);
                    loop {
                        let data = record.data.clone();
                        if self.records.create(record.id.0, data, ends, lifetime(ends)) {
                            break;
                        }
                        record.id = Id::default();
                    }
                    record.data.insert(MARK.to_owned(), mark);
                    Ok(())
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    let ends = record.expiry_date;
                    self.records
                        .save(&record.id.0, &record.data, ends, lifetime(ends));
                    Ok(())
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let loaded = self.records.load(&id.0);
                    Ok(loaded.map(|(data, expiry_date)| Record {
                        id: *id,
                        data,
                        expiry_date,
                    }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    self.records.remove(&id.0);
                    Ok(())
                }
            }

            #[async_trait]
            impl ExpiredDeletion for RecordStore {
                async fn delete_expired(&self) -> Result<()> {
                    self.records.collect();
                    Ok(())
                }
            }

            /// The front tier of a `CachingSessionStore`: `save` and `create` put the record in the
            /// place of whatever there is, because that is how such a store fills its cache.
            ///
            /// The price: the last save wins as a whole, and a load that races a deletion may put
            /// the record back into the cache, until its expiry date. Where [`RecordStore`] is the
            /// store itself, neither can happen.
            ///
            /// ```
            #[doc = concat!("# use ", stringify!($core), " as tower_sessions;")]
            #[doc = concat!("use dwell::web::", stringify!($module), "::{RecordCache, RecordStore};")]
            /// use tower_sessions::session_store::CachingSessionStore;
            ///
            /// # let database = RecordStore::new(None);
            /// let store = CachingSessionStore::new(RecordCache::new(Some(100_000)), database);
            /// ```
            #[derive(Debug, Clone)]
            pub struct RecordCache(RecordStore);

            impl RecordCache {
                /// A cache for so many records, or without a bound.
                ///
                /// # Panics
                /// As [`RecordStore::new`].
                pub fn new(capacity: Option<usize>) -> Self {
                    Self(RecordStore::new(capacity))
                }

                /// A cache that goes by a clock of yours: for tests.
                ///
                /// # Panics
                /// As [`RecordStore::new`].
                pub fn with_clock(capacity: Option<usize>, clock: impl Clock) -> Self {
                    Self(RecordStore::with_clock(capacity, clock))
                }

                /// Counts and gauges of the records.
                pub fn stats(&self) -> Stats {
                    self.0.stats()
                }
            }

            #[async_trait]
            impl SessionStore for RecordCache {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    self.save(record).await
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    let ends = record.expiry_date;
                    let records = &self.0.records;
                    records.put(&record.id.0, &record.data, &ends, lifetime(ends));
                    Ok(())
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let loaded = self.0.records.load_plain(&id.0);
                    Ok(loaded.map(|(data, expiry_date)| Record {
                        id: *id,
                        data,
                        expiry_date,
                    }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    self.0.delete(id).await
                }
            }
        }
    };
}

stores!(
    tower_sessions_014,
    tower_sessions_core_014,
    "tower-sessions-014"
);
stores!(
    tower_sessions_015,
    tower_sessions_core_015,
    "tower-sessions-015"
);
