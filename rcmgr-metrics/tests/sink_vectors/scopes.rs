//! The vectors of single operations: the trace of a manager that performs them ends in their usage.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Failed;
use rcmgr_atomic::Manager;
use rcmgr_metrics::replay::{Options, replay};
use rcmgr_metrics::trace::TraceSink;
use rcmgr_testkit::vectors::ScopeVector;
use rcmgr_testkit::{Session, Usage};

/// Performs the operations of every file with a sink, and reads what it has written.
pub fn same_usage(folder: &Path) -> Result<(), Failed> {
    let room = tempfile::tempdir()?;
    for vector in ScopeVector::read_all(folder)? {
        let trace = room.path().join("trace.json.gz");
        let wanted = write_trace(&vector, &trace)?;

        let options = Options {
            top: usize::MAX - 2,
            ..Options::default()
        };
        let report = replay(&[trace], &options, &mut |_| {})?;
        assert_eq!(report.read.lines(), Vec::<String>::new());
        let scopes = report.scopes.into_iter();
        let had: BTreeMap<String, Usage> = scopes
            .filter_map(|scope| Some((scope.name, scope.usage?)))
            .collect();
        for name in wanted.keys().chain(had.keys()) {
            // A scope that holds nothing need not be in a trace, nor in a vector.
            let of = |usage: &BTreeMap<String, Usage>| usage.get(name).copied().unwrap_or_default();
            let (wanted, had) = (of(&wanted), of(&had));
            if wanted != had {
                let file = vector.file.display();
                return Err(format!("{file}: {name}: wanted {wanted:?}, had {had:?}").into());
            }
        }
        println!("{}: {} steps", vector.file.display(), vector.steps.len());
    }
    Ok(())
}

/// Returns the usage that the vector ends in, by the names of scopes.
fn write_trace(vector: &ScopeVector, trace: &Path) -> Result<BTreeMap<String, Usage>, Failed> {
    // With room for all events, so that none is dropped.
    let sink = TraceSink::builder(trace).queue(1 << 20).start()?;
    let manager = Manager::builder()
        .limits(vector.limits.clone())
        .addresses(vector.addresses.clone())
        .recorder(sink.recorder())
        .build()?;
    let session = Session::new(manager, vector.slots);
    let shared = || session.manager.scopes().into_iter();
    let usage = vector.replay(
        |op| session.perform(op),
        || session.usage(shared().map(|scope| (scope.id, scope.stat))),
    )?;
    // The handles are dropped later: they are open at the end of the trace.
    let counters = sink.counters();
    sink.close()?;
    assert_eq!(counters.dropped(), 0);

    let name = |name: String| match name.strip_prefix('#') {
        None => name,
        Some(slot) => {
            let slot = slot.parse().expect("a slot's number");
            let handle = session.handle(slot).expect("the vector knows its handles");
            handle.scope().name().to_string()
        }
    };
    let named = usage.into_iter().map(|(scope, usage)| (name(scope), usage));
    Ok(named.collect())
}
