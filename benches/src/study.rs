//! The study: it measures all cases of all engines, in rounds.
//!
//! All set-ups come first. Then each round measures every case of every engine once. So a
//! disturbance of the machine affects all engines alike, and the median of the rounds removes it.
//! Each thread is pinned to its own core as long as there are enough: see `pin.rs`. Latencies are
//! measured separately, in the first round, because reading the clock around an operation costs as
//! much as the operation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::case::Case;
use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::engines::engines;
use crate::machine::Machine;
use crate::measure::{clock_ns, latency, throughput, warm_up};
use crate::options::Options;
use crate::plan::{self, Part};
use crate::report::{EngineInfo, LeftOut, Method, Report, Rounds, Row, curves, ratios};

/// The time after the deadline in which cases without a result are still measured.
const GRACE: Duration = Duration::from_secs(8);

/// The shortest slice: enough for some batches.
const SHORTEST: Duration = Duration::from_micros(100);

/// The progress of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The number of finished steps.
    pub done: usize,
    /// The number of all steps.
    pub steps: usize,
    /// The current step, as text.
    pub now: String,
}

/// The reason why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StudyError {
    /// No engine has this name.
    #[error("there is no engine {0:?}")]
    NoEngine(String),
    /// This engine cannot be simulated.
    #[error("the engine {0:?} cannot be simulated")]
    NotSimulated(String),
    /// The simulated machine has fewer cores.
    #[error("{machine} has {most} cores, not {cores}")]
    TooManyCores {
        /// The name of the machine.
        machine: String,
        /// The number of its cores.
        most: usize,
        /// The number that was asked for.
        cores: usize,
    },
    /// The costs of transfers between cores cannot be measured on one core.
    #[error("a calibration needs two cores, and this process may run on only one")]
    OneCore,
    /// None of the engines can run any of the workloads.
    #[error("none of these engines can run any of these workloads")]
    NothingToDo,
    /// An engine gave another result than expected.
    #[error("{engine}, {case}: {what}")]
    Failed {
        /// The engine.
        engine: String,
        /// The case.
        case: String,
        /// The result.
        #[source]
        what: Unexpected,
    },
}

