//! Tests limits by address and dry runs in limits files.

use rcmgr_config::{AddressKey, FileFormat, LimitsFile, PartialLimits};
use rcmgr_core::address::{
    AddressConfig, AddressLimits, NetworkLimit, NetworkRate, Rate, SubnetLimit, SubnetRate,
};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{LimitValue, Limits, LimitsKey, Resource};

const TOML: &str = r#"
[Addresses]
Trusted = [
    "127.0.0.0/8",
    "192.0.2.1",
]
TrustLoopback = true
Allowlist = ["/ip4/198.51.100.0/ipcidr/24"]
NAT64 = ["2001:db8:64::/96"]

[Addresses.Subnets]
"IPv4/32" = 8
"ipv4/24" = "64"
"IPv6/56" = "blockAll"
"IPv6/48" = "unlimited"

[Addresses.Networks]
"198.51.100.7/24" = 512
"2001:db8::1" = "unlimited"

[Addresses.Rates]
Global = { PerSecond = 1000, Burst = 4000 }
"IPv4/32" = { PerSecond = 0.2, Burst = 16 }
"IPv6/56" = "unlimited"
"10.0.0.0/8" = "unlimited"
"203.0.113.0/24" = 0
"#;

const JSON: &str = r#"{
    "Addresses": {
        "Trusted": ["127.0.0.0/8", "192.0.2.1"],
        "TrustLoopback": true,
        "Allowlist": ["/ip4/198.51.100.0/ipcidr/24"],
        "NAT64": ["2001:db8:64::/96"],
        "Subnets": {"IPv4/32": 8, "ipv4/24": "64", "IPv6/56": "blockAll", "IPv6/48": "unlimited"},
        "Networks": {"198.51.100.7/24": 512, "2001:db8::1": "unlimited"},
        "Rates": {
            "Global": {"PerSecond": 1e3, "Burst": "4000"},
            "IPv4/32": {"PerSecond": 0.2, "Burst": 16.0},
            "IPv6/56": "unlimited",
            "10.0.0.0/8": "unlimited",
            "203.0.113.0/24": 0
        }
    }
}"#;

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn meant() -> AddressConfig {
    let mut config = AddressConfig {
        trusted: vec![net("127.0.0.0/8"), net("192.0.2.1/32")],
        allowlist: vec!["/ip4/198.51.100.0/ipcidr/24".parse().unwrap()],
        nat64: vec!["2001:db8:64::/96".parse().unwrap()],
        ..AddressConfig::none()
    };
    let size = |prefix_len, conns| SubnetLimit { prefix_len, conns };
    config.subnets.v4 = vec![size(32, 8), size(24, 64)];
    config.subnets.v6 = vec![size(56, 0)];
    config.subnets.v4_networks = vec![NetworkLimit {
        network: net("198.51.100.0/24"),
        conns: LimitValue::Limited(512),
    }];
    config.subnets.v6_networks = vec![NetworkLimit {
        network: net("2001:db8::1/128"),
        conns: LimitValue::Unlimited,
    }];
    let rate = |per_second, burst| Rate { per_second, burst };
    config.rates.global = Some(rate(1000.0, 4000));
    config.rates.v4 = vec![SubnetRate {
        prefix_len: 32,
        rate: rate(0.2, 16),
    }];
    let network = |network, rate| NetworkRate {
        network: net(network),
        rate,
    };
    config.rates.v4_networks = vec![
        network("10.0.0.0/8", None),
        network("203.0.113.0/24", Some(rate(0.0, 0))),
    ];
    config
}

fn reference() -> Limits {
    Limits {
        addresses: AddressLimits::new(AddressConfig::reference_defaults()).unwrap(),
        ..Limits::unlimited()
    }
}

fn built(toml: &str, defaults: &Limits) -> AddressLimits {
    let file = PartialLimits::from_toml(toml).expect(toml);
    file.build(defaults).addresses
}

#[test]
fn limits_by_address_are_read_in_both_formats() {
    let file = PartialLimits::from_toml(TOML).unwrap();
    assert_eq!(PartialLimits::from_json(JSON).unwrap(), file);
    assert_eq!(*file.build(&Limits::unlimited()).addresses, meant());
    // Every list is set, so the defaults have no effect.
    assert_eq!(*file.build(&reference()).addresses, meant());
}

