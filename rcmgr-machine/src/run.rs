//! A run: the cores as coroutines, and the order in which they run.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::Location;
use std::thread::available_parallelism;
use std::time::Duration;

use generator::Gn;

use crate::description::Machine;
use crate::line::Access;
use crate::memory::{Memory, announcements};
use crate::one_core::{Asking, Core};
use crate::outcome::Outcome;
use crate::time::Time;
use crate::work::{Clock, Place, Work, WorkTimes};

/// A run of tasks on the cores of a machine.
#[derive(Debug, Clone)]
pub struct Simulation {
    machine: Machine,
    seed: u64,
    work: Work,
    measures_work: bool,
    /// The announcements before this one are of other runs.
    announced_since: u64,
}

/// The reason why a run ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// More tasks than cores.
    #[error("{tasks} tasks need as many cores, and {machine} has {cores}")]
    Cores {
        /// The number of tasks.
        tasks: usize,
        /// The name of the machine.
        machine: String,
        /// The number of its cores.
        cores: usize,
    },
    /// Every core that has not ended waits in the queue of a lock. Cores that spin for ever are not found.
    #[error("all of the {0} cores that have not ended wait for locks")]
    Deadlock(usize),
}

/// A place in the code.
type Site = &'static Location<'static>;

/// The stack of a core, in words. The memory is used only as far as the stack grows.
const STACK: usize = 1 << 16;

thread_local! {
    /// The run of this thread, if there is one.
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
    /// The number of cores that values are made for; 0 if that is the number of real ones.
    static CORES: Cell<usize> = const { Cell::new(0) };
}

struct State {
    machine: Machine,
    work: Work,
    work_times: WorkTimes,
    measured_from: Time,
    /// The time of all cores in the measured part, once it is over.
    measured: Option<Time>,
    cores: Vec<Core>,
    /// The cores that can run, the one with the least clock first.
    ready: BinaryHeap<Reverse<(Time, usize)>>,
    /// The cores that wait for the lock at an address, the first one first.
    parked: HashMap<usize, VecDeque<usize>>,
    running: Option<usize>,
    memory: Memory,
    outcome: Outcome,
}

impl Simulation {
    /// A run on this machine, without work between the accesses. What the tasks use is made later.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            seed: 0,
            work: Time::ZERO.into(),
            measures_work: false,
            announced_since: announcements(),
        }
    }

    /// The seed of what varies: the work, the transfers, and the time that an owner goes on with a line. Runs with the same
    /// seed are the same, but for values that were not [announced](crate::allocated): the allocator decides which of
    /// them share a line.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The mean time that a core works before each access: the same for all, or one for each way between two places in the
    /// code. The work varies as the time between random events does: its distribution is exponential.
    pub fn work(self, work: impl Into<Work>) -> Self {
        let work = work.into();
        Self { work, ..self }
    }

    /// Measures how long the real machine works before each access, for [`Outcome::work_times`]. Use one core: the work of
    /// other cores would count, too.
    pub fn measure_work(self) -> Self {
        Self {
            measures_work: true,
            ..self
        }
    }

    /// Runs each task on its core until all have ended.
    ///
    /// # Errors
    ///
    /// [`RunError`], if there are too few cores, or the tasks wait for each other.
    ///
    /// # Panics
    ///
    /// If a task panics, or if this is called in a task.
    pub fn run(self, tasks: Vec<Box<dyn FnOnce() + Send>>) -> Result<Outcome, RunError> {
        let cores = self.machine.cores();
        if tasks.len() > cores {
            return Err(RunError::Cores {
                tasks: tasks.len(),
                machine: self.machine.name,
                cores,
            });
        }
        let mut coroutines: Vec<_> = tasks
            .into_iter()
            .map(|task| Gn::<()>::new_opt(STACK, task))
            .collect();
        let clock = self.measures_work.then(Clock::start);
        let running = Running::begin(self, coroutines.len());
        let mut left = coroutines.len();
        while let Some(core) = next_core() {
            coroutines[core].resume();
            if coroutines[core].is_done() {
                left -= 1;
            }
        }
        let outcome = running.end();
        drop(clock);
        if left > 0 {
            // A core that waits cannot be unwound: its stack is leaked.
            coroutines.into_iter().for_each(std::mem::forget);
            return Err(RunError::Deadlock(left));
        }
        Ok(outcome)
    }
}

/// The run of this thread; it ends when this is dropped.
struct Running {
    /// The number of cores that values were made for before.
    cores_before: usize,
}

impl Running {
    fn begin(simulation: Simulation, cores: usize) -> Self {
        let core = |core| Core::new(simulation.seed.wrapping_mul(1 << 16) + core as u64);
        let state = State {
            cores: (0..cores).map(core).collect(),
            ready: (0..cores).map(|core| Reverse((Time::ZERO, core))).collect(),
            parked: HashMap::new(),
            running: None,
            memory: Memory::new(simulation.announced_since),
            outcome: Outcome::default(),
            machine: simulation.machine,
            work: simulation.work,
            work_times: WorkTimes::default(),
            measured_from: Time::ZERO,
            measured: None,
        };
        let made_for = state.machine.cores();
        let before = STATE.replace(Some(state));
        assert!(before.is_none(), "a task cannot start another run");
        Self {
            cores_before: CORES.replace(made_for),
        }
    }

