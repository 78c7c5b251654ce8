//! The output of `rcmgr limits` for programs.

use std::fs;

use rcmgr_atomic::{GIB, Limits};
use rcmgr_config::{PartialLimits, ScalingLimits};

use crate::{PEER, Run, SERVER, server};

/// The limits of the file, calculated with the library.
fn of_server() -> Limits {
    let file = PartialLimits::from_toml(SERVER).unwrap();
    file.build(&ScalingLimits::default().scale(GIB, 1000))
}

#[test]
fn printed_limits_files_give_the_same_limits() {
    let folder = server("again");
    for format in ["json", "toml"] {
        let option = format!("--{format}");
        let text = folder.limits(&["server.toml", &option]).good();
        let name = format!("again.{format}");
        fs::write(folder.0.join(&name), &text).unwrap();

        let again = PartialLimits::read(folder.0.join(&name)).unwrap();
        assert_eq!(again.build(&Limits::unlimited()), of_server(), "{format}");
        // The defaults do not matter.
        let text_again = folder.run(&[&name, "--budget=16MiB,8", "--json"]).good();
        let json = folder.limits(&["server.toml", "--json"]).good();
        assert_eq!(text_again, json, "{format}");
        assert_eq!(
            folder.limits(&["diff", &name, "server.toml"]),
            Run::new(0, "", "")
        );
    }
}

#[test]
fn toml_has_origins_as_comments() {
    let run = server("comments").limits(&["server.toml", "--toml", "--scope", PEER]);
    let expected = format!(
        "# server.toml, over preset libp2p, scaled to 1 GiB of memory and 1000 fds\n\n[{PEER}]\n\
         Streams = 768                 # as PeerDefault: 512 + 256 per GiB × 1 GiB\n\
         StreamsInbound = 384          # as PeerDefault: 256 + 128 per GiB × 1 GiB\n\
         StreamsOutbound = 768         # as PeerDefault: 512 + 256 per GiB × 1 GiB\n\
         Conns = 64                    # server.toml:10\n\
         ConnsInbound = \"unlimited\"    # as PeerDefault: server.toml:7\n\
         ConnsOutbound = 8             # as PeerDefault: fixed in preset libp2p\n\
         FD = 15                       # as PeerDefault: max(4, 1/64 of 1000 fds)\n\
         Memory = 201326592            # as PeerDefault: 64 MiB + 128 MiB per GiB × 1 GiB\n"
    );
    assert_eq!(run.good(), expected);
}

#[test]
fn json_with_origins_is_an_array_of_values() {
    let run = server("list").limits(&["server.toml", "--json", "--explain", "--scope=PeerDefault"]);
    let values: serde_json::Value = serde_json::from_str(&run.good()).unwrap();
    assert_eq!(values.as_array().map(Vec::len), Some(8));
    let expected = serde_json::json!({
        "scope": "PeerDefault", "field": "ConnsInbound", "limit": "unlimited",
        "from": "server.toml:7",
    });
    assert_eq!(values[4], expected);
    assert_eq!(values[7]["limit"], 192 << 20);
}
