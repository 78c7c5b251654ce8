//! Tests files that users have: those of other programs, in other notations and encodings. Each is
//! read, or refused with an error that says what to do.

use std::fs;
use std::path::Path;

use rcmgr_config::{FileFormat, LimitsFile, PartialLimits};
use rcmgr_core::{GIB, LimitValue, Limits, LimitsKey, MIB, Resource};

fn limited(value: u64) -> Option<LimitValue> {
    Some(LimitValue::Limited(value))
}

/// Writes a file of this name and reads it.
fn read(name: &str, text: impl AsRef<[u8]>) -> Result<LimitsFile, String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    fs::write(&path, text).expect("the file can be written");
    LimitsFile::read(&path).map_err(|error| {
        assert_eq!(error.file.as_deref(), Some(Path::new(&path)));
        let text = error.to_string();
        text.replace(&format!("{}/", directory.path().display()), "")
    })
}

#[track_caller]
fn assert_refused(name: &str, text: impl AsRef<[u8]>, start: &str, hint: &str) {
    let error = read(name, text).expect_err("the file is refused");
    assert!(error.starts_with(start), "{error}");
    assert!(error.contains(hint), "{error}");
    assert!(!error.contains("did you mean"), "{error}");
}

const KUBO: &str = r#"{
  "Identity": {"PeerID": "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"},
  "Addresses": {"Swarm": ["/ip4/0.0.0.0/tcp/4001"], "API": "/ip4/127.0.0.1/tcp/5001"},
  "Swarm": {
    "ConnMgr": {"HighWater": 96},
    "ResourceMgr": {
      "Enabled": true,
      "Allowlist": ["/ip4/192.0.2.0/ipcidr/24"],
      "Limits": {
        "System": {
          "Memory": 1073741824,
          "ConnsInbound": 1000
        }
      }
    }
  }
}"#;

#[test]
fn limits_in_a_configuration_of_kubo_are_read() {
    for name in ["config", "kubo.json"] {
        let file = read(name, KUBO).unwrap();
        assert_eq!(file.limits.system.memory, limited(GIB));
        assert_eq!(file.limits.system.conns_inbound, limited(1000));
        assert_eq!(
            file.line(&LimitsKey::System, Resource::ConnsInbound),
            Some(12)
        );
        let limits = file.limits.build(&Limits::unlimited());
        let allowlist = limits.addresses.allowlist.iter().map(ToString::to_string);
        assert_eq!(allowlist.collect::<Vec<_>>(), ["/ip4/192.0.2.0/ipcidr/24"]);
    }
    for wrapped in [
        r#"{"Swarm": {"ResourceMgr": {"Limits": {"System": {"FD": 7}}}}}"#,
        r#"{"ResourceMgr": {"Limits": {"System": {"FD": 7}}}}"#,
        r#"{"Limits": {"System": {"FD": 7}}}"#,
        r#"{"System": {"FD": 7}}"#,
    ] {
        let name = "libp2p-resource-limit-overrides.json";
        assert_eq!(read(name, wrapped).unwrap().limits.system.fd, limited(7));
    }
    let error = read("config", KUBO.replace("Memory", "Memry")).unwrap_err();
    assert_eq!(
        error,
        "config:11: Swarm.ResourceMgr.Limits.System.Memry: unknown key; did you mean \"Memory\"?"
    );
}

#[test]
fn a_configuration_of_kubo_without_limits_says_where_they_are() {
    let overrides = "libp2p-resource-limit-overrides.json";
    let without = r#"{"Swarm": {"ResourceMgr": {}, "ConnMgr": {}}}"#;
    assert_refused(
        "config",
        without,
        "config:1: Swarm.ResourceMgr: ",
        overrides,
    );
    let without = r#"{"Identity": {}, "Swarm": {"ConnMgr": {}}}"#;
    assert_refused("config", without, "config:1: Swarm: ", overrides);
    let null = r#"{"Swarm": {"ResourceMgr": {"Limits": null}}}"#;
    assert_refused("config", null, "config:1: Swarm.ResourceMgr: ", overrides);
    let budget = r#"{"Swarm": {"ResourceMgr": {"MaxMemory": "4GB", "Limits": {}}}}"#;
    assert_refused(
        "config",
        budget,
        "config:1: Swarm.ResourceMgr.MaxMemory: ",
        "budget",
    );
    let off = r#"{"Swarm": {"ResourceMgr": {"Enabled": false, "Limits": {}}}}"#;
    assert_refused(
        "config",
        off,
        "config:1: Swarm.ResourceMgr.Enabled: ",
        "switched off",
    );
    let both = r#"{"System": {"FD": 7}, "Swarm": {"ResourceMgr": {}}}"#;
    assert_refused(
        "limits.json",
        both,
        "limits.json:1: Swarm: ",
        "at the top of the file",
    );
}