#[test]
fn each_limit_by_address_has_its_line() {
    let file = LimitsFile::from_toml(TOML).unwrap();
    let lines = [
        (AddressKey::Trusted, 3),
        (AddressKey::TrustLoopback, 7),
        (AddressKey::Allowlist, 8),
        (AddressKey::Nat64, 9),
        (AddressKey::SubnetV4(24), 13),
        (AddressKey::SubnetV6(48), 15),
        (AddressKey::Network(net("198.51.100.0/24")), 18),
        (AddressKey::GlobalRate, 22),
        (AddressKey::RateV6(56), 24),
        (AddressKey::NetworkRate(net("203.0.113.0/24")), 26),
    ];
    for (key, line) in lines {
        assert_eq!(file.address_line(&key), Some(line), "{key}");
    }
    assert_eq!(file.address_line(&AddressKey::SubnetV4(16)), None);
    assert_eq!(file.address_lines.len(), 15);
}

#[test]
fn a_list_of_the_file_replaces_the_list_of_the_defaults() {
    let defaults = reference();
    let addresses = built("Addresses.Subnets.\"IPv6/64\" = 4", &defaults);
    let size = SubnetLimit {
        prefix_len: 64,
        conns: 4,
    };
    assert_eq!(addresses.subnets.v6, [size]);
    assert_eq!(addresses.subnets.v4, defaults.addresses.subnets.v4);
    assert_eq!(addresses.rates, defaults.addresses.rates);

    let addresses = built("Addresses.Networks.\"10.0.0.0/8\" = 4", &defaults);
    assert_eq!(addresses.subnets.v4_networks.len(), 1);
    assert_eq!(addresses.subnets.v6_networks, []);
    let addresses = built("Addresses.Trusted = []", &Limits::unlimited());
    assert_eq!(addresses.trusted_networks().count(), 0);
}

#[test]
fn loopback_stays_trusted_beside_other_networks_unless_the_file_says_otherwise() {
    let trusted = |text: &str| {
        let built = built(text, &Limits::unlimited());
        built
            .trusted_networks()
            .map(|network| network.to_string())
            .collect::<Vec<_>>()
    };
    let loopback = ["127.0.0.0/8", "::1/128"];
    assert_eq!(trusted("Addresses.Allowlist = []"), loopback);
    assert_eq!(
        trusted("Addresses.Trusted = ['10.0.0.0/8']"),
        ["127.0.0.0/8", "::1/128", "10.0.0.0/8"],
    );
    assert_eq!(
        trusted("[Addresses]\nTrusted = ['10.0.0.0/8']\nTrustLoopback = false"),
        ["10.0.0.0/8"],
    );
    assert_eq!(trusted("Addresses.TrustLoopback = false"), [""; 0]);
    assert_eq!(trusted("Addresses.Trusted = []"), [""; 0]);
    assert_eq!(
        trusted("[Addresses]\nTrusted = []\nTrustLoopback = true"),
        loopback,
    );
    let as_default = "[Addresses]\nTrusted = []\nTrustLoopback = \"default\"\n";
    assert_eq!(trusted(as_default), loopback);
    let file = PartialLimits::from_toml(as_default).unwrap();
    assert_eq!(file.to_toml(), as_default);
}

#[test]
fn a_list_can_be_emptied_or_left_to_the_defaults() {
    let defaults = reference();
    let emptied = [
        "Addresses.Subnets = 'unlimited'\nAddresses.Networks = 'unlimited'\n\
         Addresses.Rates = 'unlimited'\nAddresses.Trusted = []",
        "[Addresses]\nNetworks = 'unlimited'\nTrusted = []\nSubnets.IPv4 = 'unlimited'\n\
         Subnets.IPv6 = 'unlimited'\nRates.Global = 'unlimited'\nRates.IPv4 = 'unlimited'\n\
         Rates.IPv6 = 'unlimited'\nRates.Networks = 'unlimited'",
    ];
    for text in emptied {
        let none = AddressConfig {
            trust_loopback: false,
            ..AddressConfig::none()
        };
        assert_eq!(*built(text, &defaults), none, "{text}");
    }
    let unset = [
        "[Addresses]",
        "[Addresses.Subnets]\n[Addresses.Networks]\n[Addresses.Rates]",
        "[Addresses]\nTrusted = 'default'\nAllowlist = 'default'\nSubnets = 'default'\n\
         Networks.'10.0.0.0/8' = 'default'\nRates.'IPv4/32' = 'default'\nRates.IPv6 = 'default'",
    ];
    for text in unset {
        assert_eq!(built(text, &defaults), defaults.addresses, "{text}");
        assert_eq!(
            PartialLimits::from_toml(text).unwrap(),
            PartialLimits::default()
        );
    }
    let nulls = r#"{"Addresses": {"Trusted": null, "Subnets": {"IPv4/32": null}, "Rates": null}}"#;
    assert_eq!(
        PartialLimits::from_json(nulls).unwrap(),
        PartialLimits::default()
    );
}

