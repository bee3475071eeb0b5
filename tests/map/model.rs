//! Every operation of the map, in random order and with time running, standing
//! still, leaping and going back, against a plain single-threaded model.

use crate::common::op::{Config, Op};
use crate::common::run::run;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(
            prop::test_runner::FileFailurePersistence::WithSource("proptest-regressions"),
        )),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_map_does_what_its_model_does((config, ops) in runs()) {
        run(config, ops);
    }
}

fn runs() -> impl Strategy<Value = (Config, Vec<Op>)> {
    let ops = prop::collection::vec(any::<[u8; 4]>(), 0..300);
    (any::<[u8; 3]>(), ops).prop_map(|(config, ops)| {
        let config = Config::decode(config);
        let ops = ops.into_iter().map(|bytes| Op::decode(config, bytes));
        (config, ops.collect())
    })
}
