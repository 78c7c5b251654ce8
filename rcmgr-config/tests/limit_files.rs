//! Tests the parsing and writing of limits files, and their error messages.

mod support;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

use proptest::prelude::*;
use rcmgr_config::{LimitsFile, PartialLimits};
use rcmgr_core::{BadConfiguration, GIB, Limit, LimitValue, Limits, LimitsKey, MIB, Resource};

/// A temporary file with this text. Removed when it is dropped.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let file = env::temp_dir().join(format!("rcmgr-{}-{name}", process::id()));
        fs::write(&file, text).expect("the temporary directory is writable");
        Self(file)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // A leftover file in the temporary directory does no harm.
        let _ = fs::remove_file(&self.0);
    }
}

fn limited(value: u64) -> Option<LimitValue> {
    Some(LimitValue::Limited(value))
}

fn json_error(text: &str) -> String {
    PartialLimits::from_json(text).expect_err(text).to_string()
}

fn toml_error(text: &str) -> String {
    PartialLimits::from_toml(text).expect_err(text).to_string()
}

const COUNT: &str = r#"expected a number, "unlimited", "blockAll" or "default""#;
const BYTES: &str =
    r#"expected bytes, a size such as "512 MiB", "unlimited", "blockAll" or "default""#;

#[test]
fn a_field_is_a_number_or_a_word_in_both_formats() {
    let json = r#"{
        "System": {"Streams": 7, "StreamsInbound": "7", "StreamsOutbound": "unlimited",
            "Conns": "blockAll", "ConnsInbound": 0, "ConnsOutbound": "default", "FD": 18446744073709551615,
            "Memory": "1048576"},
        "Conn": {"Memory": 1048576},
        "Stream": {"Memory": "1.5 GiB"}
    }"#;
    let toml = r#"
        Conn.Memory = 0x10_0000
        Stream = { Memory = "1.5 GiB" }
        [System]
        Streams = 7
        StreamsInbound = "7"
        StreamsOutbound = "unlimited"
        Conns = "blockAll"
        ConnsInbound = 0
        ConnsOutbound = "default"
        FD = "18446744073709551615"
        Memory = "1048576"
    "#;
    let limits = PartialLimits::from_json(json).unwrap();
    assert_eq!(PartialLimits::from_toml(toml).unwrap(), limits);
    assert_eq!(limits.system.streams, limited(7));
    assert_eq!(limits.system.streams_inbound, limited(7));
    assert_eq!(limits.system.streams_outbound, Some(LimitValue::Unlimited));
    assert_eq!(limits.system.conns, Some(LimitValue::BLOCK_ALL));
    assert_eq!(limits.system.conns_inbound, Some(LimitValue::BLOCK_ALL));
    assert_eq!(limits.system.conns_outbound, None);
    assert_eq!(limits.system.fd, Some(LimitValue::Unlimited));
    assert_eq!(limits.system.memory, limited(MIB));
    assert_eq!(limits.conn.memory, limited(MIB));
    assert_eq!(limits.stream.memory, limited(GIB + GIB / 2));
}

#[test]
fn the_service_variants_file_is_read() {
    let text = "
        [SystemLimit]
        Conns = 128
        ConnsInbound = 64
        ConnsOutbound = 64
        FD = 256
        Memory = 1073741824
        [Service.uploads]
        Conns = 32
        Memory = 134217728
    ";
    let limits = PartialLimits::from_toml(text)
        .unwrap()
        .build(&Limits::unlimited());
    assert_eq!(limits.system.memory, LimitValue::Limited(GIB));
    assert_eq!(limits.system.fd, LimitValue::Limited(256));
    assert_eq!(limits.service["uploads"].conns, LimitValue::Limited(32));
    assert_eq!(limits.service["uploads"].fd, LimitValue::Unlimited);
    assert_eq!(limits.transient.fd, LimitValue::Unlimited);
}

#[test]
fn one_scope_under_two_names_is_an_error() {
    assert_eq!(
        toml_error("[SystemLimit]\nFD = 1\n[System]\nFD = 1"),
        "line 3: System: the same as SystemLimit on line 1: keep one of them",
    );
    let base58 = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";
    let peer: rcmgr_core::PeerId = base58.parse().unwrap();
    let hex: String = peer
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let error = json_error(&format!(
        "{{\"Peer\": {{\n\"{base58}\": {{}},\n\"0x{hex}\": {{}}}}}}"
    ));
    assert!(error.starts_with("line 3: Peer.0x"), "{error}");
    assert!(
        error.ends_with(&format!(
            "the same as Peer.{base58} on line 2: keep one of them"
        )),
        "{error}"
    );
}

