//! Changes of attributes as data: what a provider is told.

use super::node::{Found, Node};
use super::{Attributes, Value};
use crate::session::error::AttributeError;
use crate::session::value::Attribute;
use std::cmp::Ordering;
use std::sync::Arc;

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
        let value = Value::new(key, value)?;
        self.list.push(Change::Set(key.into(), value));
        Ok(self)
    }

    /// Also removes what is under a key.
    pub fn delete(mut self, key: &str) -> Self {
        self.list.push(Change::Delete(key.into()));
        self
    }

    /// The changes that lead from one state to another. Cost: in proportion to what the two do not
    /// share.
    pub fn between(old: &Attributes, new: &Attributes) -> Self {
        let (gone, come) = apart(old, new);
        let deleted = pairs(gone).filter(|(key, _)| !new.contains(key));
        let deleted = deleted.map(|(key, _)| Change::Delete(key.into()));
        let set = pairs(come).filter(|(key, value)| {
            let before = old.root.get(key);
            before.is_none_or(|before| !before.is(value))
        });
        let set = set.map(|(key, value)| Change::Set(key.into(), value.value()));
        Self {
            list: deleted.chain(set).collect(),
        }
    }

    /// Applies them.
    pub fn apply_to(&self, attributes: &mut Attributes) {
        for change in &self.list {
            match change {
                Change::Set(key, value) => attributes.set_shared(key, value),
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

impl Attributes {
    /// Changes any number of them. What leads to equal ones puts nothing in.
    ///
    /// # Errors
    /// With what `change` returns. They may be changed then.
    pub(crate) fn change_all<R>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<R, AttributeError>,
    ) -> Result<R, AttributeError> {
        let before = self.clone();
        let result = change(self)?;
        if self.are_as(&before) {
            *self = before;
        }
        Ok(result)
    }

    /// Whether these are the same values under the same keys. Cost: in proportion to what the two
    /// do not share.
    fn are_as(&self, others: &Self) -> bool {
        let (ours, theirs) = apart(self, others);
        let (mut ours, mut theirs) = (pairs(ours), pairs(theirs));
        ours.by_ref().all(|(key, value)| {
            let other = theirs.next();
            other.is_some_and(|(name, other)| name == key && other.is(&value))
        }) && theirs.next().is_none()
    }
}

fn pairs<'n>(nodes: Vec<&'n Node>) -> impl Iterator<Item = (&'n str, Found<'n>)> {
    nodes.into_iter().flat_map(Node::here)
}

/// Of each, the nodes of values that the other does not have.
fn apart<'n>(old: &'n Attributes, new: &'n Attributes) -> (Vec<&'n Node>, Vec<&'n Node>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut olds, mut news) = (old.root.leaves().peekable(), new.root.leaves().peekable());
    while let (Some(one), Some(other)) = (olds.peek(), news.peek()) {
        // Both are in order, so that a node which is in both is met in both at once.
        let order = one.first_name().cmp(other.first_name());
        if order != Ordering::Greater {
            gone.extend(olds.next());
        }
        if order != Ordering::Less {
            come.extend(news.next());
        }
        if let (Some(one), Some(other)) = (gone.last(), come.last())
            && order == Ordering::Equal
            && one.is(other)
        {
            gone.pop();
            come.pop();
        }
    }
    gone.extend(olds);
    come.extend(news);
    (gone, come)
}
