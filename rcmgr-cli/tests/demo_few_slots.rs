//! The part of `rcmgr demo` with a server of few slots. Its clients wait two seconds for an answer, so
//! no other demo runs beside it.

use std::process::Command;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// The cells after the name of a row.
fn row<'a>(report: &'a str, name: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split('|').map(str::trim).skip(1);
    let found = report.lines().find(|line| cells(line).next() == Some(name));
    let Some(line) = found else {
        panic!("no {name} in\n{report}")
    };
    cells(line).skip(1).collect()
}

fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().expect("a number")
}

/// One address takes all slots of a server. A limit per source, which the proxy enforces, leaves
/// them to others.
#[test]
fn behind_the_proxy_every_honest_client_is_served_although_one_address_wants_all_500_slots() {
    for options in [&[][..], &["--one-address"]] {
        let arguments = ["demo", "--seconds=5", "--connections=50", "--no-http"];
        let program = env!("CARGO_BIN_EXE_rcmgr");
        let arguments = [&arguments, options].concat();
        let run = Command::new(program).args(arguments).output();
        let run = run.expect("the program starts");
        let (report, errors) = (text(&run.stdout), text(&run.stderr));
        assert_eq!(run.status.code(), Some(0), "{report}\n{errors}");
        let title = "one address floods a server with 500 slots";
        assert_eq!(row(report, title).len(), 3, "{report}");
        let served = row(report, "honest clients with an answer within 2.0 s");
        assert_eq!(served[1], "200 of 200", "{report}");
        let (without, of) = served[0].split_once(" of ").expect("a part of all");
        assert_eq!(of, "200");
        assert!(number(without) < 20, "{report}");
        let held = row(report, "most slots of the flooding address");
        assert_eq!(held[..2], ["500", "20"]);
        let refused = row(report, "refused by its limit of 20 connections a source");
        assert!(number(refused[1]) > 0, "{report}");
        assert!(report.contains("ok: rcmgr guard: every counter is zero"));
    }
}
