//! The vectors of single operations: what the trace of a manager that does them comes to.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;
use rcmgr_atomic::Builder;
use rcmgr_metrics::replay::{Options, replay as read};
use rcmgr_metrics::trace::TraceSink;

use crate::replay::{Replayed, Usage, replay};

/// Where the vectors are, if they are there.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/scopes");
    let folder = env::var_os("RCMGR_VECTORS").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Does the operations of every file with a sink, and reads what that has written.
pub fn same_usage(folder: &Path) -> Result<(), Failed> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension() == Some(OsStr::new("jsonl")));
    files.sort();
    assert!(!files.is_empty(), "there is no *.jsonl file");
    let room = tempfile::tempdir()?;
    for file in files {
        let trace = room.path().join("trace.json.gz");
        // Room for all of them: nothing is dropped.
        let sink = TraceSink::builder(&trace).queue(1 << 20).start()?;
        let recorder = sink.recorder();
        let build = |builder: Builder| {
            let built = builder.recorder(recorder.clone()).build();
            built.expect("the configuration works")
        };
        let Replayed {
            steps,
            usage,
            replay,
        } = replay(&file, build)?;
        let dropped = sink.counters();
        // What the vector leaves open is open at the end of the trace.
        sink.close()?;
        drop(replay);
        assert_eq!(dropped.dropped(), 0);

        let options = Options {
            top: usize::MAX - 2,
            ..Options::default()
        };
        let report = read(&[trace], &options, &mut |_| {})?;
        assert_eq!(report.read.lines(), Vec::<String>::new());
        let in_trace: BTreeMap<&str, Usage> = report
            .scopes
            .iter()
            .filter_map(|scope| Some((scope.name.as_str(), scope.usage?)))
            .collect();
        let nothing = [0; 6];
        for name in usage
            .keys()
            .map(String::as_str)
            .chain(in_trace.keys().copied())
        {
            // A scope that holds nothing need not be in a trace, nor in a vector.
            let wanted = usage.get(name).unwrap_or(&nothing);
            let had = in_trace.get(name).unwrap_or(&nothing);
            if wanted != had {
                return Err(
                    format!("{}: {name}: wanted {wanted:?}, had {had:?}", file.display()).into(),
                );
            }
        }
        println!("{}: {steps} steps", file.display());
    }
    Ok(())
}