/// Runs the study, and calls `progress` before each step.
///
/// # Errors
///
/// [`StudyError`], if there is nothing to measure, or if an engine gives another result than
/// expected: its times would then mean nothing.
pub fn study(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, StudyError> {
    study_with(engines(), options, progress)
}

/// Runs the study as [`study`] does, with these engines in place of those of [`engines`]. The options
/// name the ones to measure.
///
/// # Errors
///
/// As [`study`].
pub fn study_with(
    engines: Vec<Box<dyn Engine>>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StudyError> {
    let begin = Instant::now();
    let method = Method::begin(options.seed);
    let machine = Machine::detect();
    let engines = chosen(engines, &options.engines)?;
    let mut cases = plan::Cases::of(options, &engines);
    if cases.planned.is_empty() {
        return Err(StudyError::NothingToDo);
    }
    // The time is divided among the rounds, the warm-up and the latencies; the latter two take half
    // a slice each.
    let slices = cases.planned.len() as f64 * (options.rounds as f64 + 1.0);
    let slice = Duration::from_secs_f64(options.seconds / slices);
    let mut run = Run {
        engines: &engines,
        setups: Vec::new(),
        cells: Vec::new(),
        deadline: options.at_most.and_then(|most| begin.checked_add(most)),
        slice,
        progress,
        done: 0,
        steps: cases.planned.len() * (options.rounds + 2),
    };
    let for_setups = Duration::from_secs_f64(options.seconds / 2.0);
    let mut left_out = run.set_up(&mut cases, machine.available_memory, for_setups)?;
    run.measure(options.rounds)?;
    left_out.extend(run.without_result());
    let [rows, by_scopes, by_peers] = run.finish(options.seed)?;
    left_out.append(&mut cases.left_out);
    Ok(Report {
        method: Method {
            rounds: options.rounds,
            slice_seconds: slice.as_secs_f64(),
            took_seconds: begin.elapsed().as_secs_f64(),
            clock_ns: clock_ns(),
            ..method
        },
        simulated_machine: None,
        engines: engines.iter().map(|engine| info(&**engine)).collect(),
        ratios: ratios::ratios(&rows, &by_peers),
        curves: curves::curves(&rows, machine.cores),
        model: Vec::new(),
        orders: Vec::new(),
        machine,
        rows,
        by_scopes,
        by_peers,
        left_out,
    })
}

pub fn info(engine: &dyn Engine) -> EngineInfo {
    EngineInfo {
        name: engine.name().to_owned(),
        about: engine.about().to_owned(),
    }
}

/// The engines with these names, in the order of the list.
fn chosen(
    mut all: Vec<Box<dyn Engine>>,
    names: &[String],
) -> Result<Vec<Box<dyn Engine>>, StudyError> {
    let is_known = |name: &&String| all.iter().any(|engine| engine.name() == **name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(StudyError::NoEngine(unknown.clone()));
    }
    all.retain(|engine| names.iter().any(|name| name == engine.name()));
    Ok(all)
}

/// The state of a running study.
struct Run<'a> {
    engines: &'a [Box<dyn Engine>],
    setups: Vec<(usize, Case, Box<dyn Setup>)>,
    cells: Vec<Cell>,
    deadline: Option<Instant>,
    slice: Duration,
    progress: &'a mut dyn FnMut(Progress),
    done: usize,
    steps: usize,
}

/// One case of one engine, and its measurements.
struct Cell {
    engine: usize,
    part: Part,
    case: Case,
    workers: Vec<Box<dyn Worker>>,
    batch: u64,
    rounds: Rounds,
    has_latencies: bool,
}

impl Run<'_> {
    /// Creates all managers and workers. Leaves out the cases that exceed the budget of memory or
    /// time.
    fn set_up(
        &mut self,
        cases: &mut plan::Cases,
        memory: Option<u64>,
        time: Duration,
    ) -> Result<Vec<LeftOut>, StudyError> {
        let begin = Instant::now();
        let mut left_out = plan::Budget::new(memory, time);
        for planned in &cases.planned {
            let plan::Planned { engine, part, case } = *planned;
            self.report_step(engine, &case, "setting up");
            // Peers are expensive to create: cases with the same number of them share a set-up.
            let shared = self.setups.iter().position(|(of, with, _)| {
                part == Part::Peers && *of == engine && with.peers == case.peers
            });
            let at = match shared {
                Some(at) => at,
                // Over budget: the case is left out.
                None if !left_out.allows(self.engines[engine].name(), case.peers, begin) => {
                    continue;
                }
                None => {
                    let start = Instant::now();
                    let setup = self.engines[engine].set_up(&case);
                    let setup = setup.map_err(|what| self.failed(engine, &case, what))?;
                    left_out.took(self.engines[engine].name(), case.peers, start.elapsed());
                    self.setups.push((engine, case, setup));
                    self.setups.len() - 1
                }
            };
            // Workers are created now and kept through all rounds.
            let workers = self.setups[at].2.workers(&case);
            self.cells.push(Cell {
                engine,
                part,
                case,
                workers: workers.map_err(|what| self.failed(engine, &case, what))?,
                batch: 1,
                rounds: Rounds::default(),
                has_latencies: false,
            });
        }
        Ok(left_out.into_left_out())
    }

    /// Measures the rounds, while there is time. The first one also warms up and measures the
    /// latencies: so a study that runs out of time has complete results of some cases.
    fn measure(&mut self, rounds: usize) -> Result<(), StudyError> {
        // Without the cases that were left out.
        self.steps = self.done + self.cells.len() * (rounds + 1);
        self.pass(&format!("round 1 of {rounds}"), |cell, slice| {
            cell.batch = warm_up(&mut cell.workers, slice / 2)?;
            cell.measure(slice)?;
            let times = latency(&mut cell.workers, slice / 2)?;
            cell.rounds.latencies = percentiles(&times);
            cell.has_latencies = true;
            Ok(())
        })?;
        // The first round takes two slices of each case.
        self.done += self.cells.len();
        for round in 2..=rounds {
            self.pass(&format!("round {round} of {rounds}"), Cell::measure)?;
        }
        Ok(())
    }

    /// Runs one step for each cell, with the time of a slice. After the deadline, it skips the
    /// cells that already have a result, and a little later all others.
    fn pass(
        &mut self,
        what: &str,
        measure: impl Fn(&mut Cell, Duration) -> Result<(), Unexpected>,
    ) -> Result<(), StudyError> {
        for at in 0..self.cells.len() {
            let Cell { engine, case, .. } = self.cells[at];
            self.report_step(engine, &case, what);
            let (slice, late) = (self.slice_now(), self.late());
            let cell = &mut self.cells[at];
            let skip = match late {
                None => false,
                Some(late) => cell.has_latencies || late > GRACE,
            };
            if !skip {
                let measured = measure(cell, slice);
                measured.map_err(|what| self.failed(engine, &case, what))?;
            }
        }
        Ok(())
    }

    /// The time since the deadline, if it is over.
    fn late(&self) -> Option<Duration> {
        Instant::now().checked_duration_since(self.deadline?)
    }

    /// The time of the next slice. On a busy machine each step takes longer than its slice: then
    /// the remaining steps share the remaining time.
    fn slice_now(&self) -> Duration {
        let Some(deadline) = self.deadline else {
            return self.slice;
        };
        let steps = self.steps.saturating_sub(self.done).max(1);
        let time = deadline.saturating_duration_since(Instant::now());
        let share = time / steps.try_into().unwrap_or(u32::MAX);
        share.max(SHORTEST).min(self.slice)
    }

    /// The cases that the time did not suffice for.
    fn without_result(&mut self) -> Vec<LeftOut> {
        let missed = self.cells.extract_if(.., |cell| !cell.has_latencies);
        let mut counts = BTreeMap::new();
        for cell in missed {
            *counts.entry((cell.case.workload, cell.engine)).or_insert(0) += 1;
        }
        let left_out = counts.into_iter().map(|((workload, engine), count)| {
            let cases = if count == 1 { "case" } else { "cases" };
            let engine = self.engines[engine].name();
            LeftOut {
                what: format!("{engine}, {workload}, {count} {cases}"),
                why: "the time was over".to_owned(),
            }
        });
        left_out.collect()
    }

    /// Closes everything, checks that no charge is left, and returns the rows of each part.
    fn finish(mut self, seed: u64) -> Result<[Vec<Row>; 3], StudyError> {
        let mut parts: [Vec<Row>; 3] = Default::default();
        for cell in std::mem::take(&mut self.cells) {
            let rows = match cell.part {
                Part::Threads => &mut parts[0],
                Part::Scopes => &mut parts[1],
                Part::Peers => &mut parts[2],
            };
            rows.push(cell.into_row(self.engines, seed));
        }
        // The cells are gone, and their workers with them: every counter must be zero now.
        for (engine, case, setup) in std::mem::take(&mut self.setups) {
            let ended = setup.end();
            ended.map_err(|what| self.failed(engine, &case, what))?;
        }
        Ok(parts)
    }

    fn report_step(&mut self, engine: usize, case: &Case, what: &str) {
        (self.progress)(Progress {
            done: self.done,
            steps: self.steps,
            now: format!("{what}: {}, {}", case.workload, self.engines[engine].name()),
        });
        self.done += 1;
    }

    fn failed(&self, engine: usize, case: &Case, what: Unexpected) -> StudyError {
        StudyError::Failed {
            engine: self.engines[engine].name().to_owned(),
            case: describe(case),
            what,
        }
    }
}

pub fn describe(case: &Case) -> String {
    let Case {
        workload,
        sharing,
        threads,
        ..
    } = case;
    format!("{workload}, sharing {sharing}, threads {threads}")
}

impl Cell {
    /// Measures the time per operation once.
    fn measure(&mut self, slice: Duration) -> Result<(), Unexpected> {
        let measured = throughput(&mut self.workers, self.batch, slice)?;
        self.rounds.add(&measured);
        Ok(())
    }

    fn into_row(self, engines: &[Box<dyn Engine>], seed: u64) -> Row {
        let Case { peers, place, .. } = self.case;
        let engine = engines[self.engine].name();
        Row {
            scopes: (self.part == Part::Scopes).then(|| place.scopes()),
            peers: (self.part == Part::Peers).then_some(peers),
            ..Row::measured(engine, &self.case, self.rounds, seed)
        }
    }
}

pub fn percentiles(times: &Histogram<u64>) -> [u64; 3] {
    [0.5, 0.99, 0.999].map(|quantile| times.value_at_quantile(quantile))
}
