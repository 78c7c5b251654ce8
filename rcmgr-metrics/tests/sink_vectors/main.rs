//! What the engine does is written as the reference (go-libp2p's resource manager) writes it.
//!
//! The vectors are not part of the project: they are looked for as the engine's own tests and the
//! replay's do.

#[path = "../../../rcmgr-atomic/tests/conformance/addresses.rs"]
mod addresses;
mod observed;
#[path = "../../../rcmgr-atomic/tests/conformance/replay.rs"]
mod replay;
mod scopes;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    if let Some(folder) = support::vectors() {
        trials.push(Trial::test(
            "the_events_of_an_operation_are_those_of_the_reference",
            move || observed::same_events(&folder),
        ));
    }
    if let Some(folder) = scopes::folder() {
        trials.push(Trial::test(
            "a_trace_of_a_vector_ends_in_its_usage",
            move || scopes::same_usage(&folder),
        ));
    }
    if trials.is_empty() {
        eprintln!("sink_vectors: there are no vectors.");
        trials.push(Trial::test("vectors", || Ok(())).with_ignored_flag(true));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
