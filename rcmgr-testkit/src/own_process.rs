//! Tests that need a process of their own.

use std::env;
use std::process::Command;

/// Set in the process that a test has of its own.
const IS_OWN: &str = "RCMGR_TEST_IN_OWN_PROCESS";

/// Runs the test with this name, modules included, in a process of its own, and panics if it fails
/// there. Returns false in that process: the test goes on there.
///
/// A test that listens to the log begins with it. `tracing` decides once for each line of code
/// whether anything listens to it, and asks the thread that comes there first. If that thread runs
/// another test, which listens to nothing, the log stays empty for all.
///
/// ```no_run
/// if rcmgr_testkit::passed_in_own_process("log::a_mistake_is_logged") {
///     return;
/// }
/// ```
pub fn passed_in_own_process(test: &str) -> bool {
    if env::var_os(IS_OWN).is_some() {
        return false;
    }
    let program = env::current_exe().expect("the test program has a path");
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .env(IS_OWN, "1")
        .output()
        .expect("the test program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    // With a wrong name no test runs, which is no failure.
    assert!(text.contains("1 passed"), "no test is named {test}: {text}");
    true
}