#[test]
fn the_references_limits_by_address_are_there_where_a_file_asks_for_them() {
    let text = "[Addresses]\nReferenceDefaults = true\nSubnets.'IPv4/32' = 20";
    let addresses = built(text, &Limits::unlimited());
    let reference = reference().addresses;
    assert_eq!(addresses.rates, reference.rates);
    assert_eq!(addresses.subnets.v6, reference.subnets.v6);
    assert_eq!(addresses.subnets.v4[0].conns, 20);
    let off = built("Addresses.ReferenceDefaults = false", &Limits::unlimited());
    assert_eq!(off, AddressLimits::default());
}

#[test]
fn a_mistake_in_the_limits_by_address_has_its_line_and_field() {
    let cases = [
        (
            "[Addresses.Subnets]\n\"IPv4/33\" = 8",
            "line 2: Addresses.Subnets.\"IPv4/33\": prefix length 33 is too long, the longest is 32",
        ),
        (
            "[Addresses.Subnets]\n\n\"IPv6/129\" = \"unlimited\"",
            "line 3: Addresses.Subnets.\"IPv6/129\": prefix length 129 is too long, the longest is 128",
        ),
        (
            "[Addresses.Subnets]\n\"IPv4/+8\" = 8",
            "line 2: Addresses.Subnets.\"IPv4/+8\": expected a subnet size such as \"IPv4/32\" or \"IPv6/56\"",
        ),
        (
            "[Addresses.Rates]\n\"IPv4/33\" = { PerSecond = 1, Burst = 1 }",
            "line 2: Addresses.Rates.\"IPv4/33\": prefix length 33 is too long, the longest is 32",
        ),
        (
            "[Addresses.Subnets]\n\"IPv4/32\" = 8\n\"ipv4/32\" = 9",
            "line 3: Addresses.Subnets.\"ipv4/32\": the same as Addresses.Subnets.\"IPv4/32\" on line 2: keep one of them",
        ),
        (
            "[Addresses.Networks]\n\"10.0.0.0/8\" = 8\n\"10.1.2.3/8\" = 9",
            "line 3: Addresses.Networks.\"10.1.2.3/8\": the same as Addresses.Networks.\"10.0.0.0/8\" on line 2: keep one of them",
        ),
        (
            "[Addresses.Subnets]\n\"10.0.0.0/8\" = 8",
            "line 2: Addresses.Subnets.\"10.0.0.0/8\": the limit of a network is in Addresses.Networks",
        ),
        (
            "[Addresses.Networks]\n\"IPv4/32\" = 8",
            "line 2: Addresses.Networks.\"IPv4/32\": the limit of each subnet of a size is in Addresses.Subnets",
        ),
        (
            "[Addresses.Networks]\n\"office\" = 8",
            "line 2: Addresses.Networks.\"office\": expected a network such as \"198.51.100.0/24\"",
        ),
        (
            "[Addresses.Subnets]\n\"IPv5/32\" = 8",
            "line 2: Addresses.Subnets.\"IPv5/32\": expected a subnet size such as \"IPv4/32\" or \"IPv6/56\"",
        ),
        (
            "[Addresses.Subnets]\n\"IPv4/32\" = -1",
            "line 2: Addresses.Subnets.\"IPv4/32\": -1 is negative; expected a number, \"unlimited\", \"blockAll\" or \"default\"",
        ),
        (
            "[Addresses.Subnets]\nIPv4 = 8",
            "line 2: Addresses.Subnets.\"IPv4\": expected \"unlimited\" or \"default\"; a number needs a size, as in \"IPv4/32\"",
        ),
        (
            "[Addresses]\nTrusted = [\n\"10.0.0.0/8\",\n\"lots\"]",
            "line 4: Addresses.Trusted: \"lots\" is neither a network such as \"10.0.0.0/8\" nor an address",
        ),
        (
            "[Addresses]\nTrusted = \"10.0.0.0/8\"",
            "line 2: Addresses.Trusted: expected an array of networks, found a string",
        ),
        (
            "[Addresses]\nTrusted = [8]",
            "line 2: Addresses.Trusted: expected networks as strings, found a number",
        ),
        (
            "[Addresses]\nNAT64 = [\"10.0.0.0/8\"]",
            "line 2: Addresses.NAT64: \"10.0.0.0/8\" is not an IPv6 prefix such as \"2001:db8:64::/96\"",
        ),
        (
            "[Addresses]\nReferenceDefaults = 1",
            "line 2: Addresses.ReferenceDefaults: expected true or false, found a number",
        ),
        (
            "[Addresses.Rates]\n\"IPv4/32\" = 8",
            "line 2: Addresses.Rates.\"IPv4/32\": found a number; expected a table with PerSecond and Burst, \"unlimited\", \"blockAll\" or \"default\"",
        ),
        (
            "[Addresses.Rates.\"IPv4/32\"]\nPerSecond = 8",
            "line 1: Addresses.Rates.\"IPv4/32\": Burst is missing",
        ),
        (
            "[Addresses.Rates.Global]\nBurst = 1\nPerSecond = -0.5",
            "line 3: Addresses.Rates.Global.PerSecond: -0.5 is negative",
        ),
        (
            "[Addresses.Rates.Global]\nBurst = 1\nPerSecond = inf",
            "line 3: Addresses.Rates.Global.PerSecond: inf is not finite",
        ),
        (
            "[Addresses.Rates.Global]\nBurst = 4294967296\nPerSecond = 1",
            "line 2: Addresses.Rates.Global.Burst: 4294967296 is too large; the largest burst is 2^32 - 1",
        ),
        (
            "[Addresses.Rates.Global]\nBurst = 1\nPerSecond = 1\nPerSeconds = 1",
            "line 4: Addresses.Rates.Global.PerSeconds: unknown key; did you mean \"PerSecond\"?",
        ),
        (
            "[Addresses]\nSubnet = {}",
            "line 2: Addresses.Subnet: unknown key; did you mean \"Subnets\"?",
        ),
        (
            "Addresses = 8",
            "line 1: Addresses: expected a table with settings such as Subnets, found a number",
        ),
    ];
    for (text, expected) in cases {
        let error = PartialLimits::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }
    let sizes: String = (0..9).map(|len| format!("\"IPv6/{len}\" = 1\n")).collect();
    let error = PartialLimits::from_toml(&format!("[Addresses.Subnets]\n{sizes}")).unwrap_err();
    assert_eq!(error.line, Some(10));
    assert_eq!(error.field, "Addresses.Subnets.\"IPv6/8\"");
    let allowlist = "{\"Addresses\": {\"Allowlist\": [\n\"/ip4/192.0.2.7/ipcidr/33\"]}}";
    let error = PartialLimits::from_json(allowlist).unwrap_err();
    assert_eq!(
        (error.line, error.field.as_str()),
        (Some(2), "Addresses.Allowlist")
    );
    assert!(error.reason.contains("/ip4/192.0.2.7/ipcidr/33"), "{error}");
}

