//! Runs `rcmgr study`. The times of such short runs have no meaning: these tests check the output.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

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

/// A very short run of the whole study, with its files in a folder.
fn short_run(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let [json, csv, html] = ["report.json", "report.csv", "report.html"].map(path);
    let run = study(&[
        "--seconds=0.05",
        "--rounds=2",
        "--threads=1,2",
        "--peers=100",
        "--json",
        &json,
        "--csv",
        &csv,
        "--html",
        &html,
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    text(&run.stdout).to_owned()
}

#[test]
fn a_short_run_writes_all_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let printed = short_run(folder.path());
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("report.json")).expect("it is JSON");

    check_rows(&json);
    check_csv(&read("report.csv"), &json);
    check_html(&read("report.html"));
    assert!(
        printed.contains("| sharing | threads | engine"),
        "{printed}"
    );
    assert!(printed.contains("| memory, 1 thread"), "{printed}");
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 3, "nothing temporary is left");
}

fn check_rows(json: &Value) {
    let rows = json["rows"].as_array().expect("there are rows");
    let mut seen = HashSet::new();
    for row in rows {
        let name = |field: &str| row[field].as_str().expect("a name").to_owned();
        let number = |field: &str| row[field].as_f64().expect("a number");
        assert!(
            number("ns_per_op") > 0.0 && number("spread") >= 0.0,
            "{row}"
        );
        assert!(number("ops") >= number("threads"), "{row}");
        let [p50, p99, p999] = ["p50_ns", "p99_ns", "p999_ns"].map(number);
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{row}");
        seen.insert((
            name("workload"),
            name("engine"),
            name("sharing"),
            number("threads") as u64,
        ));
    }
    assert_eq!(seen.len(), rows.len(), "each case is there once");
    for workload in [
        "memory",
        "stream",
        "connection",
        "connection-ip",
        "refused",
        "refused-by-id",
        "span",
    ] {
        for engine in ["atomic", "mutex", "floor"] {
            for sharing in ["none", "system", "path"] {
                for threads in [1, 2] {
                    let case = (workload.into(), engine.into(), sharing.into(), threads);
                    assert!(seen.contains(&case), "{case:?}");
                }
            }
        }
    }
    let numbers = |list: &str, field: &str| -> HashSet<u64> {
        let rows = json[list].as_array().expect("there are rows").iter();
        rows.map(|row| row[field].as_u64().expect("a number"))
            .collect()
    };
    assert_eq!(
        numbers("by_scopes", "scopes"),
        HashSet::from([1, 2, 3, 4, 5, 7, 8])
    );
    assert_eq!(numbers("by_peers", "peers"), HashSet::from([10, 100]));
    assert!(json["machine"]["cores"].as_u64() >= Some(1));
}

fn check_csv(csv: &str, json: &Value) {
    let mut lines = csv.lines();
    let names = lines.next().expect("there is a first line");
    let columns = names.split(',').count();
    let mut count = 0;
    for line in lines {
        assert_eq!(line.split(',').count(), columns, "{line}");
        count += 1;
    }
    let lists = ["rows", "by_scopes", "by_peers"];
    let rows = lists.map(|list| json[list].as_array().expect("there are rows").len());
    assert_eq!(count, rows.iter().sum::<usize>());
}

