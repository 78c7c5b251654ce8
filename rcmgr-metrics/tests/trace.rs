//! Trace files: complete, cut off, and invalid.

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use rcmgr_metrics::trace::{Event, Notes, TraceError, TraceReader};

use support::conn_lines;

fn gzipped(text: &str) -> Vec<u8> {
    gzipped_bytes(text.as_bytes())
}

fn gzipped_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Reads files with these contents.
fn read(contents: &[&[u8]]) -> (Result<Vec<Event>, TraceError>, Notes) {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..contents.len())
        .map(|at| folder.path().join(format!("{at}.json")))
        .collect();
    for (file, bytes) in files.iter().zip(contents) {
        fs::write(file, bytes).unwrap();
    }
    let mut reader = TraceReader::open(files).unwrap();
    let events = (&mut reader).map(|event| event.map(|(_, event)| event));
    let events = events.collect();
    let mut notes = reader.notes().clone();
    for cut_off in &mut notes.cut_off {
        cut_off.file = cut_off.file.file_name().unwrap().into();
    }
    (events, notes)
}

fn lines(events: &[Event]) -> String {
    let lines = events.iter().map(|event| event.to_line() + "\n");
    lines.collect()
}

#[test]
fn files_are_one_trace_plain_gzipped_or_of_several_members() {
    let text = conn_lines(6);
    let (one, two) = text.split_at(text.len() / 2);
    let members = [gzipped(one), gzipped(two)].concat();
    for contents in [
        vec![text.as_bytes()],
        vec![&gzipped(&text)],
        vec![&members],
        vec![b"", text.as_bytes(), &gzipped("")],
        vec![text.trim_end().as_bytes()],
        vec![text.replace('\n', "\r\n\n").as_bytes()],
    ] {
        let (events, notes) = read(&contents);
        assert_eq!(lines(&events.unwrap()), text);
        assert_eq!((notes.events, notes.cut_off), (24, vec![]));
    }
}

#[test]
fn all_lines_before_a_cut_are_used() {
    let text = conn_lines(8);
    let gzip = gzipped(&text);
    let more = "\n".to_owned() + &conn_lines(1);
    for (bytes, step) in [(text.as_bytes(), 37), (gzip.as_slice(), 1)] {
        for end in (0..bytes.len()).step_by(step) {
            let (events, notes) = read(&[&bytes[..end], more.as_bytes()]);
            let events = events.unwrap();
            let before = events.len() - 4;
            assert!(text.starts_with(&lines(&events[..before])), "{end}");
            let at_a_break =
                end == 0 || bytes == text.as_bytes() && [b'\n', b'}'].contains(&bytes[end - 1]);
            let is_magic_cut = bytes == gzip && end == 1;
            if let [cut_off] = notes.cut_off.as_slice() {
                assert_eq!(cut_off.after_line, before as u64, "{end}");
                let said = cut_off.to_string();
                assert!(
                    said.starts_with("0.json: ") && said.contains("is cut off"),
                    "{said}"
                );
            } else {
                assert!(at_a_break && !is_magic_cut, "{end}: {notes:?}");
            }
        }
    }
    // All that can be decompressed from the cut stream.
    let (events, _) = read(&[&gzip[..gzip.len() - 9]]);
    assert_eq!(lines(&events.unwrap()), text);
}

