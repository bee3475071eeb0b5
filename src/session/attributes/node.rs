//! Attributes as a persistent tree, whose changed copies share all but one path with it.
//!
//! Few attributes are one node: a text (see `text`), and beside it those values that are not kept
//! as JSON. A node that grows too large splits in two, below a new one that says where which names
//! are. So a write copies a node of bounded size on each level, however many attributes there are.
//!
//! ```text
//!            ["", "m"]                     texts of names without JSON, nodes beside them
//!           /         \
//!   [a: 1, c: *]    [m: "x", z: 2]         texts of values, those marked * beside them
//! ```
//!
//! **Invariant.** Each entry without JSON in a text has its part beside it, in the same order.
//! Below the node of an entry are the names from the entry's own to the next one's; the first
//! entry's own counts as the least of all.

use super::text::{self, Entries, Place};
use crate::session::value::{Native, New, block, shared};
use std::slice;
use std::sync::Arc;

/// A text that is longer splits.
const MOST_BYTES: usize = 640;
/// Of more parts beside it as well.
const MOST_PARTS: usize = 32;

/// A tree. None for both is one without entries.
#[derive(Clone, Default)]
pub(super) struct Node {
    text: Option<Arc<str>>,
    beside: Option<Arc<Beside>>,
}

struct Beside {
    /// Bytes that it takes, what is below it included.
    bytes: usize,
    parts: Parts,
}

enum Parts {
    Values(Vec<Arc<dyn Native>>),
    Nodes(Vec<Node>),
}

