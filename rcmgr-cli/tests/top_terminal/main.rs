//! Runs `rcmgr top` in a terminal: tmux.
//!
//! Without tmux the tests are reported as ignored; with `CI=true` they fail.

#[cfg(unix)]
mod tests;
#[cfg(unix)]
mod tmux;
#[cfg(unix)]
#[path = "../view/mod.rs"]
mod view;

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let there = tmux::is_there();
    let needed = std::env::var("CI").is_ok_and(|value| value == "true");
    if !there {
        eprintln!("rcmgr top is not tested in a terminal: there is no tmux.");
    }
    let trials = tests::ALL.map(|(name, test)| {
        let trial = Trial::test(name, move || match there {
            true => {
                test();
                Ok(())
            }
            false => Err("there is no tmux, and CI=true says that it is needed".into()),
        });
        trial.with_ignored_flag(!there && !needed)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
