//! The study on a simulated machine: every case ends at zero, counts add up, and the rows show what
//! contention does.

use rcmgr_machine::Machine;
use rcmgr_study::{
    Report, Row, Sharing, Simulated, SimulationOptions, StudyError, Workload, calibrate, simulate,
};

fn options(workload: Workload, engines: &[&str], sharing: Sharing) -> SimulationOptions {
    let machine = Machine::shipped("one-socket").unwrap();
    SimulationOptions {
        workloads: vec![workload],
        engines: engines.iter().map(ToString::to_string).collect(),
        sharings: vec![sharing],
        operations: 200,
        ..SimulationOptions::new(machine, vec![1, 16])
    }
}

fn run(options: &SimulationOptions) -> Report {
    simulate(options, &mut |progress| {
        assert!(progress.done < progress.steps)
    })
    .unwrap()
}

fn causes(row: &Row) -> &Simulated {
    row.simulation.as_ref().expect("the row is simulated")
}

/// The throughput of 16 cores relative to that of one.
fn scaling(report: &Report, engine: &str, sharing: Sharing) -> f64 {
    let of = |threads| {
        let workload = report.rows[0].workload;
        report
            .simulated_row(workload, engine, sharing, threads)
            .unwrap()
            .ns_per_op
    };
    of(1) / of(16)
}

#[test]
fn every_engine_and_workload_ends_at_zero_on_two_simulated_cores() {
    let mut machine = Machine::shipped("two-core-vm").unwrap();
    machine.name = "small".to_owned();
    // An error is returned if a charge is left, or a result is not the expected one.
    let all = SimulationOptions {
        operations: 50,
        ..SimulationOptions::new(machine, vec![2])
    };
    let report = run(&all);
    let workloads: Vec<_> = report.rows.iter().map(|row| row.workload).collect();
    for &workload in Workload::ALL {
        let is_there = workloads.contains(&workload);
        assert_eq!(is_there, workload != Workload::ConnectionIp, "{workload}");
    }
    for row in &report.rows {
        let causes = causes(row);
        assert!(row.simulated && row.ops > 0, "{row:?}");
        assert!(causes.transfers_per_op <= causes.accesses_per_op, "{row:?}");
        assert!((0.0..=1.0).contains(&causes.waiting), "{row:?}");
        assert!(
            row.p50_ns <= row.p99_ns && row.p99_ns <= row.p999_ns,
            "{row:?}"
        );
    }
    let left_out: Vec<_> = report
        .left_out
        .iter()
        .map(|one| one.what.as_str())
        .collect();
    let expected = [
        "floor, memory-near-limit",
        "connection-ip",
        "sloppy, refused-by-id",
        "striped, refused-by-id",
        "combining, refused-by-id",
    ];
    assert_eq!(left_out, expected);
}

#[test]
fn one_core_with_the_costs_of_this_machine_is_as_fast_as_the_thread_that_was_measured() {
    let mut options = options(Workload::Stream, &["atomic", "mutex"], Sharing::Path);
    options.cores = vec![1];
    // The speed of this machine may change between the calibration and the measurement, so one of several
    // tries must do.
    let mut tries = (0..10).map(|_| {
        options.machine = calibrate().expect("there are two cores");
        let report = run(&options);
        let off = |row: &Row| row.ns_per_op / causes(row).real_ns;
        report.rows.iter().map(off).collect::<Vec<_>>()
    });
    let mut seen = Vec::new();
    let is_as_fast = tries.any(|off| {
        let is_as_fast = off.len() == 2 && off.iter().all(|off| (0.8..1.25).contains(off));
        seen.push(off);
        is_as_fast
    });
    assert!(is_as_fast, "{seen:?}");
}

