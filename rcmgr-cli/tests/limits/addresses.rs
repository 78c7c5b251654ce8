//! Limits by address and dry runs.

use std::fs;

use rcmgr_config::PartialLimits;

use crate::{Folder, Run, squeezed};

const FILE: &str = r#"[PeerDefault]
ConnsInbound = 8

[Addresses]
Trusted = ["10.0.0.0/8"]
Allowlist = ["/ip4/192.0.2.0/ipcidr/24"]

[Addresses.Subnets]
"IPv4/32" = 8

[Addresses.Networks]
"198.51.100.0/24" = 512

[Addresses.Rates]
"IPv4/32" = { PerSecond = 0.2, Burst = 16 }

[DryRun.PeerDefault]
ConnsInbound = 4

[DryRun.Addresses.Subnets]
"IPv4/32" = 3
"#;

fn folder(test: &str) -> Folder {
    Folder::new(test, &[("server.toml", FILE)])
}

#[test]
fn limits_by_address_are_shown_with_their_origins() {
    let run = folder("addresses").limits(&["server.toml"]);
    let lines = [
        "Addresses.Trusted 10.0.0.0/8 server.toml:5",
        "Addresses.Allowlist /ip4/192.0.2.0/ipcidr/24 server.toml:6",
        "Addresses.NAT64 none fixed in preset libp2p",
        "Addresses.Subnets.\"IPv4/32\" 8 server.toml:9",
        "Addresses.Networks.\"198.51.100.0/24\" 512 server.toml:12",
        "Addresses.Rates.\"IPv4/32\" 0.2 per second, 16 at once server.toml:15",
        // The dry run shows what differs from the enforced limits.
        "DryRun.PeerDefault.ConnsInbound 4 8 server.toml:18",
        "DryRun.Addresses.Subnets.\"IPv4/32\" 3 8 server.toml:21",
    ];
    for line in lines {
        let (field, _) = line.split_once(' ').unwrap();
        assert_eq!(squeezed(run.line(&format!("{field} "))), line);
    }
    let dry_run = run.out.lines().filter(|line| line.starts_with("DryRun."));
    assert_eq!(dry_run.count(), 2, "{run:?}");

    let explained = folder("addresses-explained").limits(&["server.toml", "--explain"]);
    let line = "Addresses.Subnets.\"IPv4/32\" 8 server.toml:9";
    assert_eq!(
        squeezed(explained.line("Addresses.Subnets.\"IPv4/32\" ")),
        line
    );
    let text = folder("addresses-json")
        .limits(&["server.toml", "--explain", "--json"])
        .good();
    let values: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rate = serde_json::json!({
        "scope": "Addresses", "field": "Rates.\"IPv4/32\"",
        "limit": { "PerSecond": 0.2, "Burst": 16 }, "from": "server.toml:15",
    });
    let values = values.as_array().unwrap();
    assert!(values.contains(&rate), "{values:?}");
    let dry_run = serde_json::json!({
        "scope": "DryRun", "field": "PeerDefault.ConnsInbound",
        "limit": 4, "from": "server.toml:18",
    });
    assert!(values.contains(&dry_run), "{values:?}");
}

