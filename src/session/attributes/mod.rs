//! A session's attributes: typed values under string keys, shared until they are changed.

mod changes;
mod node;
mod text;

pub use changes::{Change, Changes};

use super::error::AttributeError;
use super::value::{Attribute, New, Typed, Value, is_same, keep, read_plain, read_shared};
use node::{Found, Node};
use std::fmt;
use std::sync::Arc;

/// Typed values under string keys. A clone costs two reference counts: it shares the values until
/// either is changed. A change copies a bounded part, however many values there are.
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
#[derive(Clone, Default)]
pub struct Attributes {
    root: Node,
}

impl Attributes {
    /// The value under a key; none if there is none. A number, a bool or a short text is read from
    /// its JSON; anything else is shared, if this process set it as this type, and decoded from
    /// JSON otherwise.
    ///
    /// # Errors
    /// If its JSON does not decode as this type.
    pub fn get<T: Attribute>(&self, key: &str) -> Result<Option<Typed<T>>, AttributeError> {
        match self.root.get(key) {
            None => Ok(None),
            Some(Found::Plain(text, place)) => read_plain(&text[place.json], key).map(Some),
            Some(Found::Shared(native)) => read_shared(native, key).map(Some),
        }
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// If the value cannot be written as JSON, or would not come back as what it is
    /// ([`AttributeError::NotKept`]).
    pub fn set<T: Attribute>(&mut self, key: &str, value: T) -> Result<(), AttributeError> {
        self.put(key, value)?;
        Ok(())
    }

    fn put<T: Attribute>(&mut self, key: &str, value: T) -> Result<Typed<T>, AttributeError> {
        let (value, root) = keep(key, value, |new| self.root.with(key, new))?;
        self.root = root;
        Ok(value)
    }

    /// Removes a value. Whether there was one.
    pub fn delete(&mut self, key: &str) -> bool {
        let without = self.root.without(key);
        without.map(|root| self.root = root).is_some()
    }

    /// Puts the value that `change` makes of the old one in its place. An equal one changes
    /// nothing. Returns the new value.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set); nothing is changed then.
    pub fn update<T: Attribute>(
        &mut self,
        key: &str,
        change: impl FnOnce(Option<&T>) -> T,
    ) -> Result<Typed<T>, AttributeError> {
        match self.root.get(key) {
            None => self.put(key, change(None)),
            Some(Found::Shared(native)) => {
                let old = read_shared(native, key)?;
                let new = change(Some(&old));
                match is_same(&*old, &new) {
                    true => Ok(old),
                    false => self.put(key, new),
                }
            }
            Some(Found::Plain(text, place)) => {
                let json = &text[place.json.clone()];
                let old = read_plain(json, key)?;
                let new = change(Some(&old));
                let (new, root) = keep(key, new, |new| match new {
                    New::Plain(new) if new == json => None,
                    New::Plain(new) => Some(self.root.with_json(key, &place, new)),
                    new => Some(self.root.with(key, new)),
                })?;
                if let Some(root) = root {
                    self.root = root;
                }
                Ok(new)
            }
        }
    }

    /// Reads and removes a value, such as a message that is shown once.
    ///
    /// # Errors
    /// As [`get`](Self::get); nothing is removed then.
    pub fn take<T: Attribute>(&mut self, key: &str) -> Result<Option<Typed<T>>, AttributeError> {
        let value = self.get(key)?;
        self.delete(key);
        Ok(value)
    }

    /// Whether there is a value under a key.
    pub fn contains(&self, key: &str) -> bool {
        self.root.get(key).is_some()
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.pairs().map(|(key, _)| key)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, Found<'_>)> {
        self.root.leaves().flat_map(Node::here)
    }

    /// How many there are. Cost: in proportion to their number.
    pub fn len(&self) -> usize {
        self.pairs().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Removes all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether these are the very attributes that `others` are: nothing was put in or taken out
    /// since.
    pub(super) fn are(&self, others: &Self) -> bool {
        self.root.is(&others.root)
    }

    /// The values with their keys, whatever their types, in order: for a provider that encodes
    /// them.
    pub fn values(&self) -> impl Iterator<Item = (&str, Value)> {
        self.pairs().map(|(key, found)| (key, found.value()))
    }

    /// Puts a value of any type under a key: for a provider that got it from outside.
    pub fn set_value(&mut self, key: &str, value: Value) {
        self.set_shared(key, &value);
    }

    fn set_shared(&mut self, key: &str, value: &Value) {
        self.root = self.root.with(key, value.as_new());
    }

    /// Bytes that they take in memory, at most: keys, values (see [`Value::size`]) and what holds
    /// them.
    pub fn size(&self) -> usize {
        self.root.bytes()
    }
}

impl Found<'_> {
    fn value(self) -> Value {
        match self {
            Self::Plain(text, place) => Value::part_of(text, place.json),
            Self::Shared(native) => Value::shared(Arc::clone(native)),
        }
    }

    /// Whether this is the very value that `other` is; of JSON in the text, one that is written the
    /// same.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one, here), Self::Plain(other, there)) => {
                one[here.json.clone()] == other[there.json.clone()]
            }
            (Self::Shared(one), Self::Shared(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Attributes {
    /// Shows keys and types: a value may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values()).finish()
    }
}
