//! Types that tell their own size.

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// By this name a deserializer knows a value that tells its own size. Others, and JSON, pass it on.
pub(super) const MEASURED: &str = "$dwell::Measured";

thread_local! {
    /// What the value that was read last has told, while somebody listens.
    static TOLD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A type that knows what it takes in memory, beside its own place.
///
/// ```
/// use dwell::session::HeapSize;
///
/// struct Tags(Vec<Box<str>>);
///
/// impl HeapSize for Tags {
///     fn heap_size(&self) -> usize {
///         let texts = self.0.iter().map(|tag| tag.len().next_multiple_of(16) + 16);
///         self.0.capacity() * size_of::<Box<str>>() + texts.sum::<usize>()
///     }
/// }
/// ```
pub trait HeapSize {
    /// Bytes that the allocator gives for what the value owns, at most: the value's own place is
    /// not one of them. What is less than it takes lets sessions take more than
    /// [`capacity_bytes`](crate::session::Settings::capacity_bytes).
    fn heap_size(&self) -> usize;
}

/// A value that tells its own size: an attribute as `Measured<T>` is a `T` to serde and in JSON,
/// and counts as what [`HeapSize`] says.
///
/// For a type of which more is counted than it takes, because how it keeps what it reads is not
/// known: see [`Value::size`](super::Value::size).
///
/// ```
/// use dwell::session::{Attributes, HeapSize, Measured};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Points(Box<[u8]>);
///
/// impl HeapSize for Points {
///     fn heap_size(&self) -> usize {
///         self.0.len().next_multiple_of(16) + 16
///     }
/// }
///
/// let mut attributes = Attributes::default();
/// attributes.set("points", Measured(Points([7; 1_000].into())))?;
/// assert!(attributes.size() < 1_300);
/// let points = attributes.get::<Measured<Points>>("points")?.unwrap();
/// assert_eq!(points.0.0.len(), 1_000);
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured<T>(pub T);

impl<T> Deref for Measured<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Measured<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Serialize> Serialize for Measured<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, T: Deserialize<'de> + HeapSize> Deserialize<'de> for Measured<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + HeapSize> Visitor<'de> for Reading<T> {
            type Value = Measured<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                from: D,
            ) -> Result<Measured<T>, D::Error> {
                let value = T::deserialize(from)?;
                if TOLD.get().is_some() {
                    TOLD.set(Some(value.heap_size()));
                }
                Ok(Measured(value))
            }
        }

        from.deserialize_newtype_struct(MEASURED, Reading(PhantomData))
    }
}

/// What the value that `read` reads tells of its size, with that value.
pub(super) fn listening<R>(read: impl FnOnce() -> R) -> (R, usize) {
    /// What listened before goes on, however the reading ends.
    struct Before(Option<usize>);

    impl Drop for Before {
        fn drop(&mut self) {
            TOLD.set(self.0);
        }
    }

    let _before = Before(TOLD.replace(Some(0)));
    let value = read();
    (value, TOLD.get().unwrap_or(0))
}
