//! The operations a model run is made of, and how bytes become them.

pub type Key = u16;

/// How many keys [`Op::InsertMany`] inserts: together enough to make a table
/// grow.
pub const MANY: Key = 32;

/// How the map under test is built.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub idle_timeout: u64,
    pub max_lifetime: Option<u64>,
    pub capacity: Option<usize>,
    /// Whether deadlines are looked at after every operation.
    pub audited: bool,
}

/// One operation. Spans of time are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Get(Key),
    With(Key),
    Peek(Key),
    Touch(Key),
    ContainsKey(Key),
    IdleFor(Key),
    TimeLeft(Key),
    Insert(Key),
    /// [`MANY`] keys from this one on.
    InsertMany(Key),
    TryInsert(Key),
    GetOrInsertWith(Key),
    Update(Key),
    Remove(Key),
    RemoveIf(Key, bool),
    SetIdleTimeout(Key, u64),
    SetLifetime(Key, u64),
    Collect,
    CollectIdle(u64),
    Evict(usize),
    /// Keeps the keys that this does not divide.
    Retain(Key),
    Clear,
    Iterate,
    Advance(u64),
    /// To the deadline of a record, give or take some milliseconds.
    AdvanceToDeadline(Key, i64),
    AdvanceACentury,
    GoBack(u64),
}

impl Config {
    pub fn decode([idle, lifetime, capacity]: [u8; 3]) -> Self {
        const IDLE: [u64; 8] = [
            1,
            7,
            512,
            1_000,
            60_000,
            1_800_000,
            86_400_000,
            31_557_600_000,
        ];
        let idle_timeout = IDLE[idle as usize % IDLE.len()];
        Config {
            idle_timeout,
            max_lifetime: (lifetime % 2 == 1).then_some(idle_timeout * u64::from(lifetime % 32)),
            capacity: (capacity % 4 == 3).then_some(usize::from(capacity)),
            audited: idle < 128,
        }
    }

    /// How late a collection may be: the width of a bucket of the calendar.
    pub fn quantum(&self) -> u64 {
        1 << (self.idle_timeout / 512).clamp(1, 1 << 16).ilog2()
    }
}

impl Op {
    /// Every four bytes are an operation, so a fuzzer's input always is a run.
    pub fn decode(config: Config, [op, key, a, b]: [u8; 4]) -> Self {
        let k = Key::from(key % 8);
        let many = 1_000 + MANY * Key::from(key % 8);
        // Half of the spans are of the order of the idle timeout, up to four
        // of it; half are of any order, up to 69 years.
        let span = match a {
            0..128 => config.idle_timeout * u64::from(b) / 64,
            _ => u64::from(b) << (a % 34),
        };
        match op % 36 {
            0 | 1 => Op::Get(k),
            2 => Op::With(k),
            3 => Op::Peek(k),
            4 | 5 => Op::Touch(k),
            6 => Op::ContainsKey(k),
            7 => Op::IdleFor(k),
            8 => Op::TimeLeft(k),
            9 | 10 => Op::Insert(k),
            11 | 12 => Op::InsertMany(many),
            13 | 14 => Op::TryInsert(k),
            15 | 16 => Op::GetOrInsertWith(k),
            17 | 18 => Op::Update(k),
            19 => Op::Remove(k),
            20 => Op::RemoveIf(k, a % 2 == 0),
            21 => Op::SetIdleTimeout(k, span),
            22 => Op::SetLifetime(k, span),
            23 | 24 => Op::Collect,
            25 => Op::CollectIdle(span),
            26 => Op::Evict(usize::from(a % 8)),
            27 => Op::Retain(2 + k),
            28 => Op::Clear,
            29 => Op::Iterate,
            30 | 31 => Op::Advance(span),
            32 | 33 => Op::AdvanceToDeadline(k, i64::from(a % 5) - 2),
            34 => Op::AdvanceACentury,
            _ => Op::GoBack(span),
        }
    }
}
