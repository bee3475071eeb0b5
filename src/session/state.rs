//! What a session is at a moment: an immutable value. A write puts a new one in its place.

use super::attributes::Attributes;
use super::error::SessionError;
use super::id::Secret;
use super::value::{block, shared};
use std::mem::size_of;
use std::sync::Arc;
#[cfg(feature = "snapshot")]
use subtle::ConstantTimeEq;

/// Replaced secrets that still answer, at the most: a client that renews its id without end does
/// not make its session grow.
pub(super) const MOST_REPLACED: usize = 8;
/// Bytes that a session takes in the map, beside its state: record, slot, token.
const RECORD_OVERHEAD: usize = 160;
/// Bytes that a session with an owner takes in the owner index, beside the owner's name.
const OWNED_OVERHEAD: usize = 512;

/// Times are readings of the store's clock in milliseconds.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) secrets: Secrets,
    pub(crate) attributes: Attributes,
    pub(crate) owner: Option<Arc<str>>,
    /// Counts writes, from 1.
    pub(crate) version: u64,
    /// When it was created.
    pub(crate) created: u64,
}

impl State {
    /// The state after this one: a copy with the next version, in which a write changes what it is
    /// about.
    pub(crate) fn successor(&self, now: impl FnOnce() -> u64) -> Self {
        Self {
            secrets: self.secrets.without_lapsed(now),
            attributes: self.attributes.clone(),
            owner: self.owner.clone(),
            version: self.version + 1,
            created: self.created,
        }
    }

    /// Bytes that it takes in memory, at most.
    pub(crate) fn size(&self) -> u64 {
        (size_of::<Self>() + RECORD_OVERHEAD + self.secrets.size() + self.content()) as u64
    }

    /// What of that the application decides: attributes and owner.
    fn content(&self) -> usize {
        let owner = self.owner.as_ref();
        let owner = owner.map_or(0, |owner| OWNED_OVERHEAD + 2 * shared(owner.len()));
        owner + self.attributes.size()
    }

    /// Refuses a session that takes more than `bound`.
    pub(super) fn check(&self, bound: u64) -> Result<(), SessionError> {
        let bytes = self.size();
        match bytes > bound {
            true => Err(SessionError::TooLarge { bytes, bound }),
            false => Ok(()),
        }
    }

    /// The same for one that is written, and takes so many bytes. What is too large already may
    /// still be made smaller, and renewed.
    pub(super) fn check_growth(
        &self,
        bytes: u64,
        old: &Self,
        bound: u64,
    ) -> Result<(), SessionError> {
        match bytes > bound && self.content() > old.content() {
            true => Err(SessionError::TooLarge { bytes, bound }),
            false => Ok(()),
        }
    }
}

/// The secret that the session answers to, and those that it answered to a moment ago.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(super) current: Known,
    /// None for none, as nearly always.
    former: Option<Box<Former>>,
}

/// Secrets that were replaced, oldest first.
#[derive(Clone)]
struct Former(Vec<Replaced>);

#[derive(Clone)]
pub(super) struct Replaced {
    pub(super) secret: Known,
    pub(super) until: u64,
}

/// What is known of a secret.
#[derive(Clone, Copy)]
pub(super) enum Known {
    Secret(Secret),
    /// Its hash: the session comes from a file.
    #[cfg(feature = "snapshot")]
    Digest([u8; 32]),
}

impl Known {
    #[inline]
    fn is(&self, shown: &Secret) -> bool {
        match self {
            Self::Secret(secret) => secret.is(shown),
            #[cfg(feature = "snapshot")]
            Self::Digest(digest) => shown.digest().ct_eq(digest).into(),
        }
    }

    #[cfg(feature = "snapshot")]
    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Secret(secret) => secret.digest(),
            Self::Digest(digest) => *digest,
        }
    }
}

impl Secrets {
    pub(crate) fn new(current: Secret) -> Self {
        Self::of(Known::Secret(current), Vec::new())
    }

    /// Those that were replaced come oldest first.
    pub(super) fn of(current: Known, replaced: Vec<Replaced>) -> Self {
        let former = (!replaced.is_empty()).then(|| Box::new(Former(replaced)));
        Self { current, former }
    }

    pub(super) fn replaced(&self) -> &[Replaced] {
        self.former.as_ref().map_or(&[], |former| &former.0)
    }

    /// Bytes that it takes beside its own place.
    fn size(&self) -> usize {
        let size = |former: &Former| {
            block(size_of::<Former>()) + block(former.0.capacity() * size_of::<Replaced>())
        };
        self.former.as_deref().map_or(0, size)
    }

    /// Whether a secret is the session's newest.
    #[inline]
    pub(crate) fn is_current(&self, secret: &Secret) -> bool {
        self.current.is(secret)
    }

    /// Whether a secret that is not the newest still answers.
    pub(crate) fn is_in_grace(&self, secret: &Secret, now: u64) -> bool {
        let answers = |replaced: &Replaced| replaced.secret.is(secret) && now < replaced.until;
        self.replaced().iter().any(answers)
    }

    /// Puts a new secret in the place of the current one, which still answers for `grace`; and so
    /// do those before it, at the most: with zero nothing answers but the new one.
    pub(crate) fn replace(&mut self, secret: Secret, now: u64, grace: u64) {
        let secret = std::mem::replace(&mut self.current, Known::Secret(secret));
        if grace == 0 {
            self.former = None;
            return;
        }
        let until = now.saturating_add(grace);
        let former = self
            .former
            .get_or_insert_with(|| Box::new(Former(Vec::new())));
        for replaced in &mut former.0 {
            replaced.until = replaced.until.min(until);
        }
        if former.0.len() == MOST_REPLACED {
            former.0.remove(0);
        }
        former.0.push(Replaced { secret, until });
    }

    fn without_lapsed(&self, now: impl FnOnce() -> u64) -> Self {
        let replaced = match self.replaced() {
            [] => Vec::new(),
            replaced => {
                let now = now();
                let left = replaced.iter().filter(|replaced| now < replaced.until);
                left.cloned().collect()
            }
        };
        Self::of(self.current, replaced)
    }
}
