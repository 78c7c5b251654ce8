//! The study as a library: the report has exactly the cases that were asked for. The times here are too
//! short to mean anything.

use std::time::Duration;

use rcmgr_study::{Options, Sharing, StudyError, Workload, study};

/// Memory on one and on two threads, for a very short time.
fn short() -> Options {
    Options {
        workloads: vec![Workload::Memory],
        engines: vec!["mutex".into(), "floor".into()],
        threads: vec![1, 2],
        sharings: vec![Sharing::Path],
        rounds: 3,
        seconds: 0.05,
        peers: 0,
        at_most: None,
        seed: 1,
    }
}

#[test]
fn each_case_is_measured_in_every_round() {
    let mut last = 0;
    let report = study(&short(), &mut |progress| {
        assert!(progress.done < progress.steps, "{progress:?}");
        assert!(progress.done >= last);
        last = progress.done;
    })
    .unwrap();
    let cases = report
        .rows
        .iter()
        .map(|row| (row.engine.as_str(), row.threads));
    let cases: Vec<_> = cases.collect();
    // In the order of the list of engines, not of the request.
    assert_eq!(
        cases,
        [("floor", 1), ("mutex", 1), ("floor", 2), ("mutex", 2)]
    );
    for row in &report.rows {
        assert_eq!(row.rounds, 3);
        // All rounds together take longer than one slice.
        let slice = report.method.slice_seconds * 1e9;
        assert!(row.ops as f64 * row.ns_per_op > slice, "{row:?}");
    }
    assert_eq!(report.by_scopes.len(), 2 * 7);
    assert!(report.by_peers.is_empty());
    let ratios: Vec<_> = report
        .ratios
        .iter()
        .map(|ratio| ratio.what.as_str())
        .collect();
    assert!(
        ratios.is_empty(),
        "all of them are about atomic: {ratios:?}"
    );
}

#[test]
fn a_case_that_an_engine_cannot_do_is_left_out_and_reported() {
    let options = Options {
        workloads: vec![Workload::Memory, Workload::Span],
        engines: vec!["semaphore".into()],
        ..short()
    };
    let report = study(&options, &mut |_| {}).unwrap();
    assert!(
        report
            .rows
            .iter()
            .all(|row| row.workload == Workload::Memory)
    );
    let [left_out] = &report.left_out[..] else {
        panic!("{:?}", report.left_out)
    };
    assert_eq!(left_out.what, "semaphore, span");
}

#[test]
fn live_peers_go_up_to_the_number_asked_for() {
    let options = Options {
        workloads: vec![Workload::Stream, Workload::Refused],
        engines: vec!["atomic".into()],
        threads: vec![1],
        peers: 2000,
        ..short()
    };
    let report = study(&options, &mut |_| {}).unwrap();
    let rows = report
        .by_peers
        .iter()
        .map(|row| (row.workload, row.peers.unwrap()));
    let both = |peers| [(Workload::Stream, peers), (Workload::Refused, peers)];
    let expected: Vec<_> = [10, 100, 1000].into_iter().flat_map(both).collect();
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    assert!(report.by_scopes.is_empty());
}

#[test]
fn a_study_out_of_time_ends_after_one_round() {
    let options = Options {
        at_most: Some(Duration::ZERO),
        ..short()
    };
    let report = study(&options, &mut |_| {}).unwrap();
    assert!(
        report
            .rows
            .iter()
            .all(|row| row.rounds == 1 && row.p50_ns > 0)
    );
    assert!(report.rows.iter().all(|row| row.spread.is_none()));
    assert_eq!(report.least_rounds(), 1);
}

#[test]
fn a_case_that_cannot_be_measured_is_an_error() {
    let error = |engine: &str, workload| {
        let options = Options {
            workloads: vec![workload],
            engines: vec![engine.to_owned()],
            ..short()
        };
        study(&options, &mut |_| {}).unwrap_err()
    };
    let unknown = error("spinlock", Workload::Memory);
    assert_eq!(unknown, StudyError::NoEngine("spinlock".into()));
    assert_eq!(error("null", Workload::Refused), StudyError::NothingToDo);
}