#[test]
fn old_scaling_keys_are_explained() {
    let hint = "scaling limits";
    for key in [
        "SystemBaseLimit",
        "SystemLimitIncrease",
        "ServicePeerBaseLimit",
        "ProtocolLimitIncrease",
        "ServiceLimits",
        "ConnBaseLimit",
        "SystemMemory",
        "ConnMemory",
        "ProtocolPeerMemory",
    ] {
        let text = format!("{{\"{key}\": {{\"Memory\": 1}}}}");
        assert_refused(
            "limits.json",
            text,
            &format!("limits.json:1: {key}: "),
            hint,
        );
        let text = format!("[{key}]\nMemory = 1");
        assert_refused(
            "limits.toml",
            text,
            &format!("limits.toml:1: {key}: "),
            hint,
        );
    }
    for key in [
        "BaseLimit",
        "LimitIncrease",
        "BaseLimitIncrease",
        "FDFraction",
        "Dynamic",
    ] {
        let text = format!("{{\"System\": {{\"{key}\": {{}}}}}}");
        let start = format!("limits.json:1: System.{key}: ");
        assert_refused("limits.json", text, &start, hint);
    }
}

#[test]
fn null_is_the_default_as_in_go() {
    let text = r#"{"System": {"FD": null, "Memory": 5}, "Transient": null, "Service": null,
        "Peer": {"tenant-7": null}, "Addresses": null, "DryRun": null}"#;
    let limits = PartialLimits::from_json(text).unwrap();
    let without = r#"{"System": {"Memory": 5}, "Peer": {"tenant-7": {}}}"#;
    assert_eq!(limits, PartialLimits::from_json(without).unwrap());
}

#[test]
fn whole_numbers_are_read_exactly_in_any_notation() {
    let cases = [
        ("1.073741824e+09", GIB),
        ("1024.0", 1024),
        ("1e3", 1000),
        ("9007199254740993.0", 9_007_199_254_740_993),
        ("\"1.073741824e+09\"", GIB),
        ("\"1024.0\"", 1024),
        ("\" 7 \"", 7),
    ];
    for (number, value) in cases {
        for field in [Resource::Memory, Resource::Conns] {
            let name = field.field_name();
            let json = format!("{{\"System\": {{\"{name}\": {number}}}}}");
            let limits = PartialLimits::from_json(&json).expect(&json);
            assert_eq!(limits.system.get(field), limited(value), "{json}");
            let toml = format!("[System]\n{name} = {number}");
            let limits = PartialLimits::from_toml(&toml).expect(&toml);
            assert_eq!(limits.system.get(field), limited(value), "{toml}");
        }
    }
    for number in ["1024.5", "1e-3", "\"10.5\"", "nan", "-5.0"] {
        let toml = format!("[System]\nConns = {number}");
        assert!(PartialLimits::from_toml(&toml).is_err(), "{toml}");
    }
}

#[test]
fn a_size_may_have_spaces_around_it_or_none() {
    for size in [
        "512 MiB",
        "512MiB",
        "512 MiB ",
        " 512 MiB",
        "\\t512  MiB\\n",
        "536870912 ",
    ] {
        let json = format!("{{\"System\": {{\"Memory\": \"{size}\"}}}}");
        let limits = PartialLimits::from_json(&json).expect(&json);
        assert_eq!(limits.system.memory, limited(512 * MIB), "{json}");
    }
    for word in [" unlimited", "default ", " blockAll "] {
        let toml = format!("System.FD = '{word}'");
        assert!(PartialLimits::from_toml(&toml).is_ok(), "{toml}");
    }
}

#[test]
fn a_released_configuration_of_greenfield_is_explained() {
    let text = "
[Rcmgr]
DisableRcmgr = false
[Rcmgr.GfSpLimiter]
[Rcmgr.GfSpLimiter.System]
Memory = 4294967296
Tasks = 10240
TasksHighPriority = 128
Fd = 2147483647
Conns = 2147483647
";
    let start = "config.toml:2: Rcmgr: this configuration of a BNB Greenfield storage provider";
    assert_refused("config.toml", text, start, "to [System]");
    let whole = format!("Env = 'mainnet'\nAppID = 'sp'\n{text}[BlockSyncer]\nWorkers = 50\n");
    assert_refused("config.toml", whole, "config.toml:4: Rcmgr: ", "tasks");
    let beside = format!("{text}[System]\nFD = 1\n");
    assert_refused("config.toml", beside, "config.toml:2: Rcmgr: ", "tasks");
}

