//! Tags: 16 bits of a key's hash in the upper bits of a slot's word, and the search of a line for
//! one.
//!
//! A look-up reads a record only where the tags agree. All slots of a line are compared before the
//! first match is followed: which slot matches cannot be predicted, so a branch for each slot would
//! often be mispredicted.
//!
//! There are two implementations of one function, [`matches_scalar`] and [`matches_vector`]: the
//! tests below compare them. Loom, shuttle and ThreadSanitizer see only the loads of the scalar
//! one.
//!
//! **Progress.** Wait-free.

/// How far a word is shifted to get its tag. Addresses have fewer bits than this.
pub const TAG_SHIFT: u32 = 48;

/// The part of a hash that slots remember: the low 16 bits, which do not choose the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u16);

impl Tag {
    /// The tag of a key with this hash.
    #[inline]
    pub fn of(hash: u64) -> Self {
        Self(hash as u16)
    }

    /// The tag that a word carries.
    #[inline]
    pub fn of_word(word: usize) -> Self {
        Self((word >> TAG_SHIFT) as u16)
    }

    /// The tag as a part of a word.
    #[inline]
    pub fn as_word(self) -> usize {
        usize::from(self.0) << TAG_SHIFT
    }

    /// Whether a word carries this tag.
    #[inline]
    pub fn is_in(self, word: usize) -> bool {
        (word ^ self.as_word()) < 1 << TAG_SHIFT
    }
}

/// A bit for each word that carries the tag, the first word's bit lowest.
#[cfg(any(
    test,
    not(target_arch = "x86_64"),
    dwell_loom,
    dwell_shuttle,
    dwell_tsan
))]
#[inline(always)]
pub fn matches_scalar(words: impl DoubleEndedIterator<Item = usize>, tag: Tag) -> u32 {
    words
        .rev()
        .fold(0, |matches, word| matches << 1 | u32::from(tag.is_in(word)))
}

/// A bit for each of the eight words of a cache line that carries the tag, with the processor's
/// vectors: 16 instructions and four loads in the place of 35 and seven.
///
/// Only tags are loaded. A slot's tag changes only when the slot is filled, emptied or prepared. So
/// it does not matter whether its word is read at once or in parts: a slot that carries the tag all
/// the time is found, and another one may be found or not. A thread that follows a match loads the
/// word anew.
///
/// # Safety
/// `line` leads to 64 bytes that are initialized and stay allocated during the call. Other threads
/// may write to them with atomic stores.
#[cfg(all(
    target_arch = "x86_64",
    not(any(dwell_loom, dwell_shuttle, dwell_tsan))
))]
#[inline(always)]
pub unsafe fn matches_vector(line: *const [u64; 8], tag: Tag) -> u32 {
    let matches: u32;
    // SAFETY: the block reads the 64 bytes at `line`, which the caller keeps allocated, and writes
    // registers only. It is assembly so that these reads beside atomic writes of other threads are
    // what the processor makes of them. They stay in order with the loads before and after them:
    // x86-64 keeps the order of loads, and the compiler moves no access to memory over the block.
    unsafe {
        core::arch::asm!(
            // The tag, eight times.
            "movd {tags}, {tag:e}",
            "pshuflw {tags}, {tags}, 0",
            "punpcklqdq {tags}, {tags}",
            // The upper halves of four words each.
            "movups {low}, [{line}]",
            "movups {next}, [{line} + 16]",
            "shufps {low}, {next}, 0xdd",
            "movups {high}, [{line} + 32]",
            "movups {next}, [{line} + 48]",
            "shufps {high}, {next}, 0xdd",
            // The upper halves of these, which are the tags, side by side.
            "psrad {low}, 16",
            "psrad {high}, 16",
            "packssdw {low}, {high}",
            // A bit for each.
            "pcmpeqw {low}, {tags}",
            "packsswb {low}, {low}",
            "pmovmskb {matches:e}, {low}",
            line = in(reg) line,
            tag = in(reg) u32::from(tag.0),
            tags = out(xmm_reg) _,
            low = out(xmm_reg) _,
            high = out(xmm_reg) _,
            next = out(xmm_reg) _,
            matches = out(reg) matches,
            options(nostack, preserves_flags),
        );
    }
    // `packsswb` has packed the eight results twice.
    matches & 0xff
}

#[cfg(all(
    test,
    target_arch = "x86_64",
    not(any(dwell_loom, dwell_shuttle, dwell_tsan))
))]
mod tests {
    use super::*;

    const FROZEN: u64 = 1;
    const EMPTY: u64 = 2;
    const ADDRESS: u64 = 0x7fff_dead_bee8;

    fn both(line: [u64; 8], tag: Tag) -> [u32; 2] {
        let words = line.iter().map(|word| *word as usize);
        // SAFETY: the array is borrowed during the call.
        let vector = unsafe { matches_vector(&raw const line, tag) };
        [matches_scalar(words, tag), vector]
    }

    #[test]
    fn the_vectors_find_what_the_scalar_code_finds() {
        let tags = [0, 1, 0x7fff, 0x8000, 0xffff];
        for (tag, other) in tags.into_iter().flat_map(|tag| {
            // Other tags that differ in the lowest, the highest, and every bit.
            [1, 0x8000, 0xffff].map(|difference: u16| (tag, tag ^ difference))
        }) {
            for low_bits in [ADDRESS, ADDRESS | FROZEN, EMPTY, EMPTY | FROZEN] {
                for pattern in 0..1_u32 << 7 {
                    let line = core::array::from_fn(|slot| {
                        let has_tag = pattern >> slot & 1 == 1;
                        u64::from(if has_tag { tag } else { other }) << TAG_SHIFT | low_bits
                    });
                    let found = both(line, Tag(tag));
                    assert_eq!(found, [pattern; 2], "{tag:#x} beside {other:#x}");
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_empty_or_unset_matches_the_tag_zero_only() {
        for word in [0, FROZEN, EMPTY, EMPTY | FROZEN] {
            assert_eq!(both([word; 8], Tag(0)), [0xff; 2]);
            assert_eq!(both([word; 8], Tag(0xffff)), [0; 2]);
        }
    }

    #[test]
    fn the_vectors_and_the_scalar_code_agree_on_arbitrary_lines() {
        // Knuth's multiplier: a sequence that is the same each time.
        let mut state = 0x9e37_79b9_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state
        };
        for _ in 0..10_000 {
            let mut line: [u64; 8] = core::array::from_fn(|_| next());
            let tag = Tag(next() as u16);
            line[next() as usize >> 3 & 7] = tag.as_word() as u64;
            let [scalar, vector] = both(line, tag);
            assert_eq!(scalar, vector);
            assert_ne!(scalar, 0);
        }
    }
}
