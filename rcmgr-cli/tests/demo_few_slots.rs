//! The part of `rcmgr demo` with a server of few slots. Its clients wait two seconds for an answer, so
//! no other demo runs beside it.

mod demo_report;

use demo_report::{number, rcmgr, report, row};

/// One address takes all slots of a server. A limit per source, which the proxy enforces, leaves
/// them to others.
#[test]
fn behind_the_proxy_every_honest_client_is_served_although_one_address_wants_all_500_slots() {
    for options in [&[][..], &["--one-address"]] {
        let arguments = ["demo", "--seconds=5", "--connections=50", "--no-http"];
        let run = rcmgr(&[&arguments, options].concat());
        let report = report(&run);
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
