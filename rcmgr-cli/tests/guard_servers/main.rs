//! Runs `rcmgr guard` in front of servers and behind proxies of others: Redis, nginx and HAProxy.
//!
//! Tests whose programs are missing are reported as ignored; with `CI=true` they fail.

#[cfg(target_os = "linux")]
#[path = "../guard_run/process.rs"]
mod process;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod tests;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let needed = std::env::var("CI").is_ok_and(|value| value == "true");
    let trials = tests::ALL.map(|(name, needs, test)| {
        let missing = programs::missing(needs);
        if !missing.is_empty() {
            eprintln!("{name} is not tested: there is no {}", missing.join(", "));
        }
        let is_ignored = !missing.is_empty() && !needed;
        let trial = Trial::test(name, move || match missing.is_empty() {
            true => {
                test();
                Ok(())
            }
            false => Err(format!("there is no {}, and CI=true", missing.join(", ")).into()),
        });
        trial.with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
