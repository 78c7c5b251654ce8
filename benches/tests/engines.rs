//! Every engine does the work that is measured.

use std::time::Duration;

use rcmgr_study::{Case, Engine, Place, Sharing, Unexpected, Workload, engines, throughput};

/// All cases of two threads that the engine can do.
fn cases(engine: &dyn Engine) -> impl Iterator<Item = Case> {
    let workloads = Workload::ALL.iter().flat_map(|&workload| {
        let case = move |&sharing| Case::new(workload, sharing, 2);
        Sharing::ALL.iter().map(case)
    });
    let places = Place::ALL.iter().map(|&place| Case {
        place,
        ..Case::new(Workload::Memory, Sharing::Path, 2)
    });
    let peers = Workload::ALL.iter().map(|&workload| Case {
        peers: 20,
        ..Case::new(workload, Sharing::System, 2)
    });
    workloads
        .chain(places)
        .chain(peers)
        .filter(|case| engine.cannot(case).is_none())
}

#[test]
fn every_case_ends_at_zero_and_counts_its_operations() {
    for engine in engines() {
        for case in cases(&*engine) {
            let what = format!("{}: {case:?}", engine.name());
            let setup = engine.set_up(&case).expect(&what);
            let mut workers = setup.workers(&case).expect(&what);
            assert_eq!(workers.len(), 2, "{what}");
            let slice = throughput(&mut workers, 10, Duration::from_micros(100)).expect(&what);
            assert!(
                slice.operations >= 20 && slice.operations.is_multiple_of(10),
                "{what}"
            );
            drop(workers);
            setup.end().expect(&what);
        }
    }
}

#[test]
fn a_request_over_a_limit_is_refused_and_leaves_nothing_behind() {
    for engine in engines().iter().filter(|engine| engine.has_limits()) {
        let case = Case {
            size: 64 << 20,
            ..Case::new(Workload::MemoryNearLimit, Sharing::Path, 2)
        };
        let setup = engine.set_up(&case).unwrap();
        let mut workers = setup.workers(&case).unwrap();
        for worker in &mut workers {
            let refused = worker.run(1);
            assert!(
                matches!(refused, Err(Unexpected::Refused(_))),
                "{}: {refused:?}",
                engine.name()
            );
        }
        drop(workers);
        setup.end().unwrap();
    }
}

#[test]
fn a_handle_that_is_still_open_is_found_at_the_end() {
    let case = Case::new(Workload::Memory, Sharing::Path, 1);
    for name in ["atomic", "mutex"] {
        let engines = engines();
        let engine = engines.iter().find(|engine| engine.name() == name).unwrap();
        let setup = engine.set_up(&case).unwrap();
        let workers = setup.workers(&case).unwrap();
        assert!(
            matches!(setup.end(), Err(Unexpected::Leftover(_))),
            "{name}"
        );
        drop(workers);
    }
}

#[test]
fn addresses_are_never_refused_however_long_it_goes_on() {
    for engine in engines() {
        let case = Case::new(Workload::ConnectionIp, Sharing::Path, 2);
        if engine.cannot(&case).is_some() {
            continue;
        }
        let setup = engine.set_up(&case).unwrap();
        let mut workers = setup.workers(&case).unwrap();
        // Each address returns more often than its bucket holds tokens, and one thread alone moves the
        // clock far enough.
        workers[0].run(4096 * 20).unwrap();
        workers[1].run(4096 * 20).unwrap();
        drop(workers);
        setup.end().unwrap();
    }
}
