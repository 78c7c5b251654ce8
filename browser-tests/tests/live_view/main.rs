//! The live view's page in a real browser: Chromium without a window.
//!
//! It is looked for on the `PATH`, or where `CHROME` says. Where there is none the tests are
//! reported as ignored; but where `CI` is set, that is a failure. With `RCMGR_SCREENSHOTS` set they leave
//! pictures in the folder that it names.

#[path = "../../../rcmgr-metrics/tests/crowd/mod.rs"]
mod crowd;
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
    // They share the browser, whose tabs share the machine.
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
    // With the last handle on it the browser ends.
    if let Ok(mut browser) = shared.lock() {
        browser.take();
    }
    conclusion.exit_code()
}

/// With a profile of its own, which goes with it.
fn launch(path: &Path) -> Result<Browser, Failed> {
    let arguments = [
        // It comes last, and counts.
        "--headless=new",
        "--hide-scrollbars",
        "--disable-component-update",
        // Whatever is not on this machine is nowhere.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ];
    let options = LaunchOptions::default_builder()
        .path(Some(path.to_owned()))
        // It would not start as root; and it sees nothing but our own page.
        .sandbox(false)
        .window_size(Some((1400, 1000)))
        .args(arguments.map(OsStr::new).into())
        .idle_browser_timeout(Duration::from_secs(300))
        .build()?;
    Ok(Browser::new(options)?)
}
