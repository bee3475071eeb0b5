//! What the allocator gives for collections and pointers of the standard library.
//!
//! Whether a type is one of them is told by its name. A name that is not known costs no safety: it
//! counts as the largest of what it may be. `tests/session_bytes.rs` holds both.

use std::any::type_name;
use std::collections::BTreeMap;
use std::mem::needs_drop;

/// What an allocator takes for so many bytes: a header, rounded up.
pub(in crate::session) fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    }
}

/// What an `Arc` or `Rc` of so many bytes takes at most.
pub(in crate::session) fn shared(bytes: usize) -> usize {
    block(2 * size_of::<usize>() + bytes)
}

/// What a sequence or a map has shown so far.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) count: usize,
    key: usize,
    value: usize,
    align: usize,
}

impl Entries {
    pub(super) fn key<T>(&mut self) {
        self.key = self.key.max(size_of::<T>());
        self.align = self.align.max(align_of::<T>());
    }

    pub(super) fn value<T>(&mut self) {
        self.count += 1;
        self.value = self.value.max(size_of::<T>());
        self.align = self.align.max(align_of::<T>());
    }

    /// Bytes of an entry.
    pub(super) fn size(&self) -> usize {
        (self.key + self.value).next_multiple_of(self.align.max(1))
    }
}

/// A vector that grows by doubling, as all do that are not told how many will come.
fn vector(entries: usize, size: usize) -> usize {
    let least = match size {
        0 => return 0,
        1 => 8,
        2..=1_024 => 4,
        _ => 1,
    };
    match entries {
        0 => 0,
        _ => block(size * entries.next_power_of_two().max(least)),
    }
}

/// A hash table has eight places for seven entries, and a byte for each place and for 16 more. A
/// small one has no less than 16 bytes of places.
fn table(entries: usize, size: usize) -> usize {
    let least = match size {
        0..=1 => 16,
        2..=3 => 8,
        _ => 4,
    };
    let places = match entries {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        _ => (entries * 8 / 7).next_power_of_two(),
    };
    let places = places.max(least);
    block((places * size).next_multiple_of(16) + places + 16)
}

/// A B-tree has nodes of eleven entries, of which those that are not the root hold five at least.
fn tree(entries: usize, key: usize, value: usize) -> usize {
    let node = (11 * (key + value) + 12).next_multiple_of(8);
    match entries {
        0 => return 0,
        1..=11 => return block(node),
        _ => {}
    }
    let mut nodes = (entries + 1) / 6;
    let mut bytes = nodes * block(node);
    while nodes > 1 {
        nodes = if nodes <= 12 { 1 } else { nodes / 6 };
        bytes += nodes * block(node + 12 * size_of::<usize>());
    }
    bytes
}

/// A list has each entry by itself.
fn list(entries: usize, size: usize) -> usize {
    entries * block(size + 2 * size_of::<usize>())
}

/// A hash table of indices, and the entries in order, each with its hash.
fn in_order(entries: usize, size: usize) -> usize {
    vector(entries, size + 8) + table(entries, 8)
}

/// What a collection of type `T` takes that has these entries.
pub(super) fn collection<T>(entries: &Entries) -> usize {
    let (count, size) = (entries.count, entries.size());
    let name = type_name::<T>();
    let is = |known: &[&str]| known.iter().any(|known| name.starts_with(known));
    if is(VECTORS) {
        vector(count, size)
    } else if is(TABLES) {
        table(count, size)
    } else if is(TREES) {
        tree(count, entries.key, entries.value)
    } else if is(LISTS) {
        list(count, size)
    } else if is(JSON) {
        match (entries.key, ARE_OBJECTS_TREES) {
            (0, _) => vector(count, size),
            (_, true) => tree(count, entries.key, entries.value),
            (_, false) => in_order(count, size),
        }
    } else {
        any_collection(entries)
    }
}

/// What a collection of a kind that is not known takes: the most that one does.
pub(super) fn any_collection(entries: &Entries) -> usize {
    let (count, size) = (entries.count, entries.size());
    let most = vector(2 * count, size).max(list(count, size));
    most.max(tree(count, entries.key, entries.value))
        .max(table(count, size))
        .max(in_order(count, size))
}

