//! Tests the page of the live view in headless Chromium.
//!
//! The executable is searched on the `PATH` or taken from `CHROME`. Without Chromium the tests are
//! reported as ignored; if `CI` is set, they fail. If `RCMGR_SCREENSHOTS` names a folder, the tests
//! write screenshots into it.

#[path = "../../../rcmgr-metrics/tests/crowd/mod.rs"]
mod crowd;
mod flood;
mod page;
mod server;
mod state;
mod tests;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_chrome::browser::default_executable;
use headless_chrome::{Browser, LaunchOptions};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One test at a time: all share the browser.
    arguments.test_threads = Some(1);
    let executable = default_executable();
    let missing = executable.is_err();
    if missing {
        eprintln!(
            "browser: skipped, for lack of Chromium. It is on no PATH, and CHROME does not name it."
        );
    }
    let required = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false");
    let shared = Arc::new(Mutex::new(None));
    let trial = |(name, test): (&str, tests::Test)| {
        let (executable, shared) = (executable.clone(), shared.clone());
        let run = move || {
            let path = executable.map_err(Failed::from)?;
            let browser = match &mut *shared.lock().map_err(|_| "another test failed")? {
                Some(browser) => Browser::clone(browser),
                none => none.insert(launch(&path)?).clone(),
            };
            test(&browser);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing && !required)
    };
    let trials = tests::ALL.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Dropping the last handle ends the browser.
    if let Ok(mut browser) = shared.lock() {
        browser.take();
    }
    conclusion.exit_code()
}

/// Starts the browser with a temporary profile.
fn launch(path: &Path) -> Result<Browser, Failed> {
    let arguments = [
        // The last of several headless options wins.
        "--headless=new",
        "--hide-scrollbars",
        "--disable-component-update",
        // All other hosts are unreachable.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ];
    let options = LaunchOptions::default_builder()
        .path(Some(path.to_owned()))
        // The sandbox does not work as root. The browser only loads our own page.
        .sandbox(false)
        .window_size(Some((1400, 1000)))
        .args(arguments.map(OsStr::new).into())
        .idle_browser_timeout(Duration::from_secs(300))
        .build()?;
    Ok(Browser::new(options)?)
}
