//! A session's attributes: typed values under string keys, shared until they are changed.

use super::error::AttributeError;
use super::footprint::{shared, tree};
use super::value::{Attribute, Kept, Value, is_same};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Typed values under string keys. A clone costs one reference count: it shares the values, and copies the
/// map only when either is changed.
///
/// ```
/// use dwell::session::Attributes;
///
/// let mut attributes = Attributes::default();
/// attributes.set("name", String::from("Ann"))?;
/// attributes.update("visits", |visits: Option<&u32>| visits.map_or(1, |visits| visits + 1))?;
/// let before = attributes.clone();
/// attributes.delete("name");
/// assert_eq!(*before.get::<String>("name")?.unwrap(), "Ann");
/// assert_eq!(attributes.keys().collect::<Vec<_>>(), ["visits"]);
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    values: Arc<BTreeMap<Arc<str>, Value>>,
    /// Of the keys and values.
    size: usize,
}

impl Attributes {
    /// The value under a key; none if there is none. Copies nothing if this process set it as this type;
    /// otherwise it is decoded from JSON.
    ///
    /// # Errors
    /// If its JSON does not decode as this type.
    pub fn get<T: Attribute>(&self, key: &str) -> Result<Option<Arc<T>>, AttributeError> {
        self.values.get(key).map(|value| value.get(key)).transpose()
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// If the value cannot be written as JSON, or would not come back as what it is
    /// ([`AttributeError::NotKept`]).
    pub fn set<T: Attribute>(&mut self, key: &str, value: T) -> Result<(), AttributeError> {
        self.set_value(key, Value::new(key, &value)?);
        Ok(())
    }

    /// Removes a value. Whether there was one.
    pub fn delete(&mut self, key: &str) -> bool {
        // Looks first: a map that does not change is not copied.
        if !self.contains(key) {
            return false;
        }
        if let Some(value) = Arc::make_mut(&mut self.values).remove(key) {
            self.size -= size(key, &value);
        }
        true
    }

    /// Puts the value that `change` makes of the old one in its place. An equal one changes nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set); nothing is changed then.
    pub fn update<T: Attribute>(
        &mut self,
        key: &str,
        change: impl FnOnce(Option<&T>) -> T,
    ) -> Result<(), AttributeError> {
        let old = self.get::<T>(key)?;
        let new = change(old.as_deref());
        if !old.is_some_and(|old| is_same(&*old, &new)) {
            self.set_value(key, Kept::new(key, &new)?.into());
        }
        Ok(())
    }

    /// Reads and removes a value, such as a message that is shown once.
    ///
    /// # Errors
    /// As [`get`](Self::get); nothing is removed then.
    pub fn take<T: Attribute>(&mut self, key: &str) -> Result<Option<Arc<T>>, AttributeError> {
        let value = self.get(key)?;
        self.delete(key);
        Ok(value)
    }

    /// Whether there is a value under a key.
    pub fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|key| &**key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Removes all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether these are the very values that `others` are, not just equal ones.
    pub(super) fn are(&self, others: &Self) -> bool {
        let mut pairs = self.values.iter().zip(&*others.values);
        Arc::ptr_eq(&self.values, &others.values)
            || self.len() == others.len()
                && pairs.all(|(one, other)| one.0 == other.0 && one.1.is(other.1))
    }

    /// The values with their keys, whatever their types: for a provider that encodes them.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (&**key, value))
    }

    /// Puts a value of any type under a key: for a provider that got it from outside.
    pub fn set_value(&mut self, key: &str, value: Value) {
        self.size += size(key, &value);
        if let Some(old) = Arc::make_mut(&mut self.values).insert(key.into(), value) {
            self.size -= size(key, &old);
        }
    }

    /// Bytes that they take in memory, at most: keys, values (see [`Value::size`]) and what holds them.
    pub fn size(&self) -> usize {
        let entry = size_of::<Arc<str>>() + size_of::<Value>();
        shared(size_of::<BTreeMap<Arc<str>, Value>>()) + tree(self.len(), entry) + self.size
    }
}

fn size(key: &str, value: &Value) -> usize {
    shared(key.len()) + value.size()
}

/// Changes of single attributes, to be applied in one step and in order: what a provider is told.
///
/// ```
/// use dwell::session::{Attributes, Changes};
///
/// let mut attributes = Attributes::default();
/// let changes = Changes::default().set("visits", 1_u32)?.delete("name");
/// changes.apply_to(&mut attributes);
/// assert_eq!(*attributes.get::<u32>("visits")?.unwrap(), 1);
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "they change nothing until they are applied"]
pub struct Changes {
    list: Vec<Change>,
}

/// One of [`Changes`].
///
/// ```
/// use dwell::session::{Change, Changes};
///
/// let changes = Changes::default().delete("name");
/// assert!(changes.iter().all(|change| matches!(change, Change::Delete(key) if &**key == "name")));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// Puts this value under this key.
    Set(Arc<str>, Value),
    /// Removes what is under this key.
    Delete(Arc<str>),
}

impl Changes {
    /// Also puts a value under a key.
    ///
    /// # Errors
    /// If the value cannot be written as JSON, or would not come back as what it is
    /// ([`AttributeError::NotKept`]).
    pub fn set<T: Attribute>(mut self, key: &str, value: T) -> Result<Self, AttributeError> {
        let value = Value::new(key, &value)?;
        self.list.push(Change::Set(key.into(), value));
        Ok(self)
    }

    /// Also removes what is under a key.
    pub fn delete(mut self, key: &str) -> Self {
        self.list.push(Change::Delete(key.into()));
        self
    }

    /// The changes that lead from one state to another.
    pub fn between(old: &Attributes, new: &Attributes) -> Self {
        let deleted = old.keys().filter(|key| !new.contains(key));
        let deleted = deleted.map(|key| Change::Delete(key.into()));
        let set = new.values.iter().filter(|(key, value)| {
            let unchanged = old.values.get(*key).is_some_and(|old| old.is(value));
            !unchanged
        });
        let set = set.map(|(key, value)| Change::Set(Arc::clone(key), value.clone()));
        Self {
            list: deleted.chain(set).collect(),
        }
    }

    /// Applies them.
    pub fn apply_to(&self, attributes: &mut Attributes) {
        for change in &self.list {
            match change {
                Change::Set(key, value) => attributes.set_value(key, value.clone()),
                Change::Delete(key) => drop(attributes.delete(key)),
            }
        }
    }

    /// The single changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
