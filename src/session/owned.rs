//! The sessions of one owner: an immutable set, whose changed copies share all but one path with
//! it.
//!
//! A binary trie over the bits of the keys. A fork stands at the first bit in which the keys below
//! it differ, so there is one fork less than there are sessions:
//!
//! ```text
//!                 fork at bit 0
//!                /             \
//!         key 0110..        fork at bit 2
//!                          /             \
//!                    key 1001..       key 1011..
//! ```
//!
//! Keys are random. So `n` of them lie about `log2 n` forks deep; whatever they are, no key lies
//! more than 128 deep, and recursion ends there. A change makes a new path from the root to one
//! key, and shares the rest.
//!
//! **The most idle.** A session is touched without the index, so what the index has noted of its
//! times is a bound: it was last accessed then or later. Each fork has the least of what is noted
//! below it. A search looks at a session itself only where the note is less than the best that it
//! has found, and notes what it sees. Where the session with the least note was not used since,
//! that is one look and one path. Each session with a lesser note that was used since costs one
//! look more, and a few on the way: no session is looked at twice. So a login at the bound pays for
//! the sessions that were used since the last one, and a script that logs in and uses none pays for
//! one look each.
//!
//! **Those that are over.** The same with the time at which a session would end by itself, which a
//! touch only puts off. What shortens it has the note erased ([`Owned::doubted`]), and a session
//! without notes is looked at.

use super::id::SessionKey;
use std::sync::Arc;

/// What is noted of a session that is not known to be live and the owner's: look at it.
const UNKNOWN: Times = Times {
    accessed: u64::MAX,
    ends: 0,
};

/// The set.
#[derive(Debug, Clone, Default)]
pub(super) struct Owned(Option<Arc<Node>>);

/// What the index holds of an owner's session.
#[derive(Debug, Clone, Copy)]
struct Share {
    key: SessionKey,
    /// States that say so, or are about to.
    count: u32,
    /// Somebody is about to end it.
    is_claimed: bool,
    noted: Times,
}

/// Readings of the store's clock in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// When the session was last accessed.
    pub(super) accessed: u64,
    /// When it ends if it is not accessed any more.
    pub(super) ends: u64,
}

#[derive(Debug)]
enum Node {
    Leaf(Share),
    Fork {
        bit: u8,
        below: Summary,
        sides: [Arc<Node>; 2],
    },
}

/// Of all sessions below a node; all but the first number without those that are claimed.
#[derive(Debug, Clone, Copy)]
struct Summary {
    sessions: u32,
    /// Those that were live, and the owner's, when they were looked at.
    known: u32,
    /// The least of what is noted.
    noted: Times,
}

fn side(key: &SessionKey, bit: u8) -> usize {
    let byte = key.to_bytes()[usize::from(bit / 8)];
    usize::from(byte >> (7 - bit % 8) & 1)
}

fn first_difference(one: &SessionKey, other: &SessionKey) -> Option<u8> {
    let one = u128::from_be_bytes(one.to_bytes());
    let bit = (one ^ u128::from_be_bytes(other.to_bytes())).leading_zeros();
    u8::try_from(bit).ok().filter(|bit| *bit < 128)
}

impl Node {
    fn summary(&self) -> Summary {
        match self {
            Self::Fork { below, .. } => *below,
            Self::Leaf(share) => {
                let free = !share.is_claimed;
                let never = Times {
                    accessed: u64::MAX,
                    ends: u64::MAX,
                };
                Summary {
                    sessions: 1,
                    known: u32::from(free && share.noted != UNKNOWN),
                    noted: if free { share.noted } else { never },
                }
            }
        }
    }

    fn fork(bit: u8, sides: [Arc<Self>; 2]) -> Arc<Self> {
        let [left, right] = [sides[0].summary(), sides[1].summary()];
        let below = Summary {
            sessions: left.sessions + right.sessions,
            known: left.known + right.known,
            noted: Times {
                accessed: left.noted.accessed.min(right.noted.accessed),
                ends: left.noted.ends.min(right.noted.ends),
            },
        };
        Arc::new(Self::Fork { bit, below, sides })
    }