/// What is under a name.
pub(super) enum Found<'n> {
    /// JSON, in an entry of a text.
    Plain(&'n Arc<str>, Place),
    Shared(&'n Arc<dyn Native>),
}

impl Beside {
    /// None for none.
    fn of(parts: Parts) -> Option<Arc<Self>> {
        let (room, below) = match &parts {
            Parts::Values(values) if values.is_empty() => return None,
            Parts::Values(values) => (
                values.capacity() * size_of::<Arc<dyn Native>>(),
                values.iter().map(|value| value.bytes()).sum::<usize>(),
            ),
            Parts::Nodes(nodes) => (
                nodes.capacity() * size_of::<Node>(),
                nodes.iter().map(Node::bytes).sum(),
            ),
        };
        Some(Arc::new(Self {
            bytes: shared(size_of::<Self>()) + block(room) + below,
            parts,
        }))
    }
}

/// A copy with another part in the place of some.
fn with_part<P: Clone>(parts: &[P], at: usize, instead_of: usize, part: Option<P>) -> Vec<P> {
    let mut copy = Vec::with_capacity(parts.len() - instead_of + usize::from(part.is_some()));
    copy.extend_from_slice(&parts[..at]);
    copy.extend(part);
    copy.extend_from_slice(&parts[at + instead_of..]);
    copy
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_none()
    }

    /// Whether this is the very tree that `other` is, not just an equal one.
    pub(super) fn is(&self, other: &Self) -> bool {
        let texts = match (&self.text, &other.text) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        texts
            && match (&self.beside, &other.beside) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            }
    }

    /// Bytes that it takes in memory, beside its own place.
    pub(super) fn bytes(&self) -> usize {
        let text = self.text.as_ref().map_or(0, |text| shared(text.len()));
        text + self.beside.as_ref().map_or(0, |beside| beside.bytes)
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn nodes(&self) -> Option<&[Self]> {
        match &self.beside.as_ref()?.parts {
            Parts::Nodes(nodes) => Some(nodes),
            Parts::Values(_) => None,
        }
    }

    fn values(&self) -> &[Arc<dyn Native>] {
        match self.beside.as_ref().map(|beside| &beside.parts) {
            Some(Parts::Values(values)) => values,
            _ => &[],
        }
    }

    /// Where a name belongs, of some nodes.
    fn place_below(&self, name: &str) -> usize {
        let names = text::entries(self.text()).skip(1);
        names.take_while(|(first, _)| *first <= name).count()
    }

    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<Found<'_>> {
        let mut node = self;
        while let Some(nodes) = node.nodes() {
            node = &nodes[node.place_below(name)];
        }
        let text = node.text.as_ref()?;
        Some(node.found(text, text::find(text, name)?))
    }

    #[inline]
    fn found<'n>(&'n self, text: &'n Arc<str>, place: Place) -> Found<'n> {
        match place.is_part() {
            true => Found::Shared(&self.values()[place.part]),
            false => Found::Plain(text, place),
        }
    }

    /// With a value under a name.
    pub(super) fn with(&self, name: &str, value: New<'_>) -> Self {
        let (node, more) = self.put(name, value);
        Self::grown(node, more)
    }

    /// A tree of one node or of two.
    fn grown(node: Self, more: Option<Self>) -> Self {
        match more {
            None => node,
            Some(right) => {
                let text = text::of([("", ""), (right.first_name(), "")]);
                Self::fork(Some(text), vec![node, right])
            }
        }
    }

    fn fork(text: Option<Arc<str>>, nodes: Vec<Self>) -> Self {
        let beside = Beside::of(Parts::Nodes(nodes));
        Self { text, beside }
    }

    fn leaf(text: Option<Arc<str>>, values: Vec<Arc<dyn Native>>) -> Self {
        let beside = Beside::of(Parts::Values(values));
        Self { text, beside }
    }

    /// The same, in two parts if it grew too large.
    fn put(&self, name: &str, value: New<'_>) -> (Self, Option<Self>) {
        match self.nodes() {
            Some(nodes) => self.put_below(nodes, name, value).split(),
            None => self.put_here(name, value).split(),
        }
    }

    fn put_here(&self, name: &str, value: New<'_>) -> Self {
        let text = self.text();
        let place = text::find(text, name);
        let (json, value) = match value {
            New::Plain(json) => (json, None),
            New::Shared(value) => ("", Some(value)),
        };
        let (text, part, was_part) = match &place {
            Some(place) => (
                text::with_json(text, place, json),
                place.part,
                place.is_part(),
            ),
            None => {
                let (at, part) = text::place_for(text, name);
                (text::with_entry(text, at, name, json), part, false)
            }
        };
        if value.is_none() && !was_part {
            return self.with_text(text);
        }
        let values = with_part(self.values(), part, usize::from(was_part), value);
        Self::leaf(Some(text), values)
    }

    /// With the same parts beside another text.
    fn with_text(&self, text: Arc<str>) -> Self {
        Self {
            text: Some(text),
            beside: self.beside.clone(),
        }
    }

    /// With other JSON under a name that has some, at this place if all are here.
    pub(super) fn with_json(&self, name: &str, place: &Place, json: &str) -> Self {
        match self.nodes() {
            Some(_) => self.with(name, New::Plain(json)),
            None => {
                let (node, more) = self
                    .with_text(text::with_json(self.text(), place, json))
                    .split();
                Self::grown(node, more)
            }
        }
    }

    fn put_below(&self, nodes: &[Self], name: &str, value: New<'_>) -> Self {
        let at = self.place_below(name);
        let (node, more) = nodes[at].put(name, value);
        let Some(more) = more else {
            let nodes = with_part(nodes, at, 1, Some(node));
            return Self::fork(self.text.clone(), nodes);
        };
        let behind = text::entries(self.text())
            .nth(at)
            .map(|(_, place)| place.entry.end);
        let behind = behind.expect("each node has its entry");
        let text = text::with_entry(self.text(), behind, more.first_name(), "");
        let mut all = with_part(nodes, at, 1, Some(node));
        all.insert(at + 1, more);
        Self::fork(Some(text), all)
    }

    /// The first of the names.
    pub(super) fn first_name(&self) -> &str {
        match self.nodes() {
            Some(nodes) => nodes[0].first_name(),
            None => text::entries(self.text())
                .next()
                .map_or("", |(name, _)| name),
        }
    }

    /// In two, if it is too large and has enough for both.
    fn split(self) -> (Self, Option<Self>) {
        let text = self.text();
        let parts = self.nodes().map_or(self.values().len(), <[_]>::len);
        if text.len() <= MOST_BYTES && parts <= MOST_PARTS {
            return (self, None);
        }
        let entries: Vec<_> = text::entries(text).map(|(_, place)| place).collect();
        let least = 1 + usize::from(self.nodes().is_some());
        if entries.len() < 2 * least {
            return (self, None);
        }
        let half = entries.partition_point(|place| 2 * place.entry.end <= text.len());
        let half = &entries[half.clamp(least, entries.len() - least)];
        let (left, right) = text.split_at(half.entry.start);
        let (left, right) = (Some(Arc::from(left)), Some(Arc::from(right)));
        match self.nodes() {
            Some(nodes) => {
                let (before, behind) = nodes.split_at(half.part);
                let left = Self::fork(left, before.to_vec());
                (left, Some(Self::fork(right, behind.to_vec())))
            }
            None => {
                let (before, behind) = self.values().split_at(half.part);
                let left = Self::leaf(left, before.to_vec());
                (left, Some(Self::leaf(right, behind.to_vec())))
            }
        }
    }

    /// Without what is under a name; none if nothing is.
    pub(super) fn without(&self, name: &str) -> Option<Self> {
        let Some(nodes) = self.nodes() else {
            let place = text::find(self.text(), name)?;
            let text = text::without_entry(self.text(), &place);
            if !place.is_part() {
                let beside = self.beside.clone();
                return Some(Self { text, beside });
            }
            let values = with_part(self.values(), place.part, 1, None);
            return Some(Self::leaf(text, values));
        };
        let at = self.place_below(name);
        let node = nodes[at].without(name)?;
        if !node.is_empty() {
            return Some(
                Self::fork(self.text.clone(), with_part(nodes, at, 1, Some(node))).joined(),
            );
        }
        let mut left = with_part(nodes, at, 1, None);
        if left.len() == 1 {
            return left.pop();
        }
        let place = text::entries(self.text()).nth(at).map(|(_, place)| place);
        let text = text::without_entry(self.text(), &place.expect("each node has its entry"));
        Some(Self::fork(text, left).joined())
    }

    /// One node in the place of several, if all that they have fits into half a node.
    fn joined(self) -> Self {
        let Some(nodes) = self.nodes() else {
            return self;
        };
        let bytes: usize = nodes.iter().map(|node| node.text().len()).sum();
        let parts: usize = nodes.iter().map(|node| node.values().len()).sum();
        let are_leaves = nodes.iter().all(|node| node.nodes().is_none());
        if !are_leaves || bytes > MOST_BYTES / 2 || parts > MOST_PARTS / 2 {
            return self;
        }
        let text: String = nodes.iter().map(Self::text).collect();
        let values = nodes.iter().flat_map(Self::values).cloned().collect();
        Self::leaf(Some(text.into()), values)
    }

    /// The nodes that have values, in order of their names.
    pub(super) fn leaves(&self) -> Leaves<'_> {
        Leaves(vec![slice::from_ref(self).iter()])
    }

    /// What a node of values has, in order.
    pub(super) fn here(&self) -> Here<'_> {
        Here {
            node: self,
            entries: text::entries(self.text()),
        }
    }
}

/// The nodes of a tree that have values.
pub(super) struct Leaves<'n>(Vec<slice::Iter<'n, Node>>);

impl<'n> Iterator for Leaves<'n> {
    type Item = &'n Node;

    fn next(&mut self) -> Option<&'n Node> {
        loop {
            let Some(node) = self.0.last_mut()?.next() else {
                self.0.pop();
                continue;
            };
            match node.nodes() {
                Some(nodes) => self.0.push(nodes.iter()),
                None => return Some(node),
            }
        }
    }
}

/// The names of one node, with what is under each.
pub(super) struct Here<'n> {
    node: &'n Node,
    entries: Entries<'n>,
}

impl<'n> Iterator for Here<'n> {
    type Item = (&'n str, Found<'n>);

    fn next(&mut self) -> Option<(&'n str, Found<'n>)> {
        let text = self.node.text.as_ref()?;
        let (name, place) = self.entries.next()?;
        Some((name, self.node.found(text, place)))
    }
}
