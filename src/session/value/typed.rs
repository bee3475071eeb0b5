//! What a read of an attribute finds: the value as its type.

use super::kept::Kept;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// An attribute's value as the type that was asked for. Dereferences to it.
///
/// A number, a bool or a short text is a copy; anything else is shared with the session, and was
/// not copied. In both cases it stays what it was read as, whatever becomes of the session.
///
/// ```
/// use dwell::session::{Attributes, Typed};
///
/// let mut attributes = Attributes::default();
/// attributes.set("name", String::from("Ann"))?;
/// let name: Typed<String> = attributes.get("name")?.expect("it was set");
/// assert_eq!(name.len(), 3);
/// let name: String = Typed::into_inner(name);
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
pub struct Typed<T>(pub(super) Form<T>);

pub(super) enum Form<T> {
    Own(T),
    Shared(Arc<Kept<T>>),
}

impl<T> Typed<T> {
    /// The value itself. Cost: a clone, if the value is shared and anybody else has it.
    pub fn into_inner(this: Self) -> T
    where
        T: Clone,
    {
        match this.0 {
            Form::Own(value) => value,
            Form::Shared(kept) => match Arc::try_unwrap(kept) {
                Ok(kept) => kept.value,
                Err(kept) => kept.value.clone(),
            },
        }
    }
}

impl<T> Deref for Typed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Form::Own(value) => value,
            Form::Shared(kept) => &kept.value,
        }
    }
}

impl<T> AsRef<T> for Typed<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: Clone> Clone for Typed<T> {
    /// Shares what is shared.
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Form::Own(value) => Form::Own(value.clone()),
            Form::Shared(kept) => Form::Shared(Arc::clone(kept)),
        })
    }
}

impl<T: PartialEq> PartialEq for Typed<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Typed<T> {}

impl<T: fmt::Debug> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
