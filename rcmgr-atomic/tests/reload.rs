//! Limits are reloaded from a file while threads reserve. Each decision is made under one whole set of
//! limits: the file's, or the one before.
//!
//! There are two opposite sets, and two requests that both sets refuse:
//!
//! | request | transient, system under `A` | under `B` |
//! | --- | --- | --- |
//! | memory | room, refuses | refuses, room |
//! | an outbound connection | refuses, room | room, refuses |
//!
//! A mix has the transient scope of one set and the system scope of the other. One mix grants the
//! memory, the other grants the connection. So a grant proves that there was a mix. Requests that both
//! sets grant are made as well, and check that nothing is lost.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rcmgr_atomic::{
    Direction, Endpoint, Error, KIB, LimitExceeded, LimitValue, Limits, Manager, ManagerStat,
    Priority, Resource, Result, ScopeId, ScopeName, UsesFd,
};
use rcmgr_config::PartialLimits;
use rcmgr_config::reload::{LimitsWatcher, ReloadStats};

const VERSIONS: usize = 200;
/// Much longer than one version of the file takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// An amount of memory that one scope refuses and the other has room for. It is asked for at low
/// priority, which may use 40 % of a limit, so that the small reservations always have room.
const REFUSING: [u64; 2] = [10_000, 10_001];
const ASKED: u64 = 4_096;
const ROOM: u64 = 1_000 * KIB;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    A,
    B,
}

impl Set {
    fn limits(self) -> Limits {
        let mut limits = Limits::unlimited();
        let none = LimitValue::BLOCK_ALL;
        match self {
            Self::A => {
                limits.transient.memory = ROOM.into();
                limits.system.memory = REFUSING[0].into();
                limits.transient.conns_outbound = none;
            }
            Self::B => {
                limits.transient.memory = REFUSING[1].into();
                limits.system.memory = ROOM.into();
                limits.system.conns_outbound = none;
            }
        }
        limits
    }

    fn file(self) -> String {
        PartialLimits::from(&self.limits()).to_json()
    }
}

/// What the threads saw.
#[derive(Default)]
struct Seen {
    done: AtomicBool,
    refused_by_transient: AtomicU64,
    refused_by_system: AtomicU64,
}

impl Seen {
    /// A refusal that one of the sets gives.
    fn refused<T>(&self, result: Result<T>, of: [(ScopeId, Resource, u64); 2]) {
        let Err(Error::LimitExceeded(LimitExceeded {
            scope: ScopeName { scope, .. },
            resource,
            limit: LimitValue::Limited(limit),
            ..
        })) = result
        else {
            match result {
                Ok(_) => panic!("granted, but both sets refuse it: {of:?}"),
                Err(error) => panic!("neither set gives this error: {error}"),
            }
        };
        let refusal = (scope, resource, limit);
        assert!(
            of.contains(&refusal),
            "neither set gives this refusal: {refusal:?}"
        );
        let count = match refusal.0 {
            ScopeId::Transient => &self.refused_by_transient,
            _ => &self.refused_by_system,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn reserve_and_release(&self, manager: &Manager) {
        use Resource::{ConnsOutbound, Memory};
        let open = |direction| manager.open_connection(direction, UsesFd::Yes, Endpoint::None);
        while !self.done.load(Ordering::Relaxed) {
            let connection = open(Direction::Inbound).expect("both sets let it in");
            connection
                .reserve_memory(100, Priority::Always)
                .expect("both sets have room");
            self.refused(
                connection.reserve_memory(ASKED, Priority::Low),
                [
                    (ScopeId::System, Memory, REFUSING[0]),
                    (ScopeId::Transient, Memory, REFUSING[1]),
                ],
            );
            self.refused(
                open(Direction::Outbound),
                [
                    (ScopeId::Transient, ConnsOutbound, 0),
                    (ScopeId::System, ConnsOutbound, 0),
                ],
            );
            connection.release_memory(60);
            connection.done();
        }
    }
}

/// Writes versions of the file, and waits until the watcher has seen them.
struct Writer<'a> {
    file: PathBuf,
    watcher: &'a LimitsWatcher,
    manager: &'a Manager,
}

impl Writer<'_> {
    fn rename_over(&self, text: &str) {
        let other = self.file.with_extension("new");
        fs::write(&other, text).unwrap();
        fs::rename(&other, &self.file).unwrap();
    }

    fn truncate_and_write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    fn wait_until(&self, reached: impl Fn(&ReloadStats) -> bool) {
        let begun = Instant::now();
        while !reached(&self.watcher.stats()) {
            let stats = self.watcher.stats();
            assert!(begun.elapsed() < DEADLINE, "in vain: {stats:?}");
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn wait_for(&self, set: Set) {
        let limits = set.limits();
        self.wait_until(|stats| stats.error.is_none() && *self.manager.limits() == limits);
    }

    /// Every second version is good, and the last one is bad. Returns the last good one.
    fn write_all(&self) -> Set {
        let mut last = Set::A;
        for version in 0..VERSIONS {
            let good = version % 2 == 0;
            if good {
                last = [Set::B, Set::A][version / 2 % 2];
            }
            let whole = last.file();
            let text = match (good, version % 3) {
                (true, _) => whole,
                (false, 0) => whole[..whole.len() / 2].to_owned(),
                (false, 1) => String::new(),
                (false, _) => whole.replace("Memory", &format!("Memory{version}")),
            };
            let failures = self.watcher.stats().failures;
            match version / 2 % 2 {
                0 => self.rename_over(&text),
                _ => self.truncate_and_write(&text),
            }
            // The next version replaces some of them before the watcher has read them.
            match good {
                _ if version % 8 == 5 => {}
                true => self.wait_for(last),
                false => self.wait_until(|stats| stats.failures > failures),
            }
        }
        last
    }
}

#[test]
fn every_decision_during_reloads_is_made_under_one_set_of_limits() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.json");
    fs::write(&file, Set::A.file()).unwrap();

    let manager = Manager::new(Limits::unlimited()).unwrap();
    let watched = manager.clone();
    let watcher = LimitsWatcher::builder()
        .settle_time(Duration::from_millis(5))
        .start(&file, Limits::unlimited(), move |limits| {
            watched.set_limits(limits)
        })
        .unwrap();
    assert_eq!(*manager.limits(), Set::A.limits());

    let seen = Seen::default();
    let begun = Instant::now();
    let last = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| seen.reserve_and_release(&manager)));
        let writer = Writer {
            file,
            watcher: &watcher,
            manager: &manager,
        };
        let written = scope.spawn(move || writer.write_all()).join();
        // The threads end also if the writer has failed.
        seen.done.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("what it saw was of one set");
        }
        written.expect("the watcher saw what was written")
    });

    let stats = watcher.stats();
    let refused = [&seen.refused_by_transient, &seen.refused_by_system]
        .map(|count| count.load(Ordering::Relaxed));
    println!(
        "{} reloads and {} failures in {:?}; {} refusals by transient, {} by system",
        stats.reloads,
        stats.failures,
        begun.elapsed(),
        refused[0],
        refused[1],
    );
    assert!(stats.reloads >= 90 && stats.failures >= 70, "{stats:?}");
    assert!(refused.iter().all(|&count| count > 0));
    assert!(stats.error.is_some(), "the last file was bad");
    assert_eq!(*manager.limits(), last.limits());
    assert_eq!(manager.stat(), ManagerStat::default());
}
