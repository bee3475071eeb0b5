//! Every constant that was chosen by measurement or by judgement: its unit, its value, its value
//! under loom and shuttle, why it has that value, where it was measured, and what happens at twice
//! and at half of it.
//!
//! "Not measured" says that no other value was tried. Constants that follow from a layout (bits of
//! a word, sizes of a field) stay where the layout is.

/// Whether the crate is built for a model checker: small sizes reach the borders in few steps.
const IS_MODEL: bool = cfg!(any(dwell_loom, dwell_shuttle));

const fn value(usual: usize, in_models: usize) -> usize {
    if IS_MODEL { in_models } else { usual }
}

/// Reclamation.
pub mod reclaim {
    use std::time::Duration;

    /// Writes of a thread between two attempts to advance the epoch. 4,096; the same in models. An
    /// attempt costs a system call that interrupts all processors of the process: some
    /// microseconds, a nanosecond a write. What waits meanwhile is three times as many records a
    /// thread. Not measured at 8,192 and 2,048.
    pub const INTERVAL: usize = 4_096;

    /// The same once a thread has failed at this epoch; after each attempt of its own twice as
    /// many, up to [`INTERVAL`]. 64; the same in models. A thread that was interrupted inside of an
    /// operation runs again after some milliseconds, and what waits for it is much by then. Not
    /// measured at 128 and 32.
    pub const BRIEFEST: usize = 64;

    /// Writes of a thread between two looks at the clock. 16; never in models. A look takes some 25
    /// nanoseconds, which is 1.5 a write. Not measured at 32 and 8.
    pub const LOOK: usize = 16;

    /// A thread that has looked tries to advance if no thread has done so for this long. A
    /// millisecond. Large values make few writes a millisecond, and nothing tells the map how large
    /// they are. At half the time a process makes up to 2,000 system calls a second for it, and
    /// what waits is half as much. Neither measured.
    pub const LATE: Duration = Duration::from_millis(1);

    /// Writes for which a deferred action counts. 8; the same in models. An array of a table that
    /// was replaced, or a bucket, waits with it. Not measured at 16 and 4.
    pub const ACTION: usize = 8;

    /// Retired objects of a shard that make up a batch. 32; 1 under loom. All of them are
    /// prefetched before the first is freed. Not measured at 64 and 16.
    pub const BATCH: usize = if cfg!(dwell_loom) { 1 } else { 32 };

    /// An object of so many bytes is a batch by itself. 32 KiB; the same in models. A batch of such
    /// objects would keep a MiB. Not measured at twice and half.
    pub const LARGE: usize = 32 << 10;

    /// Retired bytes that count for as much as one write. 2 KiB; the same in models: with
    /// [`INTERVAL`], an attempt to advance for each 8 MiB. Twice or half lets twice or half as much
    /// wait. Not measured.
    pub const BYTES_OF_A_WRITE: usize = 2 << 10;

    /// Batches that are in a thread's hands at once while it frees. 16; the same in models: what is
    /// behind them is free for other threads. Not measured at 32 and 8.
    pub const IN_HAND: usize = 16;
}

/// The hash table.
pub mod table {
    use super::value;

    /// Slots of a line. 7; 2 in models. Together with the commit word they fill one cache line, so
    /// no other value fits.
    pub const SLOTS: usize = value(7, 2);

    /// An array has at least 2^this lines. 3; 1 in models. Eight lines are the 512 bytes that an
    /// empty map keeps. Twice or half of that: not measured, no operation depends on it.
    pub const LEAST_BITS: u32 = value(3, 1) as u32;

    /// An array has at most 2^this lines. 31; the same in models. Records remember 32 bits of the
    /// hash, and a unit of a larger array could not be told from its neighbour.
    pub const MOST_BITS: u32 = 31;

    /// A first array of at most 2^this lines is made ready when it is built; the lines of a larger
    /// one become ready on first use. 6; 6 in models: the 64 lines fill one small page, which a
    /// first insertion would touch anyway. Twice or half: not measured, it is paid once for each
    /// map.
    pub const READY_BITS: u32 = 6;

    /// Records in two lines above which an array grows. 9 (of 14 slots); the same in models. At 9
    /// few chains have a further line, and a look-up takes its fast path. Twice of it cannot be:
    /// chains would be the rule. Half: twice the memory. Neither measured.
    pub const CROWDED: usize = 9;

    /// An array is replaced by one of its size when it has more than one further line for so many
    /// lines. 2; the same in models. Not measured at 1 and 4: a look-up through a further line
    /// costs one more cache miss.
    pub const LONG: usize = 2;

    /// Records in four lines below which an array shrinks. 3; the same in models. A sixth of what
    /// lets it grow, so that a number of records that goes up and down by half replaces no array.
    /// Not measured at 6 and 1.
    pub const SPARSE: usize = 3;