/// Checks that tags are balanced and that the page refers to nothing outside.
fn check_html(html: &str) {
    assert!(html.starts_with("<!doctype html>"));
    let mut open = Vec::new();
    for tag in html.split('<').skip(2) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.trim_start_matches('/').split([' ', '/']).next();
        let name = name.expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for outside in [
        "http:", "https:", "href", "src=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.matches("<svg").count() > 20);
    assert!(!html.contains("NaN") && !html.contains("inf "));
}

#[test]
fn only_the_requested_cases_are_measured() {
    let run = study(&[
        "--seconds=0.02",
        "--workload=span,stream",
        "--engine",
        "mutex",
        "--threads=1",
        "--sharing=path",
        "--peers=0",
        "--rounds=1",
    ]);
    let printed = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let rows = printed.lines().filter(|line| line.starts_with("| path "));
    assert_eq!(rows.count(), 2, "{printed}");
    assert!(
        !printed.contains("memory:") && !printed.contains("peers:"),
        "{printed}"
    );
}

#[test]
fn wrong_arguments_are_errors() {
    for (arguments, complaint) in [
        (&["--workload=memroy"][..], "memory"),
        (&["--engine=fast"], "atomic"),
        (&["--sharing=all"], "path"),
        (&["--threads=0"], "1..=1024"),
        (&["--rounds=0"], "1..=1000"),
        (&["--seconds=soon"], "number of seconds"),
        (&["--seconds=NaN"], "number of seconds"),
        (&["--quick", "--seconds=1"], "--quick"),
        (&["--peers=5"], "expected 0, or a whole number from 10"),
        (
            &["--workload=memory-near-limit", "--peers=100"],
            "--peers has no effect",
        ),
        (
            &["--engine=semaphore", "--workload=span"],
            "none of these engines",
        ),
        (&["--json"], "FILE"),
        (
            &["--machine=desktop"],
            "--machine has no effect without --simulate",
        ),
        (
            &["--machine=desktop", "--seconds=0.02"],
            "--machine has no effect without --simulate",
        ),
        (
            &["--beside-real", "--threads=1"],
            "--beside-real has no effect without --simulate",
        ),
    ] {
        let run = study(arguments);
        let told = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(complaint), "{arguments:?}: {told}");
        assert!(run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unwritable_file_is_found_before_the_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("report.json").display().to_string();
    let bad = folder.path().join("none/report.html").display().to_string();
    // Without the error this run would take five minutes.
    let run = study(&["--json", &good, "--html", &bad]);
    let told = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot write") && told.contains("none/report.html"),
        "{told}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// This device refuses every byte, but only at the end of the study.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_loses_neither_the_others_nor_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("report.csv").display().to_string();
    let run = study(&[
        "--seconds=0.02",
        "--workload=span",
        "--engine=mutex",
        "--threads=1",
        "--sharing=path",
        "--peers=0",
        "--rounds=1",
        "--json=/dev/full",
        "--csv",
        &csv,
    ]);
    let told = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{told}");
    assert!(told.contains("rcmgr: cannot write /dev/full: "), "{told}");
    let csv = fs::read_to_string(&csv).expect("the other file is written");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let printed = text(&run.stdout);
    assert!(printed.contains("| path "), "{printed}");
}

#[test]
fn two_reports_do_not_go_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name).display().to_string();
    let path = in_folder("report");
    let mut others = vec![path.clone(), in_folder("folder/../report")];
    fs::create_dir(in_folder("folder")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path(), in_folder("link")).unwrap();
        others.push(in_folder("link/report"));
    }
    for other in others {
        let run = study(&["--json", &path, "--csv", &other]);
        let told = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{told}");
        assert!(told.contains("more than one report"), "{told}");
    }
}

#[test]
fn a_report_does_not_replace_the_file_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("machine.toml");
    let content = rcmgr_machine::Machine::shipped("desktop")
        .unwrap()
        .to_toml();
    fs::write(&machine, &content).unwrap();
    let other = folder.path().join("./machine.toml");
    let [path, other] = [&machine, &other].map(|path| path.display().to_string());
    let run = study(&["--simulate=cores=1", "--machine", &path, "--json", &other]);
    let told = text(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(told.contains("is the file of --machine"), "{told}");
    assert_eq!(fs::read_to_string(&machine).unwrap(), content);
}

/// The cells of the rows of the table of workloads.
fn rows(printed: &str) -> Vec<Vec<&str>> {
    let lines = printed.lines().filter(|line| line.starts_with("| none "));
    lines
        .map(|line| line.split('|').map(str::trim).skip(1).collect())
        .collect()
}

#[test]
fn one_measurement_has_no_spread() {
    for (rounds, measured_once) in [("1", true), ("2", false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [json, csv] = ["report.json", "report.csv"].map(path);
        let run = study(&[
            "--seconds=0.02",
            "--workload=span,refused",
            "--engine=mutex,atomic",
            "--sharing=none",
            "--threads=1",
            "--peers=0",
            "--rounds",
            rounds,
            "--json",
            &json,
            "--csv",
            &csv,
        ]);
        assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
        let printed = text(&run.stdout);
        let rows = rows(printed);
        assert_eq!(rows.len(), 4, "{printed}");
        for row in rows {
            assert_eq!(row[4] == "n/a", measured_once, "{printed}");
            assert_eq!(row[4].ends_with(" %"), !measured_once, "{printed}");
        }
        let json: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        for row in json["rows"].as_array().unwrap() {
            assert_eq!(row["spread"].is_null(), measured_once, "{row}");
        }
        let csv = fs::read_to_string(csv).unwrap();
        for line in csv.lines().skip(1) {
            let spread = line.rsplit(',').nth(1).unwrap();
            assert_eq!(spread.is_empty(), measured_once, "{line}");
        }
    }
}
