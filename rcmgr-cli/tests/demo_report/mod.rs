//! Runs `rcmgr demo`, and reads its report.

use std::process::{Command, Output};

/// Runs the program to its end.
pub fn rcmgr(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What it printed.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// The stdout of a run that must succeed.
pub fn report(run: &Output) -> &str {
    let (report, errors) = (text(&run.stdout), text(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{report}\n{errors}");
    assert!(report.contains("ok: every counter is zero"));
    assert!(report.contains("ok: no limit was ever exceeded"));
    assert!(!report.contains("FAILED"), "{report}");
    report
}

/// The cells after the name of a row.
pub fn row<'a>(report: &'a str, name: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split('|').map(str::trim).skip(1);
    let found = report.lines().find(|line| cells(line).next() == Some(name));
    let Some(line) = found else {
        panic!("no {name} in\n{report}")
    };
    cells(line).skip(1).collect()
}

/// The number in a cell like `12,345`.
pub fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().expect("a number")
}