#[test]
fn the_later_file_has_the_whole_list_of_its_limits_by_address() {
    let files = [
        ("a.toml", FILE),
        ("b.json", r#"{"Addresses": {"Subnets": {"IPv4/24": 64}}}"#),
        ("c.toml", "[Addresses]\nReferenceDefaults = true\n"),
    ];
    let folder = Folder::new("addresses-two", &files);
    let run = folder.limits(&["a.toml", "b.json"]);
    let line = squeezed(run.line("Addresses.Subnets.\"IPv4/24\" "));
    assert_eq!(line, "Addresses.Subnets.\"IPv4/24\" 64 b.json:1");
    let others = run.out.lines();
    let others = others.filter(|line| line.starts_with("Addresses.Subnets.\"IPv4/32\""));
    assert_eq!(others.count(), 0, "{run:?}");
    assert!(
        run.line("Addresses.Trusted ").ends_with("a.toml:5"),
        "{run:?}"
    );

    let reference = folder.limits(&["a.toml", "c.toml"]);
    let line = squeezed(reference.line("Addresses.Subnets.\"IPv6/56\" "));
    assert_eq!(
        line,
        "Addresses.Subnets.\"IPv6/56\" 8 ReferenceDefaults in c.toml"
    );
}

#[test]
fn printed_files_have_the_limits_by_address_and_the_dry_run() {
    let folder = folder("addresses-again");
    let expected = PartialLimits::from_toml(FILE)
        .unwrap()
        .build(&rcmgr_config::ScalingLimits::default().scale(rcmgr_atomic::GIB, 1000));
    for format in ["json", "toml"] {
        let option = format!("--{format}");
        let text = folder.limits(&["server.toml", &option]).good();
        let name = format!("again.{format}");
        fs::write(folder.0.join(&name), &text).unwrap();
        let again = PartialLimits::read(folder.0.join(&name)).unwrap();
        let built = again.build(&rcmgr_config::ScalingLimits::server().scale(1 << 34, 9));
        assert_eq!(built, expected, "{text}");
        let same = folder.limits(&["diff", &name, "server.toml"]);
        assert_eq!(same, Run::new(0, "", ""));
    }
    let toml = folder.limits(&["server.toml", "--toml"]).good();
    let comments: Vec<_> = toml.lines().map(squeezed).collect();
    for line in [
        "\"IPv4/32\" = 8 # server.toml:9",
        "ConnsInbound = 4 # server.toml:18",
        "\"IPv4/32\" = 3 # server.toml:21",
    ] {
        assert!(
            comments.iter().any(|comment| comment == line),
            "{line} in {toml}"
        );
    }
}

#[test]
fn differences_of_addresses_and_dry_runs_are_listed() {
    let new = FILE
        .replace("\"IPv4/32\" = 8", "\"IPv4/32\" = 16\n\"IPv6/56\" = 9")
        .replace("ConnsInbound = 8", "ConnsInbound = 7")
        .replace("ConnsInbound = 4", "ConnsInbound = 5");
    let none = "[PeerDefault]\nConnsInbound = 8\n";
    let files = [("old.toml", FILE), ("new.toml", &new), ("none.toml", none)];
    let folder = Folder::new("addresses-diff", &files);
    let expected = "PeerDefault.ConnsInbound: 8 -> 7\n\
                    Addresses.Subnets.\"IPv4/32\": 8 -> 16\n\
                    Addresses.Subnets.\"IPv6/56\": unlimited -> 9\n\
                    DryRun.PeerDefault.ConnsInbound: 4 -> 5\n";
    // The dry run takes the new list of IPv6 subnets over.
    assert_eq!(
        folder.limits(&["diff", "old.toml", "new.toml"]),
        Run::new(1, expected, "")
    );
    let removed = folder.limits(&["diff", "old.toml", "none.toml"]);
    assert_eq!(removed.status, 1);
    for line in [
        "Addresses.Trusted: 10.0.0.0/8 -> none",
        "Addresses.Subnets.\"IPv4/32\": 8 -> unlimited",
        "DryRun: removed",
        "DryRun.PeerDefault.ConnsInbound: 4 -> 8",
    ] {
        assert!(
            removed.out.lines().any(|found| found == line),
            "{line} in {removed:?}"
        );
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_one_run() {
    let file = "[System]\nMemry = 1\n[PeerDefault]\nConns = -1\n[Addresses.Subnets]\n\
                \"IPv4/33\" = 8\n[DryRun.Sytem]\nFD = 1\n";
    let folder = Folder::new("all-mistakes", &[("bad.toml", file), ("good.toml", FILE)]);
    let run = folder.limits(&["check", "bad.toml", "good.toml"]);
    assert_eq!(run.status, 1);
    for line in [2, 4, 6, 7] {
        let place = format!("bad.toml:{line}: ");
        let found = run
            .err
            .lines()
            .filter(|mistake| mistake.starts_with(&place));
        assert_eq!(found.count(), 1, "{place} in {}", run.err);
    }
    assert!(!run.out.contains("bad.toml"), "{run:?}");
    assert!(run.out.starts_with("good.toml: ok"), "{run:?}");
    // The same in the other commands.
    let shown = folder.limits(&["bad.toml"]).wrong_file();
    let diff = folder
        .limits(&["diff", "good.toml", "bad.toml"])
        .wrong_file();
    for errors in [shown, diff] {
        assert_eq!(errors.lines().count(), 4, "{errors}");
    }
}

#[test]
fn limits_of_a_dry_run_that_cannot_work_are_warnings() {
    let file = "[System]\nFD = 500\n[DryRun.PeerDefault]\nFD = 5000\n";
    let run = Folder::new("dry-warnings", &[("dry.toml", file)]).limits(&["check", "dry.toml"]);
    let line = "dry.toml:4: warning: DryRun.PeerDefault.FD: 5000 cannot be reached: System allows \
                500\n";
    assert_eq!(run.err, line);
    assert_eq!(
        (run.status, run.out.as_str()),
        (0, "dry.toml: ok, 1 warning\n")
    );
}
