//! The array of a table's lines. All-zero memory is an array of empty lines.

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
use crate::alloc::Zeroed;
use crate::map::table::line::Line;

/// Lines in zeroed memory, which takes up no pages before it is used.
#[cfg(not(any(dwell_loom, dwell_shuttle)))]
pub struct Array<K, V> {
    /// The first line.
    lines: *mut Line<K, V>,
    /// How many lines there are.
    count: usize,
    /// Keeps the lines, which need no drop.
    _memory: Zeroed,
}

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
impl<K, V> Array<K, V> {
    pub fn new(count: usize) -> Self {
        const { assert!(size_of::<Line<(), ()>>() == 64) };
        let memory = Zeroed::new(count * size_of::<Line<K, V>>());
        Self {
            lines: memory.start().cast(),
            count,
            _memory: memory,
        }
    }

    #[inline]
    pub fn line(&self, index: usize) -> &Line<K, V> {
        debug_assert!(index < self.count);
        // SAFETY: the index has `bits` bits, so it is below the count. All-zero words are a valid
        // line, and the memory lives as long as `self`.
        unsafe { &*self.lines.add(index) }
    }
}

/// The atomics of loom and shuttle cannot be made of zeroes.
#[cfg(any(dwell_loom, dwell_shuttle))]
pub struct Array<K, V>(Vec<Line<K, V>>);

#[cfg(any(dwell_loom, dwell_shuttle))]
impl<K, V> Array<K, V> {
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| Line::unset()).collect())
    }

    pub fn line(&self, index: usize) -> &Line<K, V> {
        &self.0[index]
    }
}