#[test]
fn an_error_has_the_line_and_field() {
    let system = |field: &str| json_error(&format!("{{\n\"System\": {{\n{field}}}}}"));
    let cases = [
        (r#""Memry": 1"#, r#"Memry: unknown key; did you mean "Memory"?"#.into()),
        (r#""fd": 1"#, r#"fd: unknown key; did you mean "FD"?"#.into()),
        (r#""Tasks": 1"#, "Tasks: unknown key; the known keys are Streams, StreamsInbound, \
            StreamsOutbound, Conns, ConnsInbound, ConnsOutbound, FD, Memory".into()),
        (r#""FD": "lots""#, format!(r#"FD: found "lots"; {COUNT}"#)),
        (r#""FD": """#, format!(r#"FD: found ""; {COUNT}"#)),
        (r#""FD": "+7""#, format!(r#"FD: found "+7"; {COUNT}"#)),
        (r#""FD": "1 KiB""#, format!(r#"FD: found "1 KiB"; {COUNT}"#)),
        (r#""FD": -1"#, format!("FD: -1 is negative; {COUNT}")),
        (r#""FD": 1.5"#, format!("FD: 1.5 is not a whole number; {COUNT}")),
        (r#""FD": 1.5e0"#, format!("FD: 1.5e0 is not a whole number; {COUNT}")),
        (r#""FD": true"#, format!("FD: found a boolean; {COUNT}")),
        (r#""FD": [1]"#, format!("FD: found an array; {COUNT}")),
        (r#""FD": {}"#, format!("FD: found an object; {COUNT}")),
        (r#""FD": 18446744073709551616"#, "FD: 18446744073709551616 is too large; the largest value is 2^64 - 1".into()),
        (r#""FD": 1, "FD": 1"#, "FD: given twice, first on line 3".into()),
        (r#""Memory": "lots""#, format!(r#"Memory: found "lots"; {BYTES}"#)),
        (r#""Memory": "Unlimited""#, format!(r#"Memory: found "Unlimited"; {BYTES}"#)),
        (r#""Memory": "12x""#, r#"Memory: "12x": unknown unit "x": use B, KiB, MiB, GiB, TiB, PiB, EiB, kB, MB, GB, TB, PB, EB"#.into()),
        (r#""Memory": "16 EiB""#, r#"Memory: "16 EiB": too large; the largest size is 2^64 - 1 bytes"#.into()),
    ];
    for (field, expected) in cases {
        assert_eq!(system(field), format!("line 3: System.{expected}"));
    }
}

#[test]
fn an_error_in_a_scope_is_reported() {
    let cases = [
        (
            r#"{"Sytem": {}}"#,
            r#"line 1: Sytem: unknown key; did you mean "System"?"#,
        ),
        (
            r#"{"System": 7}"#,
            "line 1: System: expected an object with limits such as Memory, found a number",
        ),
        (
            r#"{"Service": 7}"#,
            "line 1: Service: expected an object with an entry for each name, found a number",
        ),
        (
            "{\"Service\": {\n\"Memory\": 5}}",
            "line 2: Service.Memory: expected an object with limits such as Memory, found a number",
        ),
        (
            r#"{"Service": {}, "Service": {}}"#,
            "line 1: Service: given twice, first on line 1",
        ),
        (
            r#"{"Service": {"dht": {"Memory": -1}}}"#,
            &format!("line 1: Service.dht.Memory: -1 is negative; {BYTES}"),
        ),
        (
            r#"{"Peer": {"QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ0y": {}}}"#,
            "line 1: Peer.QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ0y: it starts like a \
             libp2p peer id but is not valid; check its spelling",
        ),
        (
            r#"{"Peer": {"": {}}}"#,
            "line 1: Peer.: a peer id must not be empty",
        ),
        (
            "[]",
            "line 1: expected an object with scopes such as \"System\"",
        ),
        ("", "line 1: not JSON: EOF while parsing a value"),
        ("{\n", "line 2: not JSON: EOF while parsing an object"),
        ("{}\n\n{}", "line 3: not JSON: trailing characters"),
        (
            "{\"System\":\n{\"FD\":\n01}}",
            "line 3: not JSON: invalid number",
        ),
        ("\0", "line 1: not JSON: expected value"),
    ];
    for (text, expected) in cases {
        assert_eq!(json_error(text), expected);
    }
    let long = "x".repeat(48);
    assert_eq!(
        json_error(&format!("{{\"Peer\": {{\"{long}\": {{}}}}}}")),
        format!("line 1: Peer.{long}: a peer id may have at most 47 bytes, this one has 48"),
    );
    let cases = [
        (
            "System = 7",
            "line 1: System: expected a table with limits such as Memory, found a number",
        ),
        (
            "[[System]]",
            "line 1: System: expected a table with limits such as Memory, found an array",
        ),
        (
            "\n[System]\nFD = 2026-01-01",
            &format!("line 3: System.FD: found a date or time; {COUNT}"),
        ),
        ("\n[System]\nFD = -0x1", "line 3: not TOML: "),
        (
            "[System]\nFD = inf",
            &format!("line 2: System.FD: inf is not a whole number; {COUNT}"),
        ),
        (
            "[System]\nFD = 99999999999999999999",
            "line 2: System.FD: 99999999999999999999 is too large; the largest value is 2^64 - 1",
        ),
        (
            "[System]\nFD = 1\n[System]\nFD = 2",
            "line 3: not TOML: duplicate key",
        ),
        (
            "[System]\nFD = 1\nFD = 2",
            "line 3: not TOML: duplicate key",
        ),
        (
            "[Service.dht]\nFD = 1\n[Sevice.x]",
            "line 3: Sevice: unknown key; did you mean \"Service\"?",
        ),
        // The first error in the order of the file, not of the alphabet.
        (
            "[System]\nb = 1\na = 1",
            "line 2: System.b: unknown key; the known keys are Streams",
        ),
        ("\0", "line 1: not TOML: "),
    ];
    for (text, expected) in cases {
        let error = toml_error(text);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn deep_or_long_input_uses_little_stack_and_has_short_errors() {
    for deep in [200, 100_000] {
        let arrays = "[".repeat(deep) + &"]".repeat(deep);
        let objects = "{\"Service\":".repeat(deep) + "{}" + &"}".repeat(deep);
        let tables = format!("Service{} = 1", ".x".repeat(deep));
        for text in [
            &arrays,
            &format!("{{\"System\": {arrays}}}"),
            &objects,
            &"[".repeat(deep),
        ] {
            assert!(json_error(text).len() < 200);
        }
        for text in [
            &format!("a = {arrays}"),
            &format!("a = {}", "{a=".repeat(deep)),
            &tables,
        ] {
            assert!(toml_error(text).len() < 200);
        }
    }
    let long = "x".repeat(1_000_000);
    for text in [
        format!("{{\"{long}\": 1}}"),
        format!("{{\"Service\": {{\"{long}\": 1}}}}"),
        format!("{{\"System\": {{\"{long}\": 1}}}}"),
        format!("{{\"System\": {{\"Memory\": \"{long}\"}}}}"),
        format!("{{\"System\": {{\"Memory\": \"1{long}\"}}}}"),
        format!("{{\"System\": {{\"FD\": 1{}}}}}", "0".repeat(1_000_000)),
    ] {
        let error = json_error(&text);
        assert!(error.len() < 600, "{error}");
    }
    let larger = " ".repeat(4 << 20) + "{}";
    assert_eq!(
        json_error(&larger),
        "longer than 4 MiB, too large for a limits file"
    );
    assert!(PartialLimits::from_json(&larger[2..]).is_ok());
}

#[test]
fn a_file_is_read_by_its_name_and_named_in_errors() {
    let good = TempFile::new(
        "good.toml",
        "\u{feff}[Service.dht]\r\nFD = 3\r\nConns = 'default'\r\n",
    );
    let file = LimitsFile::read(&good.0).unwrap();
    assert_eq!(file.path.as_ref(), Some(&good.0));
    let dht = LimitsKey::Service("dht".into());
    assert_eq!(file.line(&dht, Resource::Fd), Some(2));
    assert_eq!(file.line(&dht, Resource::Conns), None);
    assert_eq!(file.line(&LimitsKey::System, Resource::Fd), None);
    assert_eq!(file.limits.service["dht"].fd, limited(3));

    let bad = TempFile::new("bad.toml", "[System]\n\nMemry = 1\n");
    assert_eq!(
        PartialLimits::read(&bad.0).unwrap_err(),
        BadConfiguration {
            file: Some(bad.0.clone()),
            line: Some(3),
            field: "System.Memry".into(),
            reason: "unknown key; did you mean \"Memory\"?".into(),
        },
    );
    let bytes = TempFile::new("bytes.json", b"{\n\"\xff\": 1}");
    let error = PartialLimits::read(&bytes.0).unwrap_err();
    assert_eq!(
        (error.line, error.reason.as_str()),
        (Some(2), "not UTF-8 text")
    );

    let large = TempFile::new("large.json", vec![b' '; (4 << 20) + 1]);
    let error = PartialLimits::read(&large.0).unwrap_err();
    assert_eq!(
        error.reason,
        "longer than 4 MiB, too large for a limits file"
    );

    let absent = env::temp_dir().join("rcmgr-there-is-no-such-file.json");
    assert_eq!(PartialLimits::read(&absent).unwrap_err().file, Some(absent));
    let error = PartialLimits::read("limits.yaml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "limits.yaml: the name ends neither in .json nor in .toml"
    );
}

#[test]
fn each_field_has_the_line_of_its_key() {
    let json = "{\n\n\"Service\": {\"a\": {\n\"FD\":\n1, \"Memory\": 2}},\n\"Conn\": {\"FD\": 3}}";
    let file = LimitsFile::from_json(json).unwrap();
    let service = LimitsKey::Service("a".into());
    let lines: Vec<_> = file.lines.into_iter().collect();
    assert_eq!(
        lines,
        [
            ((service.clone(), Resource::Memory), 5),
            ((service, Resource::Fd), 4),
            ((LimitsKey::Conn, Resource::Fd), 6),
        ],
    );
}

#[test]
fn fields_are_written_in_the_references_order() {
    let text = r#"{"Stream": {"Memory": 1, "FD": 0, "ConnsOutbound": 2, "Streams": "unlimited"},
        "System": {"Conns": "default"}, "Service": {"B": {}, "A": {"FD": 9223372036854775807}}}"#;
    let limits = PartialLimits::from_json(text).unwrap();
    let json: String = limits.to_json().split_whitespace().collect();
    assert_eq!(
        json,
        r#"{"Service":{"A":{"FD":9223372036854775807},"B":{}},"Stream":{"Streams":"unlimited","ConnsOutbound":2,"FD":"blockAll","Memory":"1"}}"#,
    );
    assert_eq!(
        limits.to_toml(),
        "[Service.A]\nFD = 9223372036854775807\n\n[Service.B]\n\n[Stream]\n\
            Streams = \"unlimited\"\nConnsOutbound = 2\nFD = \"blockAll\"\nMemory = 1\n",
    );
    assert_eq!(PartialLimits::default().to_json(), "{}\n");
    assert_eq!(PartialLimits::default().to_toml(), "");
    assert_eq!(PartialLimits::from_toml(""), Ok(PartialLimits::default()));
}

fn limit() -> impl Strategy<Value = Limit> {
    proptest::array::uniform8(support::limit_value()).prop_map(|values| {
        let mut limit = Limit::UNLIMITED;
        for (resource, value) in Resource::ALL.into_iter().zip(values) {
            *limit.get_mut(resource) = value;
        }
        limit
    })
}

fn limits() -> BoxedStrategy<Limits> {
    (support::partial_limits(), limit())
        .prop_map(|(partial, default)| {
            let mut defaults = Limits::unlimited();
            let keys: Vec<_> = defaults.entries().map(|(key, _)| key).collect();
            for key in keys {
                defaults.set(key, default);
            }
            partial.build(&defaults)
        })
        .boxed()
}

proptest! {
    #[test]
    fn partial_limits_survive_the_round_trip_through_both_formats(limits in support::partial_limits()) {
        let json = limits.to_json();
        prop_assert_eq!(PartialLimits::from_json(&json), Ok(limits.clone()), "{}", json);
        let toml = limits.to_toml();
        prop_assert_eq!(PartialLimits::from_toml(&toml), Ok(limits.clone()), "{}", toml);
    }

    #[test]
    fn concrete_limits_survive_the_round_trip_over_any_defaults(
        limits in limits(),
        default in limit(),
        addresses in support::address_limits(),
    ) {
        let mut defaults = Limits { addresses, ..Limits::unlimited() };
        let keys: Vec<_> = defaults.entries().map(|(key, _)| key).collect();
        for key in keys {
            defaults.set(key, default);
        }
        let partial = PartialLimits::from(&limits);
        let json = PartialLimits::from_json(&partial.to_json());
        prop_assert_eq!(json.map(|partial| partial.build(&defaults)), Ok(limits.clone()));
        let toml = PartialLimits::from_toml(&partial.to_toml());
        prop_assert_eq!(toml.map(|partial| partial.build(&defaults)), Ok(limits));
    }
}

#[test]
fn a_known_key_in_the_wrong_table_is_told_where_it_belongs() {
    let cases = [
        (
            "Conns = 5\n",
            "line 1: Conns: a limit of no scope; it must be in the table of one, such as \
             System.Conns",
        ),
        (
            "StreamsInbound = 5\n",
            "line 1: StreamsInbound: a limit of no scope; it must be in the table of one, such as \
             System.StreamsInbound",
        ),
        (
            "[DryRun]\nfd = 5\n",
            "line 2: DryRun.fd: a limit of no scope; it must be in the table of one, such as \
             System.FD",
        ),
        (
            "[System]\nFD = 5\n[Subnets]\n'IPv4/32' = 8\n",
            "line 3: Subnets: this key must be in Addresses",
        ),
        (
            "Trusted = ['10.0.0.0/8']\n",
            "line 1: Trusted: this key must be in Addresses",
        ),
    ];
    for (text, expected) in cases {
        let error = PartialLimits::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}
