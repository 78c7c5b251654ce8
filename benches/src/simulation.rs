//! The study on a simulated machine: the same workloads, on as many cores as the machine has.
//!
//! The work of an operation is its time on one real thread, less what its accesses cost on this machine. A clock on one
//! simulated core measures between which accesses it is done. So one simulated core of a machine with these costs is as
//! fast as a real one; what is simulated is what more of them do.

mod calibrate;
mod case;
mod parallel;
mod report;
mod work;

use std::time::Instant;

use rcmgr_machine::{Machine, Simulation};

use crate::case::{Case, Sharing, Workload};
use crate::engine::{Engine, Unexpected};
use crate::engines::{engines, simulated_engines};
use crate::machine::Machine as RealMachine;
use crate::measure::clock_ns;
use crate::report::{LeftOut, Method, Report, Rounds, Row, curves, reality};
use crate::stats::median;
use crate::study::{Progress, StudyError, describe, info};

use calibrate::one_core;
use parallel::in_parallel;

pub use calibrate::calibrate;
use work::{Work, measured};

/// The options of a simulated study.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationOptions {
    /// The machine.
    pub machine: Machine,
    /// The numbers of cores that work at once.
    pub cores: Vec<usize>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The names of the engines.
    pub engines: Vec<String>,
    /// The kinds of sharing.
    pub sharings: Vec<Sharing>,
    /// The operations of each core that are measured, after at least eight times as many that warm up, until
    /// their time is steady. Where more than two cores are much slower than one alone, there are fewer.
    pub operations: u64,
    /// Whether each case is also measured on real threads, where this machine has the cores. Then one core is
    /// simulated, too, whatever `cores` says.
    pub beside_real: bool,
    /// The seed of the variation of the work.
    pub seed: u64,
}

impl SimulationOptions {
    /// All workloads, sharings and engines.
    pub fn new(machine: Machine, cores: Vec<usize>) -> Self {
        let names = simulated_engines();
        let names = names.iter().map(|engine| engine.name().to_owned());
        Self {
            machine,
            cores,
            workloads: Workload::ALL.to_vec(),
            engines: names.collect(),
            sharings: Sharing::ALL.to_vec(),
            operations: 400,
            beside_real: false,
            seed: 1,
        }
    }
}

/// How often all cases are measured, one after the other. The speed of a machine varies within seconds and minutes, so a
/// pass gives one measurement of each case.
const PASSES: usize = 3;

/// The same beside reality, where the measurements are results.
const PASSES_BESIDE: usize = 5;

/// The reason why a workload is left out.
const ADDRESSES: &str = "the locks of the address limiters are not simulated";

