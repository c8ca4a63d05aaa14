//! Tells a failing seed again with fewer faults, as long as it fails alike.
//!
//! Whatever is left out shifts every later choice of the world, so a shorter plan is another run that happens to fail
//! the same way, not a part of the first one. That is enough to see what it takes.

use crate::run::run;
use crate::story::Plan;

/// How many shorter plans are tried at most.
const MAX_TRIES: usize = 60;

/// Which faults of a plan it takes, by their numbers. `kind` names the property that must fail again.
pub fn shrink(plan: &Plan, kind: &str) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let mut tries = 0;
    let mut part = kept.len().div_ceil(2);
    while part > 0 && tries < MAX_TRIES {
        let mut from = 0;
        while from < kept.len() && tries < MAX_TRIES {
            let mut fewer = kept.clone();
            fewer.drain(from..(from + part).min(kept.len()));
            tries += 1;
            if run(&with(plan, &fewer)).is_err_and(|failure| failure.kind() == kind) {
                kept = fewer;
            } else {
                from += part;
            }
        }
        part /= 2;
    }
    kept
}

/// The plan with only these faults.
pub fn with(plan: &Plan, kept: &[usize]) -> Plan {
    let faults = kept.iter().filter_map(|at| plan.faults.get(*at).cloned()).collect();
    Plan { faults, ..plan.clone() }
}