#[test]
fn limits_by_address_are_written_as_they_are_read() {
    let addresses = AddressLimits::new(meant()).unwrap();
    let limits = Limits {
        addresses,
        ..Limits::unlimited()
    };
    let text = PartialLimits::from(&limits).to_toml();
    let (_, written) = text.split_once("[Stream]").unwrap();
    let (_, written) = written.split_once("\n\n").unwrap();
    assert_eq!(
        written,
        r#"[Addresses]
Trusted = ["127.0.0.0/8", "192.0.2.1/32"]
TrustLoopback = true
Allowlist = ["/ip4/198.51.100.0/ipcidr/24"]
NAT64 = ["2001:db8:64::/96"]

[Addresses.Subnets]
"IPv4/32" = 8
"IPv4/24" = 64
"IPv6/56" = "blockAll"

[Addresses.Networks]
"198.51.100.0/24" = 512
"2001:db8::1/128" = "unlimited"

[Addresses.Rates]
Global = { PerSecond = 1000.0, Burst = 4000 }
"IPv4/32" = { PerSecond = 0.2, Burst = 16 }
IPv6 = "unlimited"
"10.0.0.0/8" = "unlimited"
"203.0.113.0/24" = "blockAll"
"#,
    );
    let json = PartialLimits::from_toml("Addresses.Rates.Global = {PerSecond = 3, Burst = 1}");
    assert_eq!(
        json.unwrap().to_json(),
        r#"{
  "Addresses": {
    "Rates": {
      "Global": {
        "PerSecond": 3.0,
        "Burst": 1
      }
    }
  }
}
"#,
    );
    let nothing = PartialLimits::from(&Limits::unlimited()).to_toml();
    let (_, written) = nothing.split_once("[Addresses]\n").unwrap();
    let start = "Trusted = []\nTrustLoopback = true\nAllowlist = []\n";
    assert!(written.starts_with(start), "{written}");
    assert!(
        written.contains("\nNetworks = \"unlimited\"\n"),
        "{written}"
    );
}