/// Runs the study on a simulated machine, and calls `progress` before each measurement, and before an engine is simulated
/// in a case with all numbers of cores. Cases are simulated on all cores of this machine at once.
///
/// ```no_run
/// use rcmgr_study::{SimulationOptions, Workload, simulate};
///
/// let machine = rcmgr_machine::Machine::shipped("one-socket").expect("it is shipped");
/// let mut options = SimulationOptions::new(machine, vec![1, 8, 64]);
/// options.workloads = vec![Workload::Stream];
/// let report = simulate(&options, &mut |_| {})?;
/// for row in &report.rows {
///     println!("{} {}: {:.0} ns", row.engine, row.threads, row.ns_per_op);
/// }
/// # Ok::<(), rcmgr_study::StudyError>(())
/// ```
///
/// # Errors
///
/// [`StudyError`], if there is nothing to simulate, if the machine has too few cores, or if an engine
/// gives another result than expected.
pub fn simulate(
    options: &SimulationOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StudyError> {
    simulate_with(simulated_engines(), engines(), options, progress)
}

/// Runs the study as [`simulate`] does, with these engines. An engine needs to be in both lists, with
/// the same name: the real one for the time of an operation, the simulated one for its accesses, and for where it
/// works between them.
///
/// # Errors
///
/// As [`simulate`].
pub fn simulate_with(
    simulated: Vec<Box<dyn Engine>>,
    real: Vec<Box<dyn Engine>>,
    options: &SimulationOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StudyError> {
    let begin = Instant::now();
    let method = Method::begin(options.seed);
    let real_machine = RealMachine::detect();
    let named = |all: &'_ [Box<dyn Engine>], name: &str| -> Option<usize> {
        all.iter().position(|engine| engine.name() == name)
    };
    let mut pairs = Vec::new();
    for name in &options.engines {
        let pair = named(&simulated, name).zip(named(&real, name));
        pairs.push(pair.ok_or_else(|| StudyError::NotSimulated(name.clone()))?);
    }
    pairs.sort_unstable();
    let mut left_out = Vec::new();
    let mut cases = Vec::new();
    for &workload in &options.workloads {
        if workload == Workload::ConnectionIp {
            left_out.push(LeftOut {
                what: workload.to_string(),
                why: ADDRESSES.to_owned(),
            });
            continue;
        }
        for &sharing in &options.sharings {
            for &pair in &pairs {
                let case = Case::new(workload, sharing, 1);
                match simulated[pair.0].cannot(&case) {
                    None => cases.push((case, pair)),
                    Some(why) => leave_out(&mut left_out, simulated[pair.0].name(), workload, why),
                }
            }
        }
    }
    if cases.is_empty() || options.cores.is_empty() {
        return Err(StudyError::NothingToDo);
    }
    let most = options.machine.cores();
    if let Some(&cores) = options.cores.iter().find(|&&cores| cores > most) {
        return Err(StudyError::TooManyCores {
            machine: options.machine.name.clone(),
            most,
            cores,
        });
    }
    let real_cores = match options.beside_real {
        true => real_machine.cores,
        false => 0,
    };
    // Scaling is relative to one core. So beside reality, one core is always simulated.
    let mut numbers_of_cores = options.cores.clone();
    if options.beside_real && !numbers_of_cores.contains(&1) {
        numbers_of_cores.insert(0, 1);
    }
    let passes = match options.beside_real {
        true => PASSES_BESIDE,
        false => PASSES,
    };
    let steps = cases.len() * (passes + numbers_of_cores.len());
    let failed = |engine: &dyn Engine, case: &Case, what| StudyError::Failed {
        engine: engine.name().to_owned(),
        case: describe(case),
        what,
    };
    // 1. Measure the cases. One core is always measured: the work is the same with any number of cores.
    let mut threads = vec![1];
    let is_real = |cores: &&usize| **cores > 1 && **cores <= real_cores;
    threads.extend(options.cores.iter().filter(is_real));
    if options.beside_real && threads.len() == 1 {
        left_out.push(LeftOut {
            what: "scaling beside reality".to_owned(),
            why: nothing_beside(real_cores),
        });
    }
    let beside = |case: Case| threads.iter().map(move |&threads| Case { threads, ..case });
    let mut measurements: Vec<Vec<Rounds>> = Vec::new();
    for pass in 0..passes {
        for (at, &(case, pair)) in cases.iter().enumerate() {
            let engine = &*real[pair.1];
            progress(Progress {
                done: pass * cases.len() + at,
                steps,
                now: format!("{}, {}, measured", case.workload, engine.name()),
            });
            let cases_beside: Vec<_> = beside(case).collect();
            let more =
                measured(engine, &cases_beside).map_err(|what| failed(engine, &case, what))?;
            match measurements.get_mut(at) {
                Some(rounds) => {
                    for (rounds, more) in rounds.iter_mut().zip(more) {
                        rounds.append(more);
                    }
                }
                None => measurements.push(more),
            }
        }
    }
    // 2. Simulate them, on all cores: each simulation is a run of its own.
    // Beside reality the simulated machine is this one, and its file was measured for longer.
    let here = match options.beside_real {
        true => options.machine.clone(),
        false => one_core(),
    };
    let before = cases.len() * passes;
    let one_case = |at: usize| {
        let (case, pair) = cases[at];
        let real_ns = median(&measurements[at][0].ns);
        rows_of(
            &*simulated[pair.0],
            &case,
            real_ns,
            &here,
            &numbers_of_cores,
            options,
        )
        .map_err(|(case, what)| failed(&*simulated[pair.0], &case, what))
    };
    let mut simulated_rows = in_parallel(cases.len(), one_case, |at, done| {
        let (case, pair) = cases[at];
        progress(Progress {
            done: before + done * numbers_of_cores.len(),
            steps,
            now: format!("{}, {}, simulated", case.workload, simulated[pair.0].name()),
        });
    })?
    .concat();
    let mut real_rows = Vec::new();
    for (&(case, pair), rounds) in cases.iter().zip(measurements) {
        for (case, rounds) in beside(case).zip(rounds) {
            if options.beside_real {
                let name = simulated[pair.0].name();
                real_rows.push(Row::measured(name, &case, rounds, options.seed));
            }
        }
    }
    let mut rows = real_rows;
    rows.append(&mut simulated_rows);
    Ok(Report {
        method: Method {
            rounds: 1,
            slice_seconds: work::SLICE.as_secs_f64(),
            simulated_operations: Some(options.operations),
            took_seconds: begin.elapsed().as_secs_f64(),
            clock_ns: clock_ns(),
            ..method
        },
        simulated_machine: Some(options.machine.clone()),
        engines: pairs.iter().map(|pair| info(&*simulated[pair.0])).collect(),
        by_scopes: Vec::new(),
        by_peers: Vec::new(),
        ratios: Vec::new(),
        curves: curves::curves(&rows, real_machine.cores),
        model: reality::beside(&rows, options.seed),
        orders: reality::orders(&rows),
        machine: real_machine,
        rows,
        left_out,
    })
}

/// The rows of an engine in a case, for each of these numbers of cores. `here` has the costs of the machine on which one
/// thread took `real_ns`.
fn rows_of(
    engine: &dyn Engine,
    case: &Case,
    real_ns: f64,
    here: &Machine,
    numbers_of_cores: &[usize],
    options: &SimulationOptions,
) -> Result<Vec<Row>, (Case, Unexpected)> {
    let work = Work::of(engine, case, here, real_ns).map_err(|what| (*case, what))?;
    let run = |case: &Case, alone| {
        let simulation = Simulation::new(work.on(&options.machine))
            .seed(options.seed)
            .work(work.of_core.clone());
        case::run(simulation, engine, case, alone, options.operations).map_err(|what| (*case, what))
    };
    // How fast one core is on this machine says which cases are slow.
    let run_alone = run(case, None)?;
    let alone = run_alone.each();
    let mut run_alone = Some(run_alone);
    let row = |&cores: &usize| {
        let case = Case {
            threads: cores,
            ..*case
        };
        let run = match run_alone.take_if(|_| cores == 1) {
            Some(run) => run,
            None => run(&case, Some(alone))?,
        };
        Ok(report::row(engine.name(), &case, &work, &run))
    };
    numbers_of_cores.iter().map(row).collect()
}

/// Why no simulated scaling has a measured one beside it.
fn nothing_beside(real_cores: usize) -> String {
    match real_cores {
        1 => "this machine has only one core".to_owned(),
        cores => {
            format!("no number of cores from 2 to {cores}, the cores of this machine, is simulated")
        }
    }
}

/// Adds a reason why an engine has no rows for a workload, once.
fn leave_out(all: &mut Vec<LeftOut>, engine: &str, workload: Workload, why: &str) {
    let left_out = LeftOut {
        what: format!("{engine}, {workload}"),
        why: why.to_owned(),
    };
    if !all.contains(&left_out) {
        all.push(left_out);
    }
}