const VECTORS: &[&str] = &[
    "alloc::vec::Vec<",
    "alloc::collections::vec_deque::VecDeque<",
    "alloc::collections::binary_heap::BinaryHeap<",
];
const TABLES: &[&str] = &[
    "std::collections::hash::map::HashMap<",
    "std::collections::hash::set::HashSet<",
];
const TREES: &[&str] = &[
    "alloc::collections::btree::map::BTreeMap<",
    "alloc::collections::btree::set::BTreeSet<",
];
const LISTS: &[&str] = &["alloc::collections::linked_list::LinkedList<"];
const JSON: &[&str] = &["serde_json::value::Value", "serde_json::map::Map<"];

/// A feature of serde_json has them in the order of insertion.
const ARE_OBJECTS_TREES: bool =
    size_of::<serde_json::Map<String, serde_json::Value>>() == size_of::<BTreeMap<u8, u8>>();

/// Where a value is put.
#[derive(Clone, Copy)]
pub(super) struct Place {
    name: &'static str,
    /// It owns something.
    pub(super) owns: bool,
    /// It may be nothing but a pointer to the value.
    is_pointer: bool,
}

/// A pointer to elements, without anything that counts them.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    is_shared: bool,
}

impl Slice {
    pub(super) fn block(self, bytes: usize) -> usize {
        match self.is_shared {
            true => shared(bytes),
            false => block(bytes),
        }
    }
}

/// What a pointer's or an option's name has between its brackets.
fn inside<'n>(name: &'n str, pointers: &[&str]) -> Option<&'n str> {
    let inside = pointers
        .iter()
        .find_map(|pointer| name.strip_prefix(pointer));
    inside?.strip_suffix('>')
}

const OPTION: &[&str] = &["core::option::Option<"];
const BOX: &[&str] = &["alloc::boxed::Box<"];
const SHARED: &[&str] = &["alloc::sync::Arc<", "alloc::rc::Rc<"];

impl Place {
    pub(super) fn of<T>() -> Self {
        let owns = needs_drop::<T>();
        Self {
            name: type_name::<T>(),
            owns,
            is_pointer: owns && size_of::<T>() <= 2 * size_of::<usize>(),
        }
    }

    /// Whether what is put here is a `T`, or known to be pointers to one.
    pub(super) fn is_known_to_lead_to<T>(self) -> bool {
        let (target, mut name) = (type_name::<T>(), self.name);
        while name != target {
            let next = [OPTION, BOX, SHARED]
                .iter()
                .find_map(|kind| inside(name, kind));
            let Some(next) = next else {
                return false;
            };
            name = next;
        }
        true
    }

    /// What the pointers from this place to a `T` take, the `T` included.
    pub(super) fn pointers_to<T>(self) -> usize {
        if !self.is_pointer {
            return 0;
        }
        let (target, mut name, mut bytes) = (type_name::<T>(), self.name, 0);
        while name != target {
            if let Some(next) = inside(name, OPTION) {
                name = next;
                continue;
            }
            let next = match (inside(name, BOX), inside(name, SHARED)) {
                (Some(next), _) => (next, block as fn(usize) -> usize),
                (_, Some(next)) => (next, shared as fn(usize) -> usize),
                // It may be a pointer of any kind.
                _ => return bytes + shared(size_of::<T>()),
            };
            name = next.0;
            bytes += next.1(size_of::<T>().max(match name == target {
                true => 0,
                false => 2 * size_of::<usize>(),
            }));
        }
        bytes
    }

    /// The pointer, if this is one to a text or to a slice.
    pub(super) fn slice(self) -> Option<Slice> {
        if !self.is_pointer {
            return None;
        }
        let name = inside(self.name, OPTION).unwrap_or(self.name);
        let (inside, is_shared) = match (inside(name, BOX), inside(name, SHARED)) {
            (Some(inside), _) => (inside, false),
            (_, inside) => (inside?, true),
        };
        (inside == "str" || inside.starts_with('[')).then_some(Slice { is_shared })
    }
}