    /// Bits by which an array shrinks at once, at most. 2; the same in models. Bounds the lines of
    /// a unit to four, and with them the work of the thread that migrates one. Not measured at 1
    /// and 4.
    pub const SHRINK_BITS: u32 = 2;
}

/// The calendar.
pub mod expiry {
    use super::value;

    /// Hints by quantum. 1,024; 1 in models. As many as there are quanta in a life of up to nine
    /// hours; in a longer one some quanta share a hint. 8 KiB a map. Not measured at 2,048 and 512.
    pub const RING: usize = value(1024, 1);

    /// Quanta in an untouched record's life, and less than twice as many for long ones. 512; the
    /// same in models. A record is collected a 512th of its life late at the most. Not measured at
    /// 1,024 and 256: each quantum in use has a bucket for each class.
    pub const QUANTA: u64 = 512;

    /// The longest quantum, in milliseconds. 65,536, about a minute; the same in models. Maps whose
    /// records live long may have single ones that do not, and are evicted from in this order. Not
    /// measured at twice and half.
    pub const LONGEST_QUANTUM: u64 = 1 << 16;

    /// Entries that one step of a collection drains. 32; 2 in models. A step is pinned once, and
    /// prefetches the records of all its entries before it looks at the first. Not measured at 64
    /// and 16.
    pub const STEP: usize = value(32, 2);

    /// Entries of a quantum's first bucket; each further one has four times as many. 16; 2 in
    /// models. 200 bytes, so that a map with few records in many quanta stays small. Not measured
    /// at 32 and 8.
    pub const FEWEST: usize = value(16, 2);

    /// Entries of the largest bucket. 512; 2 in models. 4 KiB; bounds the work that one bucket can
    /// ask for at once. Not measured at 1,024 and 256.
    pub const MOST: usize = value(512, 2);

    /// The part of a bucket that has to be cleared before the rest is filed elsewhere. Two thirds;
    /// in models, where a bucket has two entries, one of them. Not measured at other values.
    pub const SPARSE: (usize, usize) = if cfg!(dwell_loom) { (1, 2) } else { (2, 3) };
}

/// The operations of the map.
pub mod ops {
    use super::expiry::STEP;

    /// Insertions of a shard between two looks at the table's size. 32; the same in models. A look
    /// reads four counters of each shard. Not measured at 64 and 16.
    pub const FIT_INTERVAL: u64 = 32;

    /// Batches of retired records that a writer frees in passing. 2; the same in models. More than
    /// the one that it fills in the same number of writes, so that they run dry. At 1 they do not
    /// after a stall; 4 was not measured.
    pub const REAPED: usize = 2;

    /// Units of the table that a writer migrates in passing. 4; the same in models. One would do: a
    /// table that has doubled takes more insertions than it has units before it doubles again. Not
    /// measured at 8 and 2.
    pub const UNITS_IN_PASSING: usize = 4;

    /// Steps of a part of a collection. 32, so that a part looks at 1,024 records; in models 512 of
    /// two. Bounds how long [`collect_part`](crate::IdleMap::collect_part) keeps its thread. Not
    /// measured at twice and half: the time is in proportion.
    pub const PART: usize = 1_024 / STEP;

    /// Units of the table that one step of a collection migrates. 256; the same in models. Each
    /// copies some ten records' words. Not measured at twice and half: the time is in proportion.
    pub const UNITS: usize = 256;

    /// Such steps in a part of a collection. 4; the same in models: 1,024 units, as many as a part
    /// looks at records. Not measured at 8 and 2.
    pub const PART_OF_TABLE: usize = 4;

    /// Batches that a part of a collection frees. 32; the same in models: 1,024 records. Not
    /// measured at 64 and 16.
    pub const BATCHES: usize = 32;

    /// Records of one class that an eviction looks at because they were accessed since they were
    /// filed. 256; the same in models. Bounds the work of an insertion into a full map. At half, a
    /// map whose records are nearly all touched ends a recent one sooner; at twice, an insertion
    /// takes up to twice as long. Neither measured.
    pub const LOOKS: usize = 256;

    /// Protected records that go at the most for the insertion of one that is not; one that needs
    /// more room goes itself. 16; the same in models. None goes for an unprotected record that
    /// grows, for it might grow in many small steps. Not measured at 32 and 8.
    pub const MOST_PROTECTED: usize = 16;

    /// The part of the unprotected records that those keep which were never accessed: one in 8; the
    /// same in models. Not measured at one in 16 and one in 4.
    pub const FRESH_SHARE: usize = 8;

    /// The longest sleep of a background collector, in milliseconds. 1,000; the same in models. It
    /// is how long a collector outlives its map at the most, and how late it notices an earlier
    /// deadline. Not measured at twice and half.
    pub const LONGEST_SLEEP: u64 = 1_000;
}
