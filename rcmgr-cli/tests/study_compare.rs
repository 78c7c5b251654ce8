//! Runs `rcmgr study --compare` on made-up files, and checks the files of a simulated run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn study(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .arg("study")
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

fn compare(before: &Path, after: &Path) -> Output {
    let [before, after] = [before, after].map(|path| path.to_str().expect("the path is text"));
    study(&["--compare", before, after])
}

/// A row of `span` on `threads`, with these times in its rounds.
fn row(engine: &str, threads: usize, rounds: &[f64]) -> Value {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    json!({
        "workload": "span", "engine": engine, "threads": threads, "sharing": "path",
        "simulated": false, "ns_per_op": sorted[sorted.len() / 2], "interval": [low, high],
        "cpu_ns_per_op": null, "ops": 100, "p50_ns": 1, "p99_ns": 2, "p999_ns": 3,
        "spread": 0.01, "rounds": rounds.len(), "ns_of_rounds": rounds, "cpu_ns_of_rounds": [],
    })
}

/// A file with these rows. The rest of it is from a real run.
fn file(folder: &TempDir, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.path().join(name);
    let mut report = short_run(folder);
    report["rows"] = rows.into();
    fs::write(&path, report.to_string()).unwrap();
    path
}

fn short_run(folder: &TempDir) -> Value {
    let path = folder.path().join("short.json");
    if !path.exists() {
        let run = study(&[
            "--seconds=0.02",
            "--workload=span",
            "--engine=mutex",
            "--threads=1",
            "--sharing=path",
            "--peers=0",
            "--json",
            path.to_str().unwrap(),
        ]);
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    }
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

const STEADY: [f64; 5] = [100.0, 101.0, 99.0, 100.5, 99.5];

#[test]
fn a_run_does_not_differ_from_itself() {
    let folder = tempfile::tempdir().unwrap();
    let run = file(
        &folder,
        "run.json",
        &[row("atomic", 1, &STEADY), row("mutex", 2, &STEADY)],
    );
    let compared = compare(&run, &run);
    let printed = text(&compared.stdout);
    assert_eq!(compared.status.code(), Some(0), "{printed}");
    let summary =
        "2 cases in both runs: 0 slower, 0 faster, 2 the same within noise, 0 with too few rounds";
    assert!(printed.starts_with(summary), "{printed}");
    assert!(compared.stderr.is_empty());
}

#[test]
fn cases_that_differ_by_more_than_noise_are_shown_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let times = |factor: f64| STEADY.map(|ns| ns * factor);
    let before = [
        row("atomic", 1, &STEADY),
        row("atomic", 2, &STEADY),
        row("mutex", 1, &STEADY),
        row("floor", 1, &STEADY),
    ];
    let after = [
        row("atomic", 1, &times(1.2)),
        row("atomic", 2, &times(0.7)),
        row("mutex", 1, &times(1.004)),
        row("null", 1, &STEADY),
    ];
    let compared = compare(
        &file(&folder, "before.json", &before),
        &file(&folder, "after.json", &after),
    );
    let printed = text(&compared.stdout);
    assert_eq!(compared.status.code(), Some(1), "{printed}");
    let rows: Vec<Vec<&str>> = printed
        .lines()
        .filter(|line| line.starts_with("| span"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 2, "{printed}");
    assert_eq!(rows[0][..2], ["span, sharing path, 1 thread", "atomic"]);
    assert_eq!(rows[0][2..5], ["100", "120", "1.20"]);
    assert_eq!((rows[0][6], rows[1][6]), ("slower", "faster"));
    assert!(
        printed.contains("3 cases in both runs: 1 slower, 1 faster, 1 the same"),
        "{printed}"
    );
    assert!(
        printed.contains("note: only in the first run: 1 case\n"),
        "{printed}"
    );
}

#[test]
fn cases_with_very_unequal_rounds_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let slow: Vec<f64> = (0..16).map(|round| 200.0 + f64::from(round)).collect();
    let before = [row("atomic", 1, &STEADY), row("mutex", 1, &STEADY)];
    let after = [row("atomic", 1, &slow), row("mutex", 1, &slow[..15])];
    let compared = compare(
        &file(&folder, "before.json", &before),
        &file(&folder, "after.json", &after),
    );
    let printed = text(&compared.stdout);
    assert!(
        printed
            .contains("note: over three times as many rounds in one run as in the other: 1 case. "),
        "{printed}"
    );
    assert_eq!(
        printed.matches("slower, unequal rounds").count(),
        1,
        "{printed}"
    );
}

#[test]
fn runs_without_a_common_case_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "one.json", &[row("atomic", 1, &STEADY)]);
    let other = file(&folder, "other.json", &[row("atomic", 2, &STEADY)]);
    let empty = file(&folder, "empty.json", &[]);
    for (before, after) in [(&one, &other), (&empty, &empty)] {
        let compared = compare(before, after);
        let told = text(&compared.stderr);
        assert_eq!(compared.status.code(), Some(1), "{told}");
        assert!(told.contains("share no case"), "{told}");
        assert!(compared.stdout.is_empty());
    }
}

#[test]
fn other_conditions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [row("atomic", 1, &STEADY)];
    let before = file(&folder, "before.json", &rows);
    let mut other: Value = serde_json::from_str(&fs::read_to_string(&before).unwrap()).unwrap();
    other["machine"]["cpu"] = "Abacus \u{1b}[31m".into();
    let after = folder.path().join("after.json");
    fs::write(&after, other.to_string()).unwrap();
    let compared = compare(&before, &after);
    let printed = text(&compared.stdout);
    assert_eq!(compared.status.code(), Some(0), "{printed}");
    assert!(
        printed.contains("note: the processor differs: "),
        "{printed}"
    );
    assert!(printed.contains("\"Abacus \\u{1b}[31m\""), "{printed}");
}