#[test]
fn nothing_shared_scales_with_the_cores_and_one_line_does_not() {
    let alone = run(&options(
        Workload::Memory,
        &["floor", "atomic"],
        Sharing::None,
    ));
    for engine in ["floor", "atomic"] {
        let scaling = scaling(&alone, engine, Sharing::None);
        assert!((14.0..16.5).contains(&scaling), "{engine}: {scaling}");
    }
    let shared = run(&options(Workload::Memory, &["floor"], Sharing::Path));
    assert!(scaling(&shared, "floor", Sharing::Path) < 4.0);
    let row = shared
        .simulated_row(Workload::Memory, "floor", Sharing::Path, 16)
        .unwrap();
    // Six of the seven scopes are shared; each is touched twice.
    assert!(
        (11.0..12.5).contains(&causes(row).transfers_per_op),
        "{row:?}"
    );
    assert!(causes(row).waiting > 0.5, "{row:?}");
}

/// The counts are divided by the operations of the measured part, so they must end with it.
#[test]
fn an_operation_of_one_core_has_a_whole_number_of_accesses() {
    let mut options = options(Workload::Memory, &["atomic"], Sharing::Path);
    options.cores = vec![1];
    let report = run(&options);
    let accesses = causes(&report.rows[0]).accesses_per_op;
    assert!(accesses >= 1.0 && accesses.fract() == 0.0, "{accesses}");
}

#[test]
fn beside_reality_one_core_is_always_there_to_compare_with() {
    let mut options = options(Workload::Memory, &["floor", "atomic"], Sharing::Path);
    options.beside_real = true;
    options.cores = vec![2];
    let report = run(&options);
    for engine in ["floor", "atomic"] {
        let [real, simulated] = [Report::row, Report::simulated_row]
            .map(|find| find(&report, Workload::Memory, engine, Sharing::Path, 1));
        assert!(real.is_some() && simulated.is_some(), "{engine}");
    }
    let has_cores = report.machine.cores >= 2;
    assert_eq!(report.model.len(), if has_cores { 2 } else { 0 });
    assert_eq!(report.left_out.is_empty(), has_cores);
    // With one core alone, only the order of the engines is compared, and the report says so.
    options.cores = vec![1];
    let report = run(&options);
    assert_eq!((report.model.len(), report.orders.len()), (0, 1));
    assert_eq!(report.left_out[0].what, "scaling beside reality");
    assert!(report.to_html().contains("The model beside reality"));
}

#[test]
fn hot_words_have_the_names_of_their_scopes() {
    let report = run(&options(
        Workload::Memory,
        &["atomic-exact"],
        Sharing::System,
    ));
    let row = report
        .simulated_row(Workload::Memory, "atomic-exact", Sharing::System, 16)
        .unwrap();
    let hottest = &causes(row).hottest[0].name;
    let is_shared = ["system at ", "service at ", "protocol at "];
    let is_shared = is_shared.iter().any(|scope| hottest.starts_with(scope));
    assert!(
        is_shared && hottest.contains("node/gauge/memory.rs:"),
        "{hottest}"
    );
    // References to a scope have its name, too.
    let report = run(&options(Workload::Stream, &["mutex"], Sharing::System));
    let row = report
        .simulated_row(Workload::Stream, "mutex", Sharing::System, 16)
        .unwrap();
    let names = causes(row).hottest.iter().map(|hot| &hot.name);
    for name in names.filter(|name| name.contains("shared.rs:")) {
        assert!(name.contains(" at "), "{name}");
    }
}

#[test]
fn what_cannot_be_simulated_is_an_error() {
    let error = |options: &SimulationOptions| simulate(options, &mut |_| {}).unwrap_err();
    let semaphore = options(Workload::Memory, &["semaphore"], Sharing::Path);
    let unknown = StudyError::NotSimulated("semaphore".to_owned());
    assert_eq!(error(&semaphore), unknown);
    let addresses = options(Workload::ConnectionIp, &["atomic"], Sharing::Path);
    assert_eq!(error(&addresses), StudyError::NothingToDo);
    let mut many = options(Workload::Memory, &["floor"], Sharing::Path);
    many.cores = vec![65];
    let text = error(&many).to_string();
    assert_eq!(text, "one-socket has 64 cores, not 65");
}
