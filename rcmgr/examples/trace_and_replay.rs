//! Writes a trace, then replays it under other limits.

use rcmgr::prelude::*;
use rcmgr::trace::TraceSink;
use rcmgr::trace::replay::{Options, ReplayLimits, replay};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace.json.gz");

    // Nothing is limited while the trace is written.
    let sink = TraceSink::create(&path)?;
    let manager = Manager::builder()
        .limits(Limits::unlimited())
        .recorder(sink.recorder())
        .build()?;
    let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connections = (0..5).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    drop(connections);
    sink.close()?;

    // Replay the trace with a limit of three connections for the system.
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 3.into();
    let options = Options {
        what_if: Some(ReplayLimits::Configured(Box::new(limits))),
        ..Options::default()
    };
    let report = replay(&[path], &options, &mut |_| {})?;
    let system = report.classes.iter().find(|class| class.class == "system");
    assert_eq!(system.map(|class| class.peak.conns_in), Some(5));
    let what_if = report.what_if.expect("other limits were asked");
    println!(
        "{} granted, {} would be refused",
        what_if.granted, what_if.would_refuse
    );
    assert_eq!((what_if.granted, what_if.would_refuse), (3, 2));
    Ok(())
}
