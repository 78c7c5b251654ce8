//! Runs `rcmgr replay`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// A connection with a peer and memory; the peer refuses a second connection.
const TRACE: &str = r#"{"Time":"2026-11-22T01:00:00Z","Type":"start","Limit":{}}
{"Time":"2026-11-22T01:00:01Z","Type":"create_scope","Scope":{"Class":"conn","Conn":"1"},"Name":"conn-1","Limit":{"Conns":1,"ConnsInbound":1,"ConnsOutbound":1,"FD":1}}
{"Time":"2026-11-22T01:00:02Z","Type":"add_conn","Scope":{"Class":"transient"},"Name":"transient","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
{"Time":"2026-11-22T01:00:03Z","Type":"add_conn","Scope":{"Class":"system"},"Name":"system","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
{"Time":"2026-11-22T01:00:04Z","Type":"add_conn","Scope":{"Class":"conn","Conn":"1"},"Name":"conn-1","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
{"Time":"2026-11-22T01:00:05Z","Type":"add_conn","Scope":{"Class":"peer","Peer":"p"},"Name":"peer:p","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
{"Time":"2026-11-22T01:00:06Z","Type":"remove_conn","Scope":{"Class":"transient"},"Name":"transient","Delta":-1,"DeltaIn":-1}
{"Time":"2026-11-22T01:00:07Z","Type":"reserve_memory","Scope":{"Class":"peer","Peer":"p"},"Name":"peer:p","Priority":255,"Delta":65536,"Memory":65536}
{"Time":"2026-11-22T01:00:07Z","Type":"reserve_memory","Scope":{"Class":"system"},"Name":"system","Priority":255,"Delta":65536,"Memory":65536}
{"Time":"2026-11-22T01:00:07Z","Type":"reserve_memory","Scope":{"Class":"conn","Conn":"1"},"Name":"conn-1","Priority":255,"Delta":65536,"Memory":65536}
{"Time":"2026-11-22T01:00:08Z","Type":"block_add_conn","Scope":{"Class":"peer","Peer":"p"},"Name":"peer:p","Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1}
"#;

/// Fixed defaults, so that no test depends on the machine.
const DEFAULTS: [&str; 4] = ["--memory", "1GiB", "--fds", "1000"];

/// The working directory of the program, with files. It is removed when dropped.
struct Folder(PathBuf);

struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Folder {
    fn new(test: &str, files: &[(&str, &[u8])]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{test}"));
        fs::create_dir_all(&path).expect("a folder can be made");
        for (name, bytes) in files {
            fs::write(path.join(name), bytes).expect("a file can be written");
        }
        Self(path)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_rcmgr"))
            .current_dir(&self.0)
            .args(arguments)
            .output()
            .expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        Run {
            status: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn replay(&self, arguments: &[&str]) -> Run {
        self.run(&[&["replay"], arguments].concat())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn the_table_has_usage_peaks_and_refusals() {
    let folder = Folder::new("table", &[("trace.json.gz", &gzipped(TRACE))]);
    let run = folder.replay(&["trace.json.gz"]);
    let expected = "11 events in 8.000 s
from 2026-11-22T01:00:00Z to 2026-11-22T01:00:08Z

                      end                           peak
scope      refused  conns  streams  fds    memory  conns  streams  fds    memory
system           0    1+0      0+0    1  64.0 KiB    1+0      0+0    1  64.0 KiB
transient        0    0+0      0+0    0       0 B    1+0      0+0    1       0 B
peer:p           1    1+0      0+0    1  64.0 KiB    1+0      0+0    1  64.0 KiB
conn-1           0    1+0      0+0    1  64.0 KiB    1+0      0+0    1  64.0 KiB
inbound+outbound   end: usage at the end   -: not live then

scope   closest limit      peak
conn-1  Memory         64.0 KiB  of 0 B

refused by  what                requests
peer        fd                         1
peer        inbound connection         1
";
    assert_eq!(
        (run.status, run.out.as_str(), run.err.as_str()),
        (0, expected, "")
    );
    // System, transient, and one other scope.
    let run = folder.replay(&["trace.json.gz", "--top", "1"]);
    assert!(run.out.contains("peer:p") && !run.out.contains("conn-1"));
}

#[test]
fn a_cut_off_file_is_used_and_reported() {
    let (one, two) = TRACE.split_at(700);
    let cut = &gzipped(TRACE)[..200];
    let files: [(&str, &[u8]); 3] = [("1", one.as_bytes()), ("2", two.as_bytes()), ("cut", cut)];
    let folder = Folder::new("several", &files);
    let run = folder.replay(&["cut"]);
    assert_eq!(run.status, 0);
    assert!(
        run.err
            .starts_with("note: cut: the gzip stream is cut off after line "),
        "{}",
        run.err
    );
    // A rotation never splits a line, so a file that starts inside a line is an error.
    let run = folder.replay(&["1", "2"]);
    assert_eq!((run.status, run.out.as_str()), (1, ""));
    assert!(run.err.starts_with("2:1: not an event: "), "{}", run.err);
}

#[test]
fn an_error_in_a_file_is_reported_with_its_line() {
    let bad = format!("{TRACE}no event\n{TRACE}");
    let files: [(&str, &[u8]); 3] = [
        ("bad.json", bad.as_bytes()),
        ("good.json", TRACE.as_bytes()),
        ("limits.toml", b"[System]\nMemry = 1\n"),
    ];
    let folder = Folder::new("wrong", &files);
    for (arguments, status, said) in [
        (&["bad.json"][..], 1, "bad.json:12: not an event: "),
        (&["good.json", "none.json"], 1, "none.json: No such file"),
        (&["."], 1, ".: not a regular file"),
        (
            &["good.json", "--limits", "limits.toml"],
            1,
            "limits.toml:2: System.Memry: unknown key",
        ),
        (
            &["good.json", "--limits", "none.toml"],
            1,
            "none.toml: No such file",
        ),
        (
            &["good.json", "--html", "none/page.html"],
            1,
            "rcmgr: cannot write none/page.html: ",
        ),
        (&[], 2, "error: "),
        (&["good.json", "--headroom", "0.9"], 2, "error: "),
        (&["good.json", "--headroom", "NaN"], 2, "error: "),
        (&["good.json", "--top", "-1"], 2, "error: "),
        (&["good.json", "--suggest", "--json"], 2, "error: "),
        (&["good.json", "--suggest=yaml"], 2, "error: "),
    ] {
        let run = folder.replay(arguments);
        assert_eq!(
            (run.status, run.out.as_str()),
            (status, ""),
            "{arguments:?}: {}",
            run.err
        );
        assert!(run.err.starts_with(said), "{arguments:?}: {}", run.err);
    }
}

#[test]
fn the_json_has_summary_usage_over_time_and_what_if() {
    let limits = b"[PeerDefault]\nConns = 2\nFD = 2\nMemory = '32 KiB'\n";
    let files: [(&str, &[u8]); 2] = [("trace.json", TRACE.as_bytes()), ("limits.toml", limits)];
    let folder = Folder::new("json", &files);
    let run = folder.replay(&["trace.json", "--json"]);
    assert_eq!((run.status, run.err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["system"], serde_json::json!([0, 0, 1, 0, 1, 65536]));
    assert_eq!(json["transient"], serde_json::json!([0, 0, 0, 0, 0, 0]));
    assert_eq!(json["over_time"][0]["usage"].as_array().unwrap().len(), 120);
    assert_eq!(json.get("what_if"), None);
    let run = folder.replay(
        &[
            &["trace.json", "--json", "--limits", "limits.toml"],
            &DEFAULTS[..],
        ]
        .concat(),
    );
    let json: Value = serde_json::from_str(&run.out).unwrap();
    let what_if = &json["what_if"];
    // Opening and setting the peer are granted. The memory exceeds the peer's limit. The second
    // connection would be granted.
    let counts = [
        "granted",
        "refused",
        "would_refuse",
        "would_grant",
        "not_asked",
    ];
    assert_eq!(
        counts.map(|count| what_if[count].as_u64().unwrap()),
        [2, 0, 1, 1, 0]
    );
    let table =
        folder.replay(&[&["trace.json", "--limits", "limits.toml"], &DEFAULTS[..]].concat());
    assert!(
        table
            .out
            .contains("\nunder limits.toml, over preset server"),
        "{}",
        table.out
    );
    assert!(
        table
            .out
            .contains("\npeer    Memory                   1            0\n"),
        "{}",
        table.out
    );
    // Options of the defaults are enough.
    let table = folder.replay(&["trace.json", "--budget", "16KiB,1"]);
    assert!(
        table
            .out
            .contains("\nunder preset server, within a budget of 16 KiB"),
        "{}",
        table.out
    );
}

#[test]
fn suggested_limits_pass_the_check_and_refuse_nothing() {
    let folder = Folder::new("suggest", &[("trace.json", TRACE.as_bytes())]);
    for (format, name) in [
        ("--suggest", "limits.toml"),
        ("--suggest=json", "limits.json"),
    ] {
        let run = folder.replay(&[format, "trace.json"]);
        assert_eq!((run.status, run.err.as_str()), (0, ""));
        fs::write(folder.0.join(name), &run.out).unwrap();
        let check = folder.run(&[&["limits", "check", name], &DEFAULTS[..]].concat());
        assert_eq!(check.status, 0, "{}", check.err);
        // Some defaults now exceed the low limit of System, but no limit of the file does.
        let mut warnings = check.err.lines();
        assert!(
            warnings.all(|warning| warning.contains(", which cannot be reached: ")),
            "{}",
            check.err
        );
        let run = folder.replay(&["trace.json", "--json", "--limits", name]);
        let json: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(json["what_if"]["would_refuse"], 0);
        assert_eq!(json["what_if"]["would_grant"], 1);
    }
    let run = folder.replay(&["trace.json", "--suggest", "--headroom=3"]);
    assert!(
        run.out.contains("times 3: suggested by rcmgr replay"),
        "{}",
        run.out
    );
    assert!(
        run.out
            .contains("[PeerDefault]\nConns = 6\nConnsInbound = 6\nConnsOutbound = 6\nFD = 6\nMemory = 196608\n"),
        "{}",
        run.out
    );
}

#[test]
fn the_page_is_self_contained_and_hostile_names_stay_text() {
    let hostile = TRACE.replace(
        "peer:p",
        r#"peer:<script>alert('\"1\"')</script>\n\u001b[2J"#,
    );
    let folder = Folder::new("page", &[("trace.json", hostile.as_bytes())]);
    let run = folder.replay(&["trace.json", "--html", "page.html"]);
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(!run.out.contains('\u{1b}'));
    assert_eq!(run.out.matches("</script>").count(), 1);
    let page = fs::read_to_string(folder.0.join("page.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));
    assert!(page.contains("peer:&lt;script&gt;alert(&#39;&quot;1&quot;&#39;)&lt;/script&gt;"));
    assert!(page.contains("<svg") && !page.contains("http"));
}

#[test]
fn the_page_and_the_table_show_the_limits_that_the_trace_has() {
    let limit = r#""Limit":{"Conns":4,"ConnsInbound":2,"ConnsOutbound":9223372036854775807,"FD":1,"Memory":98304}"#;
    let created = format!(
        r#"{{"Time":"2026-11-22T01:00:00Z","Type":"create_scope","Scope":{{"Class":"peer","Peer":"p"}},"Name":"peer:p",{limit}}}"#
    );
    let trace = format!("{created}\n{TRACE}");
    // The scope exists before the manager is created again, so only a trace without `start` has it.
    let trace = trace.replace(TRACE.lines().next().unwrap(), "");
    let folder = Folder::new("limits", &[("trace.json", trace.as_bytes())]);
    let run = folder.replay(&["trace.json", "--html", "page.html"]);
    assert_eq!(run.status, 0, "{}", run.err);
    let mut rows = run.out.lines().map(str::split_whitespace);
    assert!(
        rows.any(|row| row.eq(["peer:p", "FD", "1", "of", "1"])),
        "{}",
        run.out
    );
    let page = fs::read_to_string(folder.0.join("page.html")).unwrap();
    let page: String = page.lines().collect();
    for cell in [
        r#"<td class="" data-title="ConnsInbound"><b>1</b><i>of 2</i><small>1</small></td>"#,
        r#"<td class="unused" data-title="ConnsOutbound"><b>0</b><small>0</small></td>"#,
        r#"<td class="full" data-title="FD"><b>1</b><i>of 1</i><small>1</small></td>"#,
        r#"<td class="" data-title="Memory"><b>64.0 KiB</b><i>of 96.0 KiB</i><small>64.0 KiB</small></td>"#,
        r#"<span class="look0">ConnsInbound 1 of 2</span>"#,
        r#"<span class="look0">Memory 64.0 KiB of 96.0 KiB</span>"#,
        r#"<title>limit: Memory 64.0 KiB of 96.0 KiB</title>"#,
    ] {
        assert!(page.contains(cell), "{cell}\n{page}");
    }
    let json: Value = serde_json::from_str(&folder.replay(&["trace.json", "--json"]).out).unwrap();
    let scopes = json["scopes"].as_array().unwrap();
    let peer = scopes
        .iter()
        .find(|scope| scope["name"] == "peer:p")
        .unwrap();
    let limit = serde_json::json!({"Conns": 4, "ConnsInbound": 2, "FD": 1, "Memory": 98304, "Streams": 0, "StreamsInbound": 0, "StreamsOutbound": 0});
    assert_eq!(peer["limit"], limit);
    assert_eq!(json["over_time"][0]["conns"].as_array().unwrap().len(), 120);
}

#[test]
fn unknown_types_are_reported_and_skipped() {
    let trace = TRACE.replace("\"start\"", "\"sneeze\\u001b[2J\"");
    let folder = Folder::new("unknown", &[("trace.json", trace.as_bytes())]);
    let run = folder.replay(&["trace.json"]);
    assert_eq!(run.status, 0);
    let said = "note: 1 events have unknown types and were skipped: \"sneeze";
    assert!(
        run.err.starts_with(said) && !run.err.contains('\u{1b}'),
        "{}",
        run.err
    );
}

#[test]
fn a_file_that_is_no_trace_has_status_1_and_no_suggestion() {
    let limits = r#"{"System":{"Conns":12}}"#;
    let files: [(&str, &[u8]); 6] = [
        ("empty.json", b""),
        ("line.json", b"hello"),
        ("limits.json", limits.as_bytes()),
        ("limits.toml", b"[System]\nConns = 12\n"),
        ("array.json", b"[]"),
        ("binary", b"\x7fELF\x02\x01\x01\0\0\n"),
    ];
    let folder = Folder::new("no-trace", &files);
    for (name, _) in files {
        for option in [
            "--top=3",
            "--json",
            "--suggest",
            "--suggest=json",
            "--html=page.html",
        ] {
            let run = folder.replay(&[option, name]);
            assert_eq!((run.status, run.out.as_str()), (1, ""), "{name} {option}");
            assert!(run.err.starts_with(&format!("{name}:")), "{}", run.err);
            assert!(
                run.err
                    .contains("one JSON object a line, in the format of go-libp2p's"),
                "{}",
                run.err
            );
            assert!(!folder.0.join("page.html").exists());
        }
    }
}

#[test]
fn an_early_trace_and_a_byte_order_mark_are_read() {
    let mut early = String::from("\u{feff}");
    for line in TRACE.lines() {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let event = event.as_object_mut().unwrap();
        event.remove("Time");
        event.remove("Scope");
        if let Some(name) = event.remove("Name") {
            event.insert("Scope".to_owned(), name);
        }
        early += &format!("{}\n", serde_json::to_string(&event).unwrap());
    }
    let folder = Folder::new(
        "early",
        &[
            ("early.json", early.as_bytes()),
            ("trace.json", TRACE.as_bytes()),
        ],
    );
    let (early, trace) = (
        folder.replay(&["early.json"]),
        folder.replay(&["trace.json"]),
    );
    assert_eq!(early.status, 0, "{}", early.err);
    assert!(
        early
            .err
            .starts_with("note: 11 events have no time, as in early traces"),
        "{}",
        early.err
    );
    let (_, table) = trace.out.split_once("\n\n").unwrap();
    assert_eq!(early.out, format!("11 events without times\n\n{table}"));
    let page = folder.replay(&["early.json", "--html", "page.html"]);
    assert_eq!(page.status, 0, "{}", page.err);
}

#[test]
fn a_trace_without_requests_suggests_nothing_and_says_so() {
    let start = TRACE.lines().next().unwrap();
    let folder = Folder::new("nothing", &[("trace.json", start.as_bytes())]);
    let run = folder.replay(&["trace.json", "--suggest=json"]);
    assert_eq!((run.status, run.out.as_str()), (0, "{}\n"));
    assert_eq!(
        run.err,
        "note: the trace has no requests, so there is nothing to suggest\n"
    );
}

#[test]
fn an_option_without_effect_is_an_error() {
    let folder = Folder::new("effect", &[("trace.json", TRACE.as_bytes())]);
    for options in [
        &["--headroom", "2"][..],
        &["--headroom", "2", "--json"],
        &["--suggest", "--top", "3"],
        &["--suggest", "--html", "page.html"],
        &["--suggest", "--limits", "limits.toml"],
        &["--suggest", "--memory", "1GiB"],
        &["--suggest", "--fds", "100"],
        &["--suggest", "--budget", "1GiB,100"],
        &["--suggest", "--preset", "libp2p"],
    ] {
        let run = folder.replay(&[&["trace.json"], options].concat());
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{options:?}");
        assert!(run.err.starts_with("error: "), "{options:?}: {}", run.err);
    }
}
