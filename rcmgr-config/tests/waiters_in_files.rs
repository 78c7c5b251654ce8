//! Tests the number of requests that may wait, in limits files.

use rcmgr_config::{Budget, LimitsExt, LimitsFile, PartialLimits, ScalingLimits};
use rcmgr_core::{GIB, LimitValue, Limits, MIB};

fn limited(value: u64) -> Option<LimitValue> {
    Some(LimitValue::Limited(value))
}

#[test]
fn waiters_have_the_notations_of_other_limits_in_both_formats() {
    let cases = [
        ("16", limited(16)),
        ("\"16\"", limited(16)),
        ("1.6e1", limited(16)),
        ("0", limited(0)),
        ("\"blockAll\"", limited(0)),
        ("\"unlimited\"", Some(LimitValue::Unlimited)),
        ("18446744073709551615", Some(LimitValue::Unlimited)),
        ("\"default\"", None),
    ];
    for (value, waiters) in cases {
        let json = LimitsFile::from_json(&format!("{{\n\"Waiters\": {value}}}")).unwrap();
        let toml = LimitsFile::from_toml(&format!("\nWaiters = {value}\n")).unwrap();
        for file in [json, toml] {
            assert_eq!(file.limits.waiters, waiters, "{value}");
            assert_eq!(file.waiters_line, waiters.map(|_| 2), "{value}");
        }
    }
    let null = LimitsFile::from_json(r#"{"Waiters": null}"#).unwrap();
    assert_eq!((null.limits.waiters, null.waiters_line), (None, None));
}

#[test]
fn every_table_lets_the_same_number_wait_and_a_file_sets_another() {
    let budget = Budget {
        memory: 512 * MIB,
        fds: 4096,
    };
    let tables = [
        Limits::auto_scale(),
        budget.limits(),
        budget.limits_of(&ScalingLimits::server()),
        ScalingLimits::server().scale(0, 0),
    ];
    let file = |text| PartialLimits::from_toml(text).unwrap();
    for table in &tables {
        assert_eq!(table.waiters, Limits::WAITERS);
        let silent = file("[System]\nFD = 9\n").build(table);
        assert_eq!(silent.waiters, Limits::WAITERS);
        assert_eq!(file("Waiters = 7").build(table).waiters, 7.into());
    }
    // Without any limit, nothing limits the queues either.
    let unlimited = file("[System]\nFD = 9\n").build(&Limits::unlimited());
    assert_eq!(unlimited.waiters, LimitValue::Unlimited);
}

#[test]
fn the_first_of_two_files_that_sets_waiters_wins() {
    let mut first = PartialLimits::default();
    first.apply(&PartialLimits::from_toml("Waiters = 5").unwrap());
    first.apply(&PartialLimits::from_toml("Waiters = 6").unwrap());
    assert_eq!(first.waiters, limited(5));
}

#[test]
fn waiters_are_written_before_the_tables() {
    let mut limits = PartialLimits {
        waiters: limited(16),
        ..PartialLimits::default()
    };
    limits.system.conns = limited(100);
    let toml = "Waiters = 16\n\n[System]\nConns = 100\n";
    assert_eq!(limits.to_toml(), toml);
    let json = "{\n  \"Waiters\": 16,\n  \"System\": {\n    \"Conns\": 100\n  }\n}\n";
    assert_eq!(limits.to_json(), json);
    limits.system.conns = None;
    for (value, text) in [
        (LimitValue::BLOCK_ALL, "\"blockAll\""),
        (LimitValue::Unlimited, "\"unlimited\""),
    ] {
        limits.waiters = Some(value);
        assert_eq!(limits.to_toml(), format!("Waiters = {text}\n"));
        assert_eq!(PartialLimits::from_toml(&limits.to_toml()).unwrap(), limits);
    }
}

#[test]
fn a_wrong_value_and_a_wrong_place_are_reported_with_their_line() {
    let expected = "expected a number, \"unlimited\", \"blockAll\" or \"default\"";
    let top =
        "this number is for all scopes: write Waiters at the top of the file, before the tables";
    let cases = [
        (
            "Waiters = '4 KiB'",
            format!("line 1: Waiters: found \"4 KiB\"; {expected}"),
        ),
        (
            "\nWaiters = -1",
            format!("line 2: Waiters: -1 is negative; {expected}"),
        ),
        (
            "[Waiters]\nFD = 1",
            format!("line 1: Waiters: found a table; {expected}"),
        ),
        (
            "Waiter = 5",
            "line 1: Waiter: unknown key; did you mean \"Waiters\"?".into(),
        ),
        (
            "waiters = 5",
            "line 1: waiters: unknown key; did you mean \"Waiters\"?".into(),
        ),
        // In TOML the key of a line below a header belongs to that table.
        (
            "[System]\nFD = 5\nWaiters = 5",
            format!("line 3: System.Waiters: {top}"),
        ),
        (
            "[Peer.tenant-7]\nwaiters = 5",
            format!("line 2: Peer.tenant-7.waiters: {top}"),
        ),
        (
            "[Addresses]\nWaiters = 5",
            format!("line 2: Addresses.Waiters: {top}"),
        ),
        (
            "Waiters = 5\n[DryRun]\nWaiters = 6",
            "line 3: DryRun.Waiters: a dry run refuses nothing, so nothing waits in it: remove \
             this key"
                .into(),
        ),
    ];
    for (text, expected) in cases {
        let error = PartialLimits::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let twice = "{\"Waiters\": 1,\n\"Waiters\": 2}";
    let error = PartialLimits::from_json(twice).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: Waiters: given twice, first on line 1"
    );
}

#[test]
fn files_of_other_programs_are_read_as_before() {
    let kubo = r#"{"Addresses": {"Swarm": []}, "Swarm": {"ResourceMgr": {"Limits":
        {"Waiters": 9, "System": {"Conns": 5}}}}}"#;
    let limits = PartialLimits::from_json(kubo).unwrap();
    assert_eq!(
        (limits.waiters, limits.system.conns),
        (limited(9), limited(5))
    );
    let silent = kubo.replace("\"Waiters\": 9, ", "");
    let limits = PartialLimits::from_json(&silent).unwrap();
    assert_eq!((limits.waiters, limits.system.conns), (None, limited(5)));
    // A key of rcmgr beside those of kubo is not lost in silence.
    let beside = r#"{"Waiters": 9, "Swarm": {"ResourceMgr": {"Limits": {}}}}"#;
    let error = PartialLimits::from_json(beside).unwrap_err().to_string();
    assert!(
        error.starts_with("line 1: Swarm: limits are at the top"),
        "{error}"
    );
}

#[test]
fn a_dry_run_has_the_waiters_of_the_enforced_limits() {
    let file = PartialLimits::from_toml("Waiters = 7\n[DryRun.System]\nFD = 5\n").unwrap();
    let limits = file.build(&ScalingLimits::server().scale(GIB, 1000));
    let dry_run = limits.dry_run.as_ref().unwrap();
    assert_eq!((limits.waiters, dry_run.waiters), (7.into(), 7.into()));

    // Limits from code may have two numbers. A file has one, and it is as good as the same.
    let mut limits = Limits::unlimited();
    limits.dry_run = Some(Limits::unlimited().into());
    limits.waiters = 7.into();
    let written = PartialLimits::from(&limits).to_toml();
    let again = PartialLimits::from_toml(&written).unwrap();
    assert_eq!(again.build(&Limits::unlimited()).waiters, 7.into());
    let warnings: Vec<_> = limits
        .warnings(None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        warnings[0].starts_with("DryRun: the limits are the same"),
        "{warnings:?}"
    );
}