    /// The only key below that can be this one.
    fn nearest(&self, key: &SessionKey) -> &Share {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(share) => return share,
                Self::Fork { bit, sides, .. } => node = &sides[side(key, *bit)],
            }
        }
    }
}

/// Puts a share in the place of the one that has its key.
fn replace(node: &Node, share: Share) -> Arc<Node> {
    match node {
        Node::Leaf(_) => Arc::new(Node::Leaf(share)),
        Node::Fork { bit, sides, .. } => {
            let mut sides = sides.clone();
            let changed = &mut sides[side(&share.key, *bit)];
            *changed = replace(changed, share);
            Node::fork(*bit, sides)
        }
    }
}

/// Adds a share whose key differs from those below first at `differs`, if at a bit before theirs.
fn insert(node: &Arc<Node>, share: Share, differs: u8) -> Arc<Node> {
    match &**node {
        Node::Fork { bit, sides, .. } if *bit < differs => {
            let mut sides = sides.clone();
            let changed = &mut sides[side(&share.key, *bit)];
            *changed = insert(changed, share, differs);
            Node::fork(*bit, sides)
        }
        _ => {
            let (new, old) = (Arc::new(Node::Leaf(share)), Arc::clone(node));
            let sides = match side(&share.key, differs) {
                0 => [new, old],
                _ => [old, new],
            };
            Node::fork(differs, sides)
        }
    }
}

/// Takes away a key that is there.
fn remove(node: &Node, key: &SessionKey) -> Option<Arc<Node>> {
    let Node::Fork { bit, sides, .. } = node else {
        return None;
    };
    let here = side(key, *bit);
    let Some(changed) = remove(&sides[here], key) else {
        return Some(Arc::clone(&sides[1 - here]));
    };
    let mut sides = sides.clone();
    sides[here] = changed;
    Some(Node::fork(*bit, sides))
}

impl Owned {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |root| root.summary().sessions as usize)
    }

    fn share(&self, key: &SessionKey) -> Option<Share> {
        let nearest = self.0.as_ref()?.nearest(key);
        (nearest.key == *key).then_some(*nearest)
    }

    /// With a share in the place of the one that has its key.
    fn with(&self, share: Share) -> Self {
        Self(self.0.as_ref().map(|root| replace(root, share)))
    }

    /// With one more counted for a session.
    pub(super) fn counted(&self, key: SessionKey) -> Self {
        if let Some(share) = self.share(&key) {
            let count = share.count + 1;
            return self.with(Share { count, ..share });
        }
        let share = Share {
            key,
            count: 1,
            is_claimed: false,
            noted: UNKNOWN,
        };
        Self(Some(match &self.0 {
            None => Arc::new(Node::Leaf(share)),
            Some(root) => {
                let differs = first_difference(&root.nearest(&key).key, &key);
                insert(root, share, differs.expect("the key is not there"))
            }
        }))
    }

    /// With one less counted for a session, and without it if that was the last one.
    pub(super) fn discounted(&self, key: &SessionKey) -> Self {
        match self.share(key) {
            None => self.clone(),
            Some(share) if share.count > 1 => {
                let count = share.count - 1;
                self.with(Share { count, ..share })
            }
            Some(_) => Self(self.0.as_ref().and_then(|root| remove(root, key))),
        }
    }

    /// Without a claim on a session. None if it is not there.
    pub(super) fn unclaimed(&self, key: &SessionKey) -> Option<Self> {
        let share = self.share(key)?;
        Some(self.with(Share {
            is_claimed: false,
            noted: UNKNOWN,
            ..share
        }))
    }

    /// Without what was noted of a session. None if nothing was.
    pub(super) fn doubted(&self, key: &SessionKey) -> Option<Self> {
        let share = self.share(key)?;
        let noted = UNKNOWN;
        (share.noted != noted).then(|| self.with(Share { noted, ..share }))
    }

    /// Claims what is more than `most`, those first that were idle longest, and never `newest`.
    /// Returns the set with what was seen noted, and the keys. None if `newest` is claimed itself,
    /// or not there.
    ///
    /// `look` tells a session's times, if it is live and the owner's.
    pub(super) fn claim(
        &self,
        most: usize,
        newest: &SessionKey,
        now: u64,
        mut look: impl FnMut(&SessionKey) -> Option<Times>,
    ) -> Option<(Self, Vec<SessionKey>)> {
        self.share(newest).filter(|share| !share.is_claimed)?;
        let mut look = |share: &Share| Share {
            noted: look(&share.key).unwrap_or(UNKNOWN),
            ..*share
        };
        let mut root = refreshed(self.0.as_ref()?, now, &mut look);
        let mut claimed = Vec::new();
        while root.summary().known as usize > most {
            let mut search = Search {
                newest,
                least: u64::MAX,
                found: None,
            };
            root = search.go(&root, &mut look);
            // Some may have turned out to be over.
            if root.summary().known as usize <= most {
                break;
            }
            let Some(found) = search.found else {
                break;
            };
            claimed.push(found.key);
            root = replace(
                &root,
                Share {
                    is_claimed: true,
                    ..found
                },
            );
        }
        Some((Self(Some(root)), claimed))
    }

    /// The keys of the set, in order. The iterator keeps what it has not passed yet, whatever
    /// becomes of the owner.
    pub(super) fn keys(&self) -> Keys {
        Keys(self.0.iter().cloned().collect())
    }
}

