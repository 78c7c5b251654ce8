//! Replays what the reference did (go-libp2p's resource manager), step by step, and compares every
//! result and the usage of every scope.
//!
//! `rcmgr_testkit::vectors` says where the vectors are looked for. `RCMGR_PROFILES=mixed,memory`
//! narrows them to these profiles.

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};
use rcmgr_atomic::Manager;
use rcmgr_testkit::Session;
use rcmgr_testkit::vectors::{self, ScopeVector};

fn main() -> ExitCode {
    vectors::run(trials())
}

/// A trial for each profile.
fn trials() -> Result<Vec<Trial>, String> {
    let Some(folder) = vectors::scopes() else {
        return Ok(Vec::new());
    };
    let mut profiles: BTreeMap<String, Vec<ScopeVector>> = BTreeMap::new();
    for vector in ScopeVector::read_all(&folder)? {
        let profile = vector.profile.clone();
        profiles.entry(profile).or_default().push(vector);
    }
    if let Ok(wanted) = env::var("RCMGR_PROFILES") {
        let wanted: Vec<&str> = wanted.split(',').collect();
        if let Some(missing) = wanted.iter().find(|it| !profiles.contains_key(**it)) {
            let folder = folder.display();
            return Err(format!("{folder}: no file has the profile {missing:?}"));
        }
        profiles.retain(|profile, _| wanted.contains(&profile.as_str()));
    }
    let trial = |(profile, vectors): (String, Vec<ScopeVector>)| {
        Trial::test(profile, move || vectors.iter().try_for_each(replay))
    };
    Ok(profiles.into_iter().map(trial).collect())
}

fn replay(vector: &ScopeVector) -> Result<(), Failed> {
    let manager = Manager::builder()
        .limits(vector.limits.clone())
        .addresses(vector.addresses.clone())
        .build()?;
    let session = Session::new(manager, vector.slots);
    let shared = || session.manager.scopes().into_iter();
    vector.replay(
        |op| session.perform(op),
        || session.usage(shared().map(|scope| (scope.id, scope.stat))),
    )?;
    println!("{}: {} steps", vector.file.display(), vector.steps.len());
    Ok(())
}
