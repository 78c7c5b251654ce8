//! The trace of the engine is the trace of the reference (go-libp2p's resource manager).
//!
//! `rcmgr_testkit::vectors` says where the vectors are looked for.

mod observed;
mod scopes;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::Trial;
use rcmgr_testkit::vectors;

fn main() -> ExitCode {
    let mut trials = Vec::new();
    if let Some(folder) = vectors::observe() {
        trials.push(Trial::test(
            "the_events_of_an_operation_are_those_of_the_reference",
            move || observed::same_events(&folder),
        ));
    }
    if let Some(folder) = vectors::scopes() {
        trials.push(Trial::test(
            "a_trace_of_a_vector_ends_in_its_usage",
            move || scopes::same_usage(&folder),
        ));
    }
    vectors::run(Ok(trials))
}
