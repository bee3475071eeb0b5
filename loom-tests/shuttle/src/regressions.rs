//! The least plans under which a random history once was not linearizable.

use crate::schedules::{config, perform, schedules};
use crate::workload::{Op, Plan};
use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler};

fn check(plan: Plan) {
    let (random, pct) = (plan.clone(), plan);
    let few = schedules(5_000);
    Runner::new(RandomScheduler::new(few), config()).run(move || perform(&random));
    Runner::new(PctScheduler::new(3, few), config()).run(move || perform(&pct));
}

/// `try_insert` returned the record that it had met, also if that was replaced meanwhile: it could
/// be past its deadline.
#[test]
fn who_is_refused_gets_the_record_that_has_the_key() {
    let replaces = [Op::Insert(1, 1), Op::SetIdle(1, 3), Op::Insert(1, 2)];
    let tries = [Op::Advance(3), Op::TryInsert(1, 3)];
    check(Plan::of(10, &[&replaces, &tries]));
}
