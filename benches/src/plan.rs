//! The list of cases, and the budget of memory and time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::case::{Case, Place, Sharing, Workload};
use crate::engine::Engine;
use crate::options::Options;
use crate::report::LeftOut;

/// The list of the report that a case belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Threads,
    Scopes,
    Peers,
}

/// A case of an engine. The engine is given by its index.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    pub engine: usize,
    pub part: Part,
    pub case: Case,
}

/// All cases in the order of the report, and the cases that no engine can run.
#[derive(Debug)]
pub struct Cases {
    pub planned: Vec<Planned>,
    pub left_out: Vec<LeftOut>,
}

impl Cases {
    pub fn of(options: &Options, engines: &[Box<dyn Engine>]) -> Self {
        let mut planned = Vec::new();
        let mut left_out = BTreeSet::new();
        let mut add = |part, case: Case| {
            for (at, engine) in engines.iter().enumerate() {
                match engine.cannot(&case) {
                    None => planned.push(Planned {
                        engine: at,
                        part,
                        case,
                    }),
                    // Report each workload once: the other parts have the same workloads.
                    Some(why) if part == Part::Threads => {
                        left_out.insert((at, case.workload, why));
                    }
                    Some(_) => {}
                }
            }
        };
        // Every workload with every sharing and number of threads.
        for &workload in &options.workloads {
            for &sharing in &options.sharings {
                for &threads in &options.threads {
                    add(Part::Threads, Case::new(workload, sharing, threads));
                }
            }
        }
        // Memory on one thread, on a growing number of scopes.
        if options.workloads.contains(&Workload::Memory) {
            for &place in Place::ALL {
                let memory = Case::new(Workload::Memory, Sharing::Path, 1);
                add(Part::Scopes, Case { place, ..memory });
            }
        }
        // Every workload on one thread, beside a growing number of peers.
        for peers in powers_of_ten(options.peers) {
            for &workload in &options.workloads {
                // This workload needs its own manager, and so its own copy of all these peers.
                if workload != Workload::MemoryNearLimit {
                    let case = Case::new(workload, Sharing::Path, 1);
                    add(Part::Peers, Case { peers, ..case });
                }
            }
        }
        let left_out = left_out.into_iter().map(|(at, workload, why)| LeftOut {
            what: format!("{}, {workload}", engines[at].name()),
            why: why.to_owned(),
        });
        Self {
            left_out: left_out.collect(),
            planned,
        }
    }
}

/// The powers of ten from 10 to `most`.
fn powers_of_ten(most: usize) -> impl Iterator<Item = usize> {
    let powers = std::iter::successors(Some(10_usize), |power| power.checked_mul(10));
    powers.take_while(move |&power| power <= most)
}

/// The upper bound of the memory that a peer with a stream takes, in bytes.
const PEER: u64 = 8 * 1024;

/// Few peers take almost no time, so that a fixed cost would dominate an estimate.
const FEW: usize = 10_000;

/// The time after which nothing more is set up, even with few peers.
const LATEST: Duration = Duration::from_secs(15);

/// The budget that bounds the number of peers.
pub struct Budget {
    memory: Option<u64>,
    time: Duration,
    /// For each engine: numbers of peers, and the time to create them.
    took: Vec<(&'static str, usize, Duration)>,
    left_out: Vec<LeftOut>,
}

impl Budget {
    pub const fn new(memory: Option<u64>, time: Duration) -> Self {
        Self {
            memory,
            time,
            took: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Whether the budget allows an engine this number of peers. If not, the reason goes into the
    /// list of left-out cases.
    pub fn allows(&mut self, engine: &'static str, peers: usize, begin: Instant) -> bool {
        let last = self.took.iter().rev().find(|(of, ..)| *of == engine);
        // Expect time in proportion to the number of peers, and half as much again to close them.
        let expected = last.map_or(Duration::ZERO, |(_, before, took)| {
            let times = (peers / before.max(&1)) as u32;
            if peers > FEW {
                *took * times * 3 / 2
            } else {
                Duration::ZERO
            }
        });
        let bytes = peers as u64 * PEER;
        let why = if self.memory.is_some_and(|memory| bytes > memory / 2) {
            "the machine has too little memory".to_owned()
        } else if begin.elapsed() + expected > self.time && peers > FEW {
            let seconds = expected.as_secs_f64();
            format!("creating them would take {seconds:.1} s, longer than this study may take")
        } else if begin.elapsed() > LATEST {
            "the set-up took too long".to_owned()
        } else {
            return true;
        };
        let what = match peers {
            0 => format!("{engine}, some cases"),
            _ => format!("{engine}, {peers} live peers"),
        };
        if !self.left_out.iter().any(|known| known.what == what) {
            self.left_out.push(LeftOut { what, why });
        }
        false
    }

    pub fn took(&mut self, engine: &'static str, peers: usize, time: Duration) {
        if peers > 0 {
            self.took.push((engine, peers, time));
        }
    }

    pub fn into_left_out(self) -> Vec<LeftOut> {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_go_up_in_powers_of_ten() {
        let powers = |most| powers_of_ten(most).collect::<Vec<_>>();
        assert!(powers(5).is_empty());
        assert_eq!(powers(1000), [10, 100, 1000]);
    }

    #[test]
    fn peers_that_take_too_long_are_left_out_and_reported() {
        let mut budget = Budget::new(None, Duration::from_secs(10));
        let begin = Instant::now();
        budget.took("atomic", 10_000, Duration::from_millis(100));
        assert!(budget.allows("atomic", 100_000, begin));
        budget.took("atomic", 100_000, Duration::from_secs(1));
        assert!(!budget.allows("atomic", 1_000_000, begin));
        assert!(!budget.allows("atomic", 1_000_000, begin));
        let [only] = &budget.into_left_out()[..] else {
            panic!("once for all workloads")
        };
        assert_eq!(only.what, "atomic, 1000000 live peers");
    }

    #[test]
    fn peers_that_do_not_fit_are_left_out() {
        let mut budget = Budget::new(Some(1 << 30), Duration::from_secs(10));
        assert!(budget.allows("atomic", 1000, Instant::now()));
        assert!(!budget.allows("atomic", 1_000_000, Instant::now()));
    }
}