    fn end(self) -> Outcome {
        STATE.with_borrow_mut(|state| state.take().map(State::into_outcome).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        STATE.take();
        CORES.set(self.cores_before);
    }
}

/// Chooses the core that runs next.
fn next_core() -> Option<usize> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        let next = state.ready.pop().map(|Reverse((_, core))| core);
        state.running = next;
        next
    })
}

/// Calls `f` if a core runs on this thread.
fn with_running<R>(f: impl FnOnce(&mut State, usize) -> R) -> Option<R> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        let core = state.running?;
        Some(f(state, core))
    })
}

/// Lets other cores run. The caller has said before when this one runs again.
// The other functions of the crate need a value that is not at hand here: an access comes from the
// middle of code that knows nothing of the simulation.
#[allow(deprecated)]
fn suspend() {
    generator::yield_with(());
}

/// Works, lets the cores run that are behind, and accesses the line of the address.
pub(crate) fn access(address: usize, kind: Access, site: Site) {
    access_asking(Asking::InOrder, Some(Place::of(site)), address, kind, site);
}

/// The same to unlock a lock that was taken here.
pub(crate) fn access_to_unlock(address: usize, kind: Access, site: Site) {
    let place = Some(Place::unlock(site));
    access_asking(Asking::InOrder, place, address, kind, site);
}

/// The same without work.
pub(crate) fn access_at_once(address: usize, kind: Access, site: Site) {
    access_asking(Asking::InOrder, None, address, kind, site);
}

/// The same for a load from a line that the core asked for together with that of the last access in order.
pub(crate) fn load_with_the_last(address: usize, site: Site) {
    access_asking(Asking::WithTheLast, None, address, Access::Load, site);
}

fn access_asking(asking: Asking, place: Option<Place>, address: usize, kind: Access, site: Site) {
    let worked = Clock::lap();
    let is_behind = with_running(|state, core| {
        if let Some(place) = place {
            state.work(core, place, worked);
        }
        state.let_others_run(core)
    });
    match is_behind {
        None => return,
        Some(true) => suspend(),
        Some(false) => {}
    }
    // The access takes effect at its end. Until then the core that had the line may go on with it.
    let is_behind = with_running(|state, core| {
        let waits = state.access(core, address, kind, asking, site);
        waits && state.let_others_run(core)
    });
    if is_behind == Some(true) {
        suspend();
    }
    Clock::resume();
}

/// Counts a compare-and-swap that failed.
pub(crate) fn count_failed(address: usize, site: Site) {
    with_running(|state, core| {
        if state.is_measured(core) {
            let line = state.memory.find(address);
            state.memory.count_failed(line, site);
            state.outcome.failed_cas += 1;
        }
    });
}

pub(crate) fn full_fence() {
    with_running(|state, core| {
        let fence = Time::from_ns(state.machine.ns.fence);
        let is_measured = state.is_measured(core);
        let core = &mut state.cores[core];
        let stores_done = core.clock.max(core.stores_done);
        if is_measured {
            state.outcome.lost += stores_done - core.clock;
        }
        core.clock = stores_done + fence;
        core.goes_in_order();
    });
}

/// Waits for the lock at this address, until [`unpark`] is called for it. The caller has just
/// accessed the lock, and it was taken.
pub(crate) fn park(address: usize) {
    let parked = with_running(|state, core| {
        state.parked.entry(address).or_default().push_back(core);
        state.running = None;
    });
    if parked.is_some() {
        suspend();
    }
}

/// Wakes the core that waits longest for the lock at this address.
pub(crate) fn unpark(address: usize) {
    with_running(|state, core| {
        let Some(queue) = state.parked.get_mut(&address) else {
            return;
        };
        let first = queue.pop_front();
        if queue.is_empty() {
            state.parked.remove(&address);
        }
        if let Some(first) = first {
            let [wake, latency] =
                [state.machine.ns.wake, state.machine.ns.wake_latency].map(Time::from_ns);
            state.cores[core].clock += wake;
            let woken = state.cores[core].clock + latency;
            // It cannot run before it has gone to sleep itself.
            let clock = &mut state.cores[first].clock;
            *clock = (*clock).max(woken);
            state.ready.push(Reverse((*clock, first)));
        }
    });
}

/// The current core pauses this many times, or gives the processor up, as the function chooses from
/// the costs.
pub(crate) fn spend(time: impl FnOnce(&Machine) -> Time) -> bool {
    Clock::pause();
    let spent = with_running(|state, core| {
        let time = time(&state.machine);
        let core = &mut state.cores[core];
        core.clock += time;
        core.goes_in_order();
    });
    Clock::resume();
    spent.is_some()
}

