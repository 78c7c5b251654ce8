//! The model does what the reference did: it replays every vector of single operations.

use std::cell::RefCell;
use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};
use rcmgr_testkit::Model;
use rcmgr_testkit::vectors::{self, ScopeVector};

fn main() -> ExitCode {
    vectors::run(trials())
}

fn trials() -> Result<Vec<Trial>, String> {
    let Some(folder) = vectors::scopes() else {
        return Ok(Vec::new());
    };
    let vectors = ScopeVector::read_all(&folder)?.into_iter();
    let trial = |vector: ScopeVector| {
        let file = vector.file.file_name().unwrap_or_default();
        let name = file.to_string_lossy().into_owned();
        Trial::test(name, move || replay(&vector))
    };
    Ok(vectors.map(trial).collect())
}

fn replay(vector: &ScopeVector) -> Result<(), Failed> {
    let model = Model::new(vector.limits.clone(), &vector.addresses, vector.slots);
    let model = RefCell::new(model);
    vector.replay(
        |op| model.borrow_mut().perform(op),
        || model.borrow().usage(),
    )?;
    Ok(())
}