#[test]
fn a_dry_run_is_as_enforced_but_for_what_it_sets() {
    let text = "
        [PeerDefault]
        Conns = 8
        [Service.uploads]
        Conns = 100
        [DryRun.PeerDefault]
        Conns = 4
        [DryRun.Service.uploads]
        Streams = 5
        [DryRun.Peer.tenant-7]
        FD = 1
        [DryRun.Addresses.Subnets]
        'IPv4/32' = 2
    ";
    let file = LimitsFile::from_toml(text).unwrap();
    let limits = file.limits.build(&reference());
    let dry_run = limits.dry_run.clone().unwrap();
    assert_eq!(limits.peer_default.conns, LimitValue::Limited(8));
    assert_eq!(limits.addresses, reference().addresses);
    assert_eq!(dry_run.peer_default.conns, LimitValue::Limited(4));
    assert_eq!(dry_run.service["uploads"].conns, LimitValue::Limited(100));
    assert_eq!(dry_run.service["uploads"].streams, LimitValue::Limited(5));
    let tenant = &dry_run.peer[&"tenant-7".parse().unwrap()];
    assert_eq!(
        (tenant.conns, tenant.fd),
        (LimitValue::Limited(4), LimitValue::Limited(1))
    );
    assert_eq!(dry_run.addresses.subnets.v4[0].conns, 2);
    assert_eq!(dry_run.addresses.subnets.v6, limits.addresses.subnets.v6);
    assert_eq!(dry_run.dry_run, None);
    let field = (LimitsKey::PeerDefault, Resource::Conns);
    assert_eq!(file.dry_run_lines[&field], 7);
    assert_eq!(file.dry_run_address_lines[&AddressKey::SubnetV4(32)], 13);
    assert_eq!(file.lines[&field], 3);

    let again = PartialLimits::from_json(&file.limits.to_json()).unwrap();
    assert_eq!(again, file.limits);
    let all = PartialLimits::from(&limits).to_toml();
    let all = PartialLimits::from_toml(&all).unwrap();
    assert_eq!(all.build(&Limits::unlimited()), limits);
}

#[test]
fn a_dry_run_without_a_name_of_the_enforced_limits_keeps_its_default_when_it_is_written() {
    let mut limits = Limits::unlimited();
    limits
        .peer
        .insert("a".parse().unwrap(), rcmgr_core::Limit::BLOCK_ALL);
    limits.dry_run = Some(Limits::unlimited().into());
    let written = PartialLimits::from(&limits).to_json();
    let read = PartialLimits::from_json(&written).unwrap();
    let dry_run = read.build(&Limits::unlimited()).dry_run.unwrap();
    assert_eq!(
        dry_run.peer_limit(&"a".parse().unwrap()),
        rcmgr_core::Limit::UNLIMITED
    );
}

