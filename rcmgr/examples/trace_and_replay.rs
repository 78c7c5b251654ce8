//! Writes a trace, then asks what other limits would have refused.

use rcmgr::prelude::*;
use rcmgr::trace::TraceSink;
use rcmgr::trace::replay::{Asked, Options, replay};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace.json.gz");

    // Nothing is limited while the trace is written.
    let sink = TraceSink::create(&path)?;
    let manager = Manager::builder()
        .limits(Limits::unlimited())
        .recorder(sink.recorder())
        .build()?;
    let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, &Endpoint::None);
    let connections = (0..5).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    drop(connections);
    sink.close()?;

    // What was in use, and what is refused if the system may have three connections.
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 3.into();
    let options = Options {
        what_if: Some(Asked { limits, ..todo() }),
        ..Options::default()
    };
    let report = replay(&[path], &options, &mut |_| {})?;
    println!("{report:#?}");
    Ok(())
}
