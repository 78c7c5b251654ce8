//! Replays what the reference did (go-libp2p's resource manager), step by step, and compares every
//! outcome and every scope's usage.
//!
//! The vectors are not part of the project. They are looked for in the folder that `RCMGR_VECTORS`
//! names, else in `../shared/vectors/scopes` beside the project; `RCMGR_PROFILES=mixed,memory`
//! narrows them to these profiles.

mod addresses;
mod replay;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rcmgr_atomic::Builder;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after the other, so that the files are printed under their profile.
    arguments.test_threads = Some(1);
    let trials = match folder() {
        Some(folder) => match trials(&folder) {
            Ok(trials) => trials,
            Err(why) => vec![Trial::test("vectors", || Err(why.into()))],
        },
        None => {
            eprintln!(
                "conformance: no vectors. RCMGR_VECTORS is not set, and {} is not there.",
                beside_the_project().display()
            );
            vec![Trial::test("vectors", || Ok(())).with_ignored_flag(true)]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn beside_the_project() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/scopes");
    beside.canonicalize().unwrap_or(beside)
}

fn folder() -> Option<PathBuf> {
    match env::var_os("RCMGR_VECTORS") {
        Some(folder) => Some(folder.into()),
        None => Some(beside_the_project()).filter(|folder| folder.is_dir()),
    }
}

/// A trial for each profile, with the files of it in order.
fn trials(folder: &Path) -> Result<Vec<Trial>, String> {
    let in_folder = |why| format!("{}: {why}", folder.display());
    let mut profiles: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| in_folder(error.to_string()))? {
        let file = entry.map_err(|error| in_folder(error.to_string()))?.path();
        if file.extension() == Some(OsStr::new("jsonl")) {
            let profile = replay::profile(&file)?;
            profiles.entry(profile).or_default().push(file);
        }
    }
    if profiles.is_empty() {
        return Err(in_folder("there is no *.jsonl file".into()));
    }

    let wanted = env::var("RCMGR_PROFILES").ok();
    if let Some(wanted) = &wanted {
        for profile in wanted.split(',') {
            if !profiles.contains_key(profile) {
                return Err(in_folder(format!("no file is of the profile {profile:?}")));
            }
        }
        profiles.retain(|profile, _| wanted.split(',').any(|wanted| wanted == profile));
    }
    let trial = |(profile, mut files): (String, Vec<PathBuf>)| {
        files.sort();
        Trial::test(profile, move || replay_all(&files))
    };
    Ok(profiles.into_iter().map(trial).collect())
}

fn replay_all(files: &[PathBuf]) -> Result<(), Failed> {
    for file in files {
        let build = |builder: Builder| builder.build().expect("the configuration works");
        let steps = replay::replay(file, build)?.steps;
        println!("{}: {steps} steps", file.display());
    }
    Ok(())
}