/// The core that runs on this thread; `None` outside of a run.
pub fn current_core() -> Option<usize> {
    with_running(|_, core| core)
}

/// The clock of the core that runs on this thread; `None` outside of a run.
pub fn now() -> Option<Time> {
    with_running(|state, core| state.cores[core].clock)
}

/// From now on, accesses are counted and the time of the cores is measured. What was counted before is
/// forgotten.
pub fn measure_from_now() {
    with_running(|state, core| {
        state.measured_from = state.cores[core].clock;
        state.measured = None;
        state.outcome = Outcome::default();
        state.memory.forget_counts();
        state.work_times = WorkTimes::default();
    });
}

/// From now on, nothing is counted, and the time of the cores is no longer measured. The run goes on as
/// before. An access in progress on another core counts with its whole time.
pub fn measure_until_now() {
    with_running(|state, core| {
        if state.measured.is_none() {
            state.measured = Some(state.core_time(state.cores[core].clock));
        }
    });
}

/// The current core works for this time.
pub fn work(time: Time) {
    spend(|_| time);
}

/// A value was allocated on the core that runs on this thread; `None` outside of a run.
pub(crate) fn allocated_in_run(address: usize, size: usize) -> Option<()> {
    with_running(|state, core| state.memory.allocated(core, address, size))
}

/// Calls `f`, which makes values for a machine with this many cores: see [`cores`].
pub(crate) fn made_for<R>(cores: usize, f: impl FnOnce() -> R) -> R {
    let before = CORES.replace(cores);
    let made = f();
    CORES.set(before);
    made
}

impl Simulation {
    /// Calls `f`, which makes what the tasks use. Meanwhile, and while they run, [`cores`] is the number of
    /// this machine.
    pub fn set_up<R>(&self, f: impl FnOnce() -> R) -> R {
        made_for(self.machine.cores(), f)
    }
}

/// The number of cores that a value is made for: that of the simulated machine while one is set up
/// for, that of the real one otherwise.
pub fn cores() -> usize {
    match CORES.get() {
        0 => available_parallelism().map_or(1, Into::into),
        cores => cores,
    }
}

impl State {
    fn is_measured(&self, core: usize) -> bool {
        self.measured.is_none() && self.cores[core].clock >= self.measured_from
    }

    /// The time of all cores from the begin of the measured part until now. A core that waits for a lock, or
    /// has ended, counts until now.
    fn core_time(&self, now: Time) -> Time {
        let clocks = self.cores.iter().map(|core| core.clock.max(now));
        clocks.fold(Time::ZERO, |sum, clock| {
            sum + clock.since(self.measured_from)
        })
    }

    /// Whether a core is behind this one. Then this one must suspend.
    fn let_others_run(&mut self, core: usize) -> bool {
        let own = (self.cores[core].clock, core);
        let is_behind = self.ready.peek().is_some_and(|Reverse(first)| *first < own);
        if is_behind {
            self.ready.push(Reverse(own));
            self.running = None;
        }
        is_behind
    }

    /// The core works until it comes to this place.
    fn work(&mut self, core: usize, place: Place, worked: Option<Duration>) {
        let is_measured = self.is_measured(core);
        let core = &mut self.cores[core];
        let before = std::mem::replace(&mut core.place, place);
        if let Some(worked) = worked
            && is_measured
        {
            self.work_times.add(before, place, worked);
        }
        core.work(self.work.between(before, place));
    }

    /// Serves the access. Returns whether the core has waited for a line.
    fn access(
        &mut self,
        core: usize,
        address: usize,
        kind: Access,
        asking: Asking,
        site: Site,
    ) -> bool {
        let is_measured = self.is_measured(core);
        let line = self.memory.find(address);
        let this = &mut self.cores[core];
        let begin = this.clock;
        let (at, served) = this.access(core, self.memory.line(line), kind, asking, &self.machine);
        let took = this.clock - begin;
        if is_measured {
            self.outcome.accesses += 1;
            self.outcome.in_accesses += took;
            // The wait for earlier stores belongs to no line here. A core does not wait for its own store.
            if kind != Access::Store {
                self.outcome.lost += at - begin;
            }
            if served.is_transfer {
                let lost = match kind {
                    Access::Store => Time::ZERO,
                    Access::Load | Access::Update => served.end - at,
                };
                self.outcome.transfers += 1;
                self.outcome.waited += served.waited;
                self.outcome.lost += lost;
                self.memory.count_served(line, site, lost);
            }
        }
        served.is_transfer && kind != Access::Store
    }

    fn into_outcome(self) -> Outcome {
        let clocks = self.cores.iter().map(|core| core.clock);
        Outcome {
            core_time: self.measured.unwrap_or_else(|| self.core_time(Time::ZERO)),
            end: clocks.max().unwrap_or_default(),
            hottest: self.memory.hottest(),
            work_times: self.work_times,
            ..self.outcome
        }
    }
}