#[test]
fn a_bad_file_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good.json", &[row("atomic", 1, &STEADY)]);
    let content = fs::read_to_string(&good).unwrap();
    let missing = folder.path().join("none.json");
    let bad = folder.path().join("bad.json");
    for (replaced, by, complaint) in [
        (
            "",
            "",
            "bad.json: this is no report of rcmgr study --json: EOF while parsing",
        ),
        (
            "\"span\"",
            "\"spam\"",
            "rows[0].workload: there is no workload \"spam\"",
        ),
        (
            "\"rounds\":5",
            "\"rounds\":6",
            "threads: span, atomic, 1 threads, sharing path: ns_of_rounds",
        ),
        ("\"cores\":", "\"core\":", "machine: missing field `cores`"),
        ("101.0", "-101.0", "is not above 0"),
    ] {
        assert!(content.contains(replaced), "{replaced}: {content}");
        let content = match replaced {
            "" => String::new(),
            _ => content.replace(replaced, by),
        };
        fs::write(&bad, content).unwrap();
        for (before, after) in [(&good, &bad), (&bad, &good)] {
            let compared = compare(before, after);
            let told = text(&compared.stderr);
            assert_eq!(compared.status.code(), Some(1), "{told}");
            assert!(told.contains(complaint), "{complaint}: {told}");
            assert!(compared.stdout.is_empty());
        }
    }
    let compared = compare(&good, &missing);
    let told = text(&compared.stderr);
    assert_eq!(compared.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot read") && told.contains("none.json: "),
        "{told}"
    );
}

#[test]
fn a_comparison_takes_two_files_and_no_other_option() {
    for arguments in [
        &["--compare", "a.json"][..],
        &["--compare", "a.json", "b.json", "--quick"],
    ] {
        let run = study(arguments);
        assert_eq!(
            run.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&run.stderr)
        );
    }
}

#[test]
fn a_simulated_run_beside_reality_writes_the_rows_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let [json, csv, html] = ["run.json", "run.csv", "run.html"].map(path);
    let run = study(&[
        "--simulate=cores=1,2,4",
        "--machine=desktop",
        "--beside-real",
        "--workload=memory",
        "--engine=floor,atomic",
        "--sharing=path",
        "--json",
        &json,
        "--csv",
        &csv,
        "--html",
        &html,
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let report: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let simulated: Vec<_> = rows.iter().filter(|row| row["simulated"] == true).collect();
    assert_eq!(simulated.len(), 6);
    let measured = rows.iter().find(|row| row["simulated"] == false).unwrap();
    for row in &simulated {
        // With credit, threads do not meet: only the floor has hot words.
        for field in measured.as_object().unwrap().keys() {
            assert!(row.get(field).is_some(), "{field}: {row}");
        }
        let of = &row["simulation"];
        for field in ["transfers_per_op", "failed_cas_per_op", "waiting_ns_per_op"] {
            assert!(of[field].as_f64().is_some(), "{field}: {row}");
        }
        assert!(
            row["threads"] == 1
                || row["engine"] == "atomic"
                || of["hottest"][0]["name"].is_string(),
            "{row}"
        );
    }
    let law = &report["curves"].as_array().unwrap()[0];
    assert!(law["contention"].as_f64() >= Some(0.0) && law["coherence"].as_f64() >= Some(0.0));
    assert_eq!(report["method"]["arguments"][0], "study");

    let printed = text(&run.stdout);
    assert!(
        printed.contains("| atomic (s) ") && printed.contains("hottest words: "),
        "{printed}"
    );
    assert!(printed.contains("scalability: "), "{printed}");
    let csv = fs::read_to_string(&csv).unwrap();
    assert_eq!(
        csv.lines().filter(|line| line.contains(",true,")).count(),
        6,
        "{csv}"
    );
    let html = fs::read_to_string(&html).unwrap();
    assert!(html.contains("<th>atomic (s)</th>") && html.contains("line dashed"));

    // A report of a simulation can be compared as well.
    let compared = study(&["--compare", &json, &json]);
    assert_eq!(
        compared.status.code(),
        Some(0),
        "{}",
        text(&compared.stderr)
    );
    // With two cores, there are measured rows of several threads.
    let has_model = !report["model"].as_array().unwrap().is_empty();
    assert_eq!(has_model, report["machine"]["cores"].as_u64() >= Some(2));
    assert_eq!(
        has_model,
        printed.contains("model beside reality: throughput"),
        "{printed}"
    );
    // The order of the engines is compared on one core, too.
    assert!(html.contains("The model beside reality"));
}

#[test]
fn one_core_beside_reality_has_the_order_of_the_engines() {
    let run = study(&[
        "--simulate=cores=1",
        "--beside-real",
        "--workload=memory",
        "--engine=floor,atomic",
        "--sharing=path",
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let printed = text(&run.stdout);
    for expected in [
        "model beside reality: the order of the engines",
        " of 1 orders of engines differ",
        "note: left out: scaling beside reality: ",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn a_simulated_run_alone_says_nothing_about_rounds_and_clocks() {
    let run = study(&[
        "--simulate=cores=1",
        "--workload=memory",
        "--engine=floor",
        "--sharing=path",
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let printed = text(&run.stdout);
    assert!(printed.contains("| floor (s) "), "{printed}");
    for absent in ["the time was over", "to read the clock", "scalability: "] {
        assert!(!printed.contains(absent), "{absent}: {printed}");
    }
}