#[test]
fn an_empty_dry_run_is_the_same_as_the_enforced_limits() {
    for (text, format) in [
        ("[DryRun]\n[System]\nFD = 7", FileFormat::Toml),
        (r#"{"DryRun": {}, "System": {"FD": 7}}"#, FileFormat::Json),
    ] {
        let file = LimitsFile::from_text_with_all_errors(text, format).unwrap();
        let limits = file.limits.build(&Limits::unlimited());
        let dry_run = limits.dry_run.unwrap();
        assert_eq!(dry_run.system, limits.system);
        assert_eq!(
            PartialLimits::from_toml(&file.limits.to_toml()).unwrap(),
            file.limits
        );
    }
    let none = PartialLimits::from_json(r#"{"DryRun": null}"#).unwrap();
    assert_eq!(none, PartialLimits::default());
}

#[test]
fn a_mistake_in_a_dry_run_has_its_line_and_field() {
    let cases = [
        (
            "[DryRun.System]\nMemry = 1",
            "line 2: DryRun.System.Memry: unknown key; did you mean \"Memory\"?",
        ),
        (
            "[DryRun.Addresses.Subnets]\n\"IPv4/33\" = 1",
            "line 2: DryRun.Addresses.Subnets.\"IPv4/33\": prefix length 33 is too long, the longest is 32",
        ),
        (
            "[DryRun.DryRun.System]\nFD = 1",
            "line 1: DryRun.DryRun: a dry run has no dry run of its own: remove it",
        ),
        (
            "DryRun = true",
            "line 1: DryRun: expected a table with limits such as System, found a boolean",
        ),
    ];
    for (text, expected) in cases {
        let error = PartialLimits::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn networks_that_contradict_each_other_are_mistakes_and_never_a_panic() {
    let cases = [
        (
            "Trusted = ['10.0.0.0/8',\n'10.1.2.3/8']",
            3,
            "Addresses.Trusted",
            "listed twice",
        ),
        (
            "Trusted = ['10.0.0.1',\n'::ffff:10.0.0.1']",
            3,
            "Addresses.Trusted",
            "listed twice",
        ),
        (
            "Trusted = ['2002::/16']",
            2,
            "Addresses.Trusted",
            "2002::/16",
        ),
        (
            "NAT64 = ['2001:db8::/33']",
            2,
            "Addresses.NAT64",
            "RFC 6052",
        ),
        (
            "NAT64 = ['2001:db8::/96',\n'2001:db8::/96']",
            3,
            "Addresses.NAT64",
            "listed twice",
        ),
        (
            "NAT64 = ['2001:db8::/32',\n'2001:db8::/96']",
            3,
            "Addresses.NAT64",
            "overlaps",
        ),
        (
            "Networks.'2001:db8:64::/96' = 8\nNAT64 = ['2001:db8:64::/96']",
            2,
            "Addresses.Networks.\"2001:db8:64::/96\"",
            "IPv4",
        ),
        (
            "Rates.'2001:db8:64::/96' = 'unlimited'\nNAT64 = ['2001:db8:64::/96']",
            2,
            "Addresses.Rates.\"2001:db8:64::/96\"",
            "IPv4",
        ),
        // The same address in two forms that only the prefix makes the same.
        (
            "NAT64 = ['2001:db8:64::/96']\nNetworks.'192.0.2.7' = 8\nNetworks.'2001:db8:64::c000:207' = 9",
            2,
            "Addresses",
            "listed twice",
        ),
    ];
    for (text, line, field, reason) in cases {
        let text = format!("[Addresses]\n{text}");
        let error = PartialLimits::from_toml(&text).expect_err(&text);
        assert_eq!(
            (error.line, error.field.as_str()),
            (Some(line), field),
            "{error}"
        );
        assert!(error.reason.contains(reason), "{error}");
    }
    let many: Vec<_> = (0..17).map(|n| format!("'2001:db8:{n:x}::/96'")).collect();
    let error = PartialLimits::from_toml(&format!("Addresses.NAT64 = [{}]", many.join(",")));
    assert!(error.unwrap_err().reason.contains("at most 16"));
}

#[test]
fn a_list_of_the_defaults_that_contradicts_the_file_is_left_out() {
    let nat64 = "Addresses.NAT64 = ['2001:db8:64::/96']";
    let network = "Addresses.Networks.'2001:db8:64::/96' = 8";
    for (defaults, file) in [(nat64, network), (network, nat64)] {
        let defaults = PartialLimits::from_toml(defaults).unwrap();
        let defaults = defaults.build(&reference());
        let file = PartialLimits::from_toml(file).unwrap();
        let built = file.build(&defaults).addresses;
        let of_file = file.addresses.values();
        assert_eq!(built.nat64, of_file.nat64);
        assert_eq!(built.subnets.v6_networks, of_file.subnets.v6_networks);
        assert_eq!(built.subnets.v4, reference().addresses.subnets.v4);
        assert_eq!(built.rates, reference().addresses.rates);
        let mut both = file.clone();
        both.apply(&PartialLimits::from(&defaults));
        assert_eq!(both.build(&Limits::unlimited()).addresses, built);
    }
}