#[test]
fn a_line_that_is_not_an_event_is_an_error_with_file_and_line() {
    let good = conn_lines(1);
    let long = format!("{{\"Time\":\"{}\"}}", "x".repeat(1 << 20));
    for (line, reason) in [
        ("", None),
        ("{", Some("EOF while parsing an object")),
        ("[1]", Some("not an event: ")),
        ("\0\0", Some("not an event: expected value, at column 1")),
        (r#"{"Type":"start"}"#, Some("missing field `Time`")),
        (
            r#"{"Time":"noon","Type":"start"}"#,
            Some("Time \"noon\" is not in RFC 3339"),
        ),
        (
            r#"{"Time":"2026-11-22T00:00:00Z","Type":"add_conn"}"#,
            Some("a add_conn without a Name"),
        ),
        (
            r#"{"Time":"2026-11-22T00:00:00Z","Type":"start"} x"#,
            Some("trailing characters"),
        ),
        (
            r#"{"Time":"2026-11-22T00:00:00Z","Type":"reserve_memory","Name":"system","Memory":-1}"#,
            Some("invalid value"),
        ),
        (
            r#"{"Time":"2026-11-22T00:00:00Z","Type":"reserve_memory","Name":"system","Priority":256}"#,
            Some("invalid value"),
        ),
        (&long, Some("longer than 1 MiB")),
    ] {
        let bytes = format!("{good}{line}\n{good}");
        for bytes in [bytes.as_bytes(), &gzipped(&bytes)] {
            let (events, _) = read(&[good.as_bytes(), bytes]);
            match (events, reason) {
                (Ok(events), None) => assert_eq!(events.len(), 12),
                (Err(error), Some(reason)) => {
                    let said = error.to_string();
                    assert!(
                        said.contains("/1.json:5: ") && said.contains(reason),
                        "{said}"
                    );
                }
                (events, _) => panic!("{line}: {events:?}"),
            }
        }
    }
}

#[test]
fn a_file_that_is_no_trace_is_an_error_that_names_the_format() {
    let limits = r#"{"System":{"Conns":12},"Peer":{"165":{"Conns":1}}}"#;
    let pretty = limits.replace(":{", ":{\n  ");
    let utf_16: Vec<u8> = b"\xff\xfe"
        .iter()
        .copied()
        .chain(conn_lines(1).encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let cut = &conn_lines(1)[..40];
    let cases: [(&[u8], &str); 21] = [
        (b"", "0.json: no event: the file is empty; "),
        (b"\n \r\n", "0.json: no event: the file is empty; "),
        (
            b"hello",
            "0.json:1: not an event: expected value, at column 1; ",
        ),
        (
            b"hello\n",
            "0.json:1: not an event: expected value, at column 1; ",
        ),
        (
            limits.as_bytes(),
            "0.json:1: not an event: missing field `Type`, at column 50; ",
        ),
        (
            pretty.as_bytes(),
            "0.json:1: not an event: EOF while parsing an object, at column 11; ",
        ),
        (
            b"[System]\nConns = 12\n",
            "0.json:1: not an event: expected a JSON object, at column 1; ",
        ),
        (
            b"[System]",
            "0.json:1: not an event: expected a JSON object, at column 1; ",
        ),
        (
            b"# limits",
            "0.json:1: not an event: expected value, at column 1; ",
        ),
        (b"[]", "0.json:1: not an event: expected a JSON object"),
        (
            br#"["2026-11-22T00:00:00Z","start"]"#,
            "0.json:1: not an event: expected a JSON object",
        ),
        (
            br#"[{"Time":"2026-11-22T00:00:00Z","Type":"start"}]"#,
            "0.json:1: not an event: expected a JSON object",
        ),
        (b"12", "0.json:1: not an event: invalid type: integer `12`"),
        (
            b"null",
            "0.json:1: not an event: invalid type: null, expected a JSON object",
        ),
        (b"\"start\"", "0.json:1: not an event: invalid type: string"),
        (
            b"\x7fELF\x02\x01\0\0",
            "0.json:1: not an event: expected value, at column 1; ",
        ),
        (
            b"\x28\xb5\x2f\xfd\0",
            "0.json:1: not an event: expected value, at column 1; ",
        ),
        (
            &utf_16,
            "0.json:1: not an event: text in UTF-16, not in UTF-8; ",
        ),
        (
            cut.as_bytes(),
            "0.json: no event: the last line is cut off; ",
        ),
        (
            br#"{"Time":"2026-11-22T00:00:00Z","Type":"sneeze"}"#,
            "0.json: no event has a known type; ",
        ),
        (
            br#"{"Type":"start","Scope":7}"#,
            "0.json:1: not an event: invalid type: integer `7`",
        ),
    ];
    for (bytes, expected) in cases {
        for bytes in [bytes.to_vec(), gzipped_bytes(bytes)] {
            let (events, _) = read(&[&bytes]);
            let said = events.expect_err(expected).to_string();
            assert!(said.contains(&format!("/{expected}")), "{said}\n{expected}");
            assert!(said.ends_with("plain or gzipped"), "{said}");
        }
    }
    // A gzip stream that is cut off before the first event.
    for end in [1, 2, 9, 12, 30] {
        let (events, _) = read(&[&gzipped(&conn_lines(1))[..end]]);
        let said = events.unwrap_err().to_string();
        assert!(
            said.contains("is cut off; a trace has one JSON object a line"),
            "{end}: {said}"
        );
    }
    // Beside a trace it is an error too.
    let (events, _) = read(&[conn_lines(1).as_bytes(), limits.as_bytes()]);
    assert!(
        events
            .unwrap_err()
            .to_string()
            .contains("/1.json:1: not an event: ")
    );
}

#[test]
fn an_error_shows_little_of_the_file_and_nothing_invisible() {
    let long = "x".repeat(500_000);
    for line in [
        format!("\"{long}\\u001b[2J\""),
        format!(r#"{{"Type":"start","Time":"\u001b[2J{long}"}}"#),
        format!(r#"{{"Type":"start","Time":7,"{long}":"\u202e"}}"#),
    ] {
        let (events, _) = read(&[line.as_bytes()]);
        let said = events.unwrap_err().to_string();
        assert!(said.contains("/0.json:1: not an event: "), "{said}");
        assert!(said.chars().count() < 600, "{said}");
        assert!(
            !said.contains(char::is_control) && !said.contains('\u{202e}'),
            "{said}"
        );
    }
}

#[test]
fn early_traces_without_times_and_with_names_in_the_scope_are_read() {
    // As go-libp2p-resource-manager 0.1 to 0.4 wrote them; 0.4 had times.
    let early = r#"{"Type":"start","Limit":{}}
{"Type":"create_scope","Scope":"conn-1","Limit":{"Conns":1,"ConnsInbound":1}}
{"Type":"add_conn","Scope":"conn-1","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
{"Type":"add_conn","Scope":"protocol:/a.peer:Qm","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
"#;
    let (events, notes) = read(&[early.as_bytes()]);
    let events = events.unwrap();
    let names: Vec<&str> = events.iter().map(Event::scope_name).collect();
    assert_eq!(names, ["", "conn-1", "conn-1", "protocol:/a.peer:Qm"]);
    let labels = events[3].scope.clone().unwrap();
    assert_eq!(
        (labels.class.as_str(), labels.peer.as_deref()),
        ("protocol-peer", Some("Qm"))
    );
    assert_eq!((notes.events, notes.without_time), (4, 4));
    let said = notes.lines().concat();
    assert!(
        said.starts_with("4 events have no time, as in early traces"),
        "{said}"
    );

    let with_times = early.replace(
        r#"{"Type""#,
        r#"{"Time":"2022-06-08T01:00:00+02:00","Type""#,
    );
    let (events, notes) = read(&[with_times.as_bytes()]);
    assert_eq!(events.unwrap().len(), 4);
    assert!(notes.lines().is_empty());

    // A time that is missing after others is an error.
    let (events, _) = read(&[(with_times + early).as_bytes()]);
    let said = events.unwrap_err().to_string();
    assert!(
        said.contains("/0.json:5: not an event: missing field `Time`"),
        "{said}"
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let marked = "\u{feff}".to_owned() + &conn_lines(2);
    for bytes in [marked.as_bytes(), &gzipped(&marked)] {
        let (events, notes) = read(&[bytes, bytes]);
        assert_eq!(lines(&events.unwrap()), conn_lines(2).repeat(2));
        assert_eq!(notes.cut_off, []);
    }
    // Only at the beginning of a file.
    let (events, _) = read(&[(conn_lines(1) + &marked).as_bytes()]);
    assert!(
        events
            .unwrap_err()
            .to_string()
            .contains("/0.json:5: not an event")
    );
}

#[test]
fn a_damaged_gzip_stream_is_an_error() {
    let text = conn_lines(400);
    let mut gzip = gzipped(&text);
    let middle = gzip.len() / 2;
    for byte in &mut gzip[middle..middle + 64] {
        *byte ^= 0x5a;
    }
    let (events, _) = read(&[&gzip]);
    let error = events.unwrap_err();
    assert!(error.line.is_some(), "{error}");
    let mut trailing = gzipped(&text);
    trailing.extend_from_slice(b"what is no member of gzip");
    assert!(read(&[&trailing]).0.is_err());
}

#[test]
fn unknown_types_and_fields_are_counted_but_no_error() {
    let text = r#"{"Time":"2026-11-22T00:00:00Z","Type":"sneeze","Volume":11}
{"Time":"2026-11-22T00:00:01Z","Type":"sneeze"}
{"Time":"2026-11-22T00:00:02Z","Type":"create_scope","Scope":{"Class":"peer","Peer":"p","Mood":1},"Name":"peer:p","Limit":{"Dogs":3}}
"#;
    let (events, notes) = read(&[text.as_bytes()]);
    assert_eq!(events.unwrap().len(), 3);
    assert_eq!(
        (
            notes.unknown_types.total,
            notes.unknown_types.names["sneeze"]
        ),
        (2, 2)
    );
    let fields: Vec<_> = notes
        .unknown_fields
        .names
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields.len(), 3, "{fields:?}");
    assert!(fields.contains(&"Volume"), "{fields:?}");

    let many: String = (0..1000)
        .map(|number| format!("{{\"Time\":\"2026-11-22T00:00:00Z\",\"Type\":\"{number}\"}}\n"))
        .collect();
    let (_, notes) = read(&[many.as_bytes()]);
    assert_eq!(
        (notes.unknown_types.total, notes.unknown_types.names.len()),
        (1000, 16)
    );
}

#[test]
fn files_in_the_wrong_order_are_reported() {
    let late = conn_lines(1).replace("2026", "2027");
    let (_, notes) = read(&[late.as_bytes(), conn_lines(1).as_bytes()]);
    assert_eq!(notes.out_of_order.len(), 1);
    let (_, notes) = read(&[conn_lines(1).as_bytes(), late.as_bytes()]);
    assert_eq!(notes.out_of_order.len(), 0);
}

#[test]
fn a_path_that_is_not_a_file_is_an_error_before_reading() {
    let folder = tempfile::tempdir().unwrap();
    for (path, reason) in [
        (folder.path().join("none"), "No such file"),
        (folder.path().to_owned(), "not a regular file"),
    ] {
        let error = TraceReader::open([&path]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}: ", path.display())),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
}