/// Looks at each session that may be over, and at those of which nothing is noted.
fn refreshed(node: &Arc<Node>, now: u64, look: &mut impl FnMut(&Share) -> Share) -> Arc<Node> {
    if node.summary().noted.ends > now {
        return Arc::clone(node);
    }
    match &**node {
        Node::Leaf(share) => Arc::new(Node::Leaf(look(share))),
        Node::Fork { bit, sides, .. } => Node::fork(
            *bit,
            [
                refreshed(&sides[0], now, look),
                refreshed(&sides[1], now, look),
            ],
        ),
    }
}

/// For the session that was idle longest.
struct Search<'a> {
    newest: &'a SessionKey,
    least: u64,
    found: Option<Share>,
}

impl Search<'_> {
    /// Returns the node with what was seen noted.
    fn go(&mut self, node: &Arc<Node>, look: &mut impl FnMut(&Share) -> Share) -> Arc<Node> {
        if node.summary().noted.accessed >= self.least {
            return Arc::clone(node);
        }
        match &**node {
            Node::Leaf(share) if share.key == *self.newest => Arc::clone(node),
            Node::Leaf(share) => {
                let share = look(share);
                if share.noted.accessed < self.least {
                    self.least = share.noted.accessed;
                    self.found = Some(share);
                }
                Arc::new(Node::Leaf(share))
            }
            Node::Fork { bit, sides, .. } => {
                let least = |side: usize| sides[side].summary().noted.accessed;
                let first = usize::from(least(1) < least(0));
                let mut sides = sides.clone();
                for side in [first, 1 - first] {
                    sides[side] = self.go(&sides[side], look);
                }
                Node::fork(*bit, sides)
            }
        }
    }
}

/// The keys of an owner's sessions at a moment.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Arc<Node>>);

impl Iterator for Keys {
    type Item = SessionKey;

    fn next(&mut self) -> Option<SessionKey> {
        loop {
            match &*self.0.pop()? {
                Node::Leaf(share) => return Some(share.key),
                Node::Fork { sides, .. } => {
                    self.0.push(Arc::clone(&sides[1]));
                    self.0.push(Arc::clone(&sides[0]));
                }
            }
        }
    }
}
