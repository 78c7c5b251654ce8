//! The origins of limits, and their arithmetic.

use rcmgr_atomic::GIB;
use rcmgr_config::ByteSize;

use crate::{Folder, PEER, server, squeezed};

#[test]
fn every_value_is_explained() {
    let folder = server("explain");
    let run = folder.limits(&["server.toml", "--explain"]);
    let cases = [
        "System.Memory 512 MiB server.toml:2",
        "System.Conns 256 128 + 128 per GiB × 1 GiB",
        "AllowlistedSystem.FD 1000 max(256, 1/1 of 1000 fds)",
        "AllowlistedSystem.Memory 1.125 GiB 128 MiB + 1 GiB per GiB × 1 GiB",
        "ProtocolPeerDefault.Memory 16777220 B 16 MiB + 4 B per GiB × 1 GiB",
        "PeerDefault.ConnsInbound unlimited server.toml:7",
        "PeerDefault.ConnsOutbound 8 fixed in preset libp2p",
        "Conn.FD 1 fixed in preset libp2p",
        "Waiters 1024 fixed in preset libp2p",
        &format!("{PEER}.Conns 64 server.toml:10"),
        &format!("{PEER}.ConnsInbound unlimited as PeerDefault: server.toml:7"),
        &format!("{PEER}.FD 15 as PeerDefault: max(4, 1/64 of 1000 fds)"),
    ];
    for case in cases {
        let (field, _) = case.split_once(' ').unwrap();
        assert_eq!(squeezed(run.line(&format!("{field} "))), case);
    }
    assert_eq!(run.out.lines().count(), 1 + 12 * 8 + 1);

    let small = folder.run(&["--memory=100MiB", "--fds=1", "--explain"]);
    let line = squeezed(small.line("System.Memory"));
    assert_eq!(
        line,
        "System.Memory 128 MiB 128 MiB, nothing is added up to 128 MiB"
    );
    assert!(small.line("System.FD").ends_with("max(256, 1/1 of 1 fds)"));
}

/// Evaluates the calculation that an origin shows.
fn reckoned(origin: &str) -> Option<u128> {
    let size = |text: &str| {
        let ByteSize(bytes) = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        u128::from(bytes)
    };
    if let Some((base, rest)) = origin.split_once(" + ") {
        let (per_gib, memory) = rest.split_once(" per GiB × ")?;
        return Some(size(base) + size(per_gib) * size(memory) / u128::from(GIB));
    }
    if let Some(larger) = origin.strip_prefix("max(") {
        let (base, rest) = larger.strip_suffix(" fds)")?.split_once(", ")?;
        let (share, fds) = rest.split_once(" of ")?;
        let (numerator, denominator) = share.split_once('/')?;
        return Some(size(base).max(size(numerator) * size(fds) / size(denominator)));
    }
    if let Some((base, _)) = origin.split_once(", nothing is added") {
        return Some(size(base));
    }
    let (least, share) = match origin.strip_prefix("at least 1, ") {
        Some(share) => (1, share),
        None => (0, origin),
    };
    let (budget, rest) = share.strip_prefix("budget ")?.split_once(" × ")?;
    let (part, whole) = rest.split_once(" / ")?;
    Some((size(budget) * size(part) / size(whole)).max(least))
}

#[test]
fn origins_add_up() {
    let folder = Folder::new("arithmetic", &[]);
    let mut count = 0;
    for preset in ["default", "server"] {
        for of in [
            ["--memory=1GiB", "--fds=1000"],
            ["--memory=100MiB", "--fds=1"],
            ["--memory=7777777777", "--fds=12345"],
            ["--budget=512MiB,4096", "--explain"],
            ["--budget=16MiB,8", "--explain"],
            ["--budget=7777777777,12345", "--explain"],
        ] {
            let arguments = [&["--json", "--preset", preset], &of[..]].concat();
            let explain = if of.contains(&"--explain") {
                &[][..]
            } else {
                &["--explain"]
            };
            let text = folder.run(&[&arguments, explain].concat()).good();
            let values: serde_json::Value = serde_json::from_str(&text).unwrap();
            for value in values.as_array().unwrap() {
                let origin = value["from"].as_str().unwrap();
                if let Some(reckoned) = reckoned(origin) {
                    assert_eq!(
                        value["limit"].as_u64().map(u128::from),
                        Some(reckoned),
                        "{value}"
                    );
                    count += 1;
                } else {
                    let known = [
                        "the budget",
                        "fixed in preset libp2p",
                        "fixed in preset server",
                    ];
                    assert!(known.contains(&origin), "{value}");
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn the_system_gets_exactly_the_budget() {
    let folder = Folder::new("budget", &[]);
    let run = folder.run(&["--budget", "512MiB,4096", "--preset=server", "--explain"]);
    let cases = [
        "System.Memory 512 MiB the budget",
        "System.FD 4096 the budget",
        "System.Conns 2560 512 + 4096 per GiB × 512 MiB",
        "ServiceDefault.FD 3072 budget 4096 × 3072 / 4096",
        "ServiceDefault.Memory 384 MiB budget 512 MiB × 480 MiB / 640 MiB",
        "Stream.FD 0 fixed in preset server",
    ];
    for case in cases {
        let (field, _) = case.split_once(' ').unwrap();
        assert_eq!(squeezed(run.line(&format!("{field} "))), case);
    }
    let table = folder.run(&["--budget", "512 MiB, 4096"]);
    assert_eq!(
        table.line("preset"),
        "preset server, within a budget of 512 MiB of memory and 4096 fds"
    );
    assert!(table.line("System ").ends_with("  budget"));
    let both = folder.run(&["--budget=512MiB,4096", "--fds=1"]).wrong_use();
    assert!(both.contains("cannot be used with"), "{both}");
}
