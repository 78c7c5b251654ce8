//! The trace that the book replays: an hour of a small server, the same on every machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rcmgr_atomic::{Direction, KIB, Limits, Manager, Priority, Result, UsesFd};
use rcmgr_metrics::trace::{Event, TraceSink};

/// The names under which the book replays it. Those after the first are the parts of a longer one,
/// the oldest first.
const NAMES: [&str; 4] = [
    "trace.json.gz",
    "trace.2.json.gz",
    "trace.1.json.gz",
    "trace.json",
];

/// The time of the first event, and the time between two.
const START: &str = "2026-11-22T01:00:00Z";
const BETWEEN: Duration = Duration::from_millis(900);

/// The files, with their names: recorded once for all chapters.
pub static FILES: LazyLock<Vec<(&str, Vec<u8>)>> =
    LazyLock::new(|| NAMES.map(|name| (name, record(name))).to_vec());

/// A part of the trace; gzipped if its name says so.
fn record(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let raw = folder.path().join("raw.json.gz");
    let sink = TraceSink::create(&raw).expect("the folder is writable");
    work(&sink).expect("nothing is refused that the scopes allow");
    sink.close().expect("the folder is writable");

    // The times of the events are those of the machine: here they are always the same.
    let part = NAMES.iter().position(|known| *known == name);
    let start: Timestamp = START.parse().expect("a time");
    // The parts follow each other.
    let mut time = start + Duration::from_secs(3600) * part.unwrap_or(0) as u32;
    let mut text = Vec::new();
    let written = fs::File::open(&raw).expect("it is written");
    for line in BufReader::new(GzDecoder::new(written)).lines() {
        let line = line.expect("it is written");
        let mut event: Event = serde_json::from_str(&line).expect("the sink writes events");
        event.time = time.to_string();
        time += BETWEEN;
        text.extend(event.to_line().bytes().chain([b'\n']));
    }
    if name.ends_with(".gz") {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).expect("memory takes everything");
        text = gzip.finish().expect("memory takes everything");
    }
    text
}

/// What the server does: six clients connect, open streams and reserve memory, more than their
/// limits allow.
fn work(sink: &TraceSink) -> Result<()> {
    let mut limits = Limits::unlimited();
    limits.system.memory = (600 * KIB).into();
    limits.peer_default.streams_inbound = 4.into();
    limits.peer_default.memory = (256 * KIB).into();
    limits.service_peer_default.streams_inbound = 3.into();
    let recorder = sink.recorder();
    let manager = Manager::builder()
        .limits(limits)
        .recorder(recorder)
        .build()?;
    let mut random = fastrand::Rng::with_seed(12);
    let mut clients = Vec::new();
    for number in 1..=6 {
        let ip = IpAddr::from([192, 0, 2, number]);
        let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, ip)?;
        conn.set_peer(&ip.into())?;
        clients.push((conn, Vec::new()));
    }
    for _ in 0..400 {
        let (conn, streams) = &mut clients[random.usize(..6)];
        if random.bool() {
            let Ok(stream) = conn.open_stream(Direction::Inbound) else {
                continue;
            };
            let protocol = ["/echo/1.0.0", "/ipfs/kad/1.0.0"][random.usize(..2)];
            let service = random.bool().then_some("uploads");
            if stream.set_protocol(protocol).is_err() {
                continue;
            }
            if service.is_some_and(|service| stream.set_service(service).is_err()) {
                continue;
            }
            // A refused buffer is a part of the trace.
            let _ = stream.reserve_memory(random.u64(1..=96) * KIB, Priority::Medium);
            streams.push(stream);
        } else if !streams.is_empty() {
            drop(streams.swap_remove(random.usize(..streams.len())));
        }
    }
    Ok(())
}