#[test]
fn comments_and_trailing_commas_in_json_are_explained() {
    let comment = "JSON has no comments";
    let cases = [
        ("{\n  // the system\n  \"System\": {}}", 2, 3),
        ("{\"System\": {} /* all */}", 1, 15),
        ("{\"System\": {\n# a\n\"FD\": 1}}", 2, 1),
        ("// limits\n{\"System\": {}}", 1, 1),
        ("{\"System\": {}}\n// the end\n", 2, 1),
        ("{\"System\": {\"FD\": // many\n1}}", 1, 19),
    ];
    for (text, line, column) in cases {
        let start = format!("limits.json:{line}: not JSON: a comment (column {column}): ");
        assert_refused("limits.json", text, &start, comment);
    }
    let comma = "JSON has no trailing commas";
    let cases = [
        ("{\"System\": {\"FD\": 1,}}", 1, 21),
        ("{\"System\": {},\n}", 2, 1),
        ("{\"Addresses\": {\"Trusted\": [\"10.0.0.0/8\", ]}}", 1, 42),
    ];
    for (text, line, column) in cases {
        let start =
            format!("limits.json:{line}: not JSON: trailing comma before column {column}: ");
        assert_refused("limits.json", text, &start, comma);
    }
}

#[test]
fn a_text_in_another_syntax_or_encoding_is_explained() {
    let toml = "[System]\nFD = 1\n";
    let json = "{\"System\": {\"FD\": 1}}";
    let yaml = "# limits\nSystem:\n  FD: 1\n";
    assert_refused(
        "limits.json",
        toml,
        "limits.json:1: not JSON: ",
        "it is TOML",
    );
    assert_refused(
        "limits.toml",
        json,
        "limits.toml:1: not TOML: ",
        "it is JSON",
    );
    assert_refused("limits.json", yaml, "limits.json:1: not JSON: ", "YAML");
    assert_refused("limits.toml", yaml, "limits.toml:", "YAML");
    assert_refused(
        "limits.json",
        format!("---\n{yaml}"),
        "limits.json:1: not JSON: ",
        "YAML",
    );
    assert_refused(
        "limits.yaml",
        yaml,
        "limits.yaml: the name ends neither in .json nor in ",
        "",
    );
    assert_refused(
        "limits",
        toml,
        "limits: the name ends neither in .json nor in ",
        "",
    );

    let utf16 = |text: &str, mark: bool| -> Vec<u8> {
        let units = mark
            .then_some(0xfeff)
            .into_iter()
            .chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    for name in ["limits.json", "limits.toml"] {
        for mark in [true, false] {
            let text = utf16(json, mark);
            assert_refused(name, text, name, "save the file as UTF-8");
        }
    }
    assert_refused("limits.json", "", "limits.json: the file is empty", "{}");
    assert_refused("limits.json", " \n", "limits.json: the file is empty", "{}");
    assert_refused(
        "limits.json",
        "[1]",
        "limits.json:1: expected an object with scopes",
        "",
    );
    assert!(read("limits.toml", "").unwrap().limits == PartialLimits::default());
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_one_run() {
    let toml = "[System]
Memry = 1
FD = -1
Conns = 5
[Sevice.x]
FD = 1
[Peer.\"\"]
[Addresses]
Trusted = ['lots', '10.0.0.0/8', 'none']
[Addresses.Subnets]
'IPv4/33' = 1
[DryRun.System]
FD = 'x'
";
    let errors = LimitsFile::from_text_with_all_errors(toml, FileFormat::Toml).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|bad| (bad.line.unwrap(), &*bad.field))
        .collect();
    assert_eq!(
        places,
        [
            (2, "System.Memry"),
            (3, "System.FD"),
            (5, "Sevice"),
            (7, "Peer."),
            (9, "Addresses.Trusted"),
            (9, "Addresses.Trusted"),
            (11, "Addresses.Subnets.\"IPv4/33\""),
            (13, "DryRun.System.FD"),
        ]
    );
    assert_eq!(LimitsFile::from_toml(toml).unwrap_err(), *errors.first());
    assert_eq!(errors.to_string().lines().count(), 8);

    // Keys that occur twice are mistakes of the file, not of its syntax.
    let twice = "[System]\nFD = 1\nFD = 2\nMemry = 1\n[System]\nFD = 3\n";
    let errors = LimitsFile::from_text_with_all_errors(twice, FileFormat::Toml).unwrap_err();
    let lines: Vec<_> = errors.iter().map(|bad| bad.line.unwrap()).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    let twice = "{\"System\": {\"FD\": 1,\n\"FD\": 2,\n\"Memry\": 1},\n\"System\": {}}";
    let errors = LimitsFile::from_text_with_all_errors(twice, FileFormat::Json).unwrap_err();
    let lines: Vec<_> = errors.iter().map(|bad| bad.line.unwrap()).collect();
    assert_eq!(lines, [2, 3, 4]);

    let many: String = (0..2000).map(|n| format!("a{n} = 1\n")).collect();
    let text = format!("[System]\n{many}");
    let errors = LimitsFile::from_text_with_all_errors(&text, FileFormat::Toml).unwrap_err();
    assert_eq!((errors.iter().count(), errors.more()), (50, 1950));
    assert!(errors.to_string().ends_with("\nand 1950 more"));
}
