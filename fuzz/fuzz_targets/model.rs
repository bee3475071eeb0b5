//! Any bytes are a run of operations on the map and on its model.

#![no_main]

#[path = "../../tests/map/common/mod.rs"]
mod common;

use common::op::{Config, Op};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Run {
    config: Config,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Run {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let config = Config::decode(bytes.arbitrary()?);
        let (ops, _) = bytes.bytes(bytes.len())?.as_chunks();
        let ops = ops.iter().map(|op| Op::decode(config, *op)).collect();
        Ok(Run { config, ops })
    }
}

fuzz_target!(|run: Run| common::run::run(run.config, run.ops));
