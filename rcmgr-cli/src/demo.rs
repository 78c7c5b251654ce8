//! `rcmgr demo`: a TCP server on loopback. Honest clients use it while others flood it. Everything
//! runs in one process.
//!
//! The same flood runs twice: against a server [without the manager](unguarded), and against one
//! that is guarded by it. A run has [stages](stage::Stage): honest clients connect and stay, then
//! the flooding addresses start, each at its own stage, so that one limit after another is reached.
//! At the end all clients leave, and every counter of the manager must be zero. A browser can watch
//! these runs.
//!
//! Then one address floods a [server with few slots](few_slots): without a proxy, and behind
//! `rcmgr guard`.

mod clients;
mod contrast;
mod dial;
mod fds;
mod few_slots;
mod flood;
mod format;
mod honest;
mod interrupt;
mod latency;
mod limit_args;
mod limit_watch;
mod log;
mod options;
mod plan;
mod play;
mod progress;
mod report;
mod scopes;
mod server;
mod stage;
mod tally;
mod unguarded;
mod verdict;
mod view;
mod wire;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Manager, ScopeClass};
use rcmgr_config::{LimitsFile, LimitsFileErrors, PartialLimits};
use rcmgr_metrics::trace::TraceSink;
use tokio::task::JoinSet;

pub use format::grouped;
pub use options::Options;

use crate::output::{self, print_error, wrong_use};

use dial::Naming;
use few_slots::FewSlots;
use interrupt::Interrupt;
use limit_watch::LimitWatch;
use plan::Plan;
use play::{Run, Setting, play};
use progress::{Bar, Progress, Refused};
use report::Report;
use scopes::{Scopes, Summary};
use server::Server;
use stage::Stage;
use tally::Tally;
use unguarded::Unguarded;

/// The errors that end the demo.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Limits(#[from] LimitsFileErrors),
    #[error("rcmgr: {0}")]
    Other(#[from] io::Error),
}

/// Runs the demo. The exit status is 0 if all checks pass: every counter is zero at the end, no
/// limit was ever exceeded, and so on.
pub fn run(options: &Options) -> ExitCode {
    if let Err(error) = plan::fit_together(options) {
        return wrong_use(error);
    }
    match try_run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            output::print_error(failure);
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> Result<bool, Failure> {
    let file = options.limits_file.as_ref();
    let file = file.map(LimitsFile::read_with_all_errors).transpose()?;
    let limits = file.as_ref().map(|file| file.limits.clone());
    let mut notices = Vec::new();
    let plan = plan(options, &limits.unwrap_or_default(), &mut notices)?;
    let naming = naming(options, &plan, &mut notices);
    print_plan(options, &plan, &notices);

    let runtime = tokio::runtime::Runtime::new()?;
    let sink = options.trace.as_ref().map(TraceSink::create).transpose()?;
    let builder = Manager::builder().limits(plan.limits.clone());
    let builder = match &sink {
        Some(sink) => builder.recorder(sink.recorder()),
        None => builder,
    };
    let manager = builder.build().map_err(io::Error::other)?;
    let bar = Bar::new(Duration::from_secs(options.seconds));
    let (allowed, _) = fds::raise(few_slots::fds());
    let log = log::start(&manager, &bar)?;
    let outcome = runtime.block_on(async {
        let setting = Setting {
            plan: &plan,
            naming,
            length: options.length_of_a_run(),
            interrupt: Interrupt::listen(),
        };
        if let Some(address) = options.http() {
            let served = view::serve(address, &manager, file).await?;
            print_error(format_args!("live view: http://{served}/"));
        }
        let mut outcome = play_all(&setting, &manager, &bar).await?;
        if !plan.floods.is_empty() && !outcome.interrupted {
            bar.tell("a server with few slots, without and with rcmgr guard in front of it");
            let length = options.length_of_visits();
            let few_slots = few_slots::play(allowed, naming, length, &setting.interrupt);
            outcome.few_slots = few_slots.await?;
            outcome.interrupted = setting.interrupt.is_pressed();
        }
        io::Result::Ok(outcome)
    })?;
    bar.erase();
    drop(log);
    // Tasks that did not end are in the report; do not wait for them.
    runtime.shutdown_background();
    if let (Some(sink), Some(path)) = (sink, &options.trace) {
        end_trace(sink, path)?;
    }
    if outcome.few_slots.is_none() && !plan.floods.is_empty() && !outcome.interrupted {
        notices.push(format!(
            "the server with few slots was left out: {} file descriptors are too few",
            grouped(allowed),
        ));
    }
    if outcome.interrupted {
        notices.push("interrupted: the flood ended early".to_owned());
    }

    let mut checks = verdict::checks(&manager, &outcome.watch, &outcome.tally, &outcome.unended);
    let few_slots = outcome.few_slots.as_ref();
    checks.extend(few_slots.into_iter().flat_map(FewSlots::checks));
    let report = Report {
        checks,
        few_slots,
        plan: &plan,
        notices: &notices,
        manager: &manager,
        scopes: outcome.scopes,
        tally: &outcome.tally,
        without: outcome.without.as_deref(),
        columns: output::terminal_columns(),
    };
    output::print(&report)?;
    Ok(report.passed())
}

/// Writes the end of the trace.
fn end_trace(sink: TraceSink, path: &Path) -> io::Result<()> {
    let stats = sink.counters();
    let path = path.display();
    sink.close()
        .map_err(|why| io::Error::new(why.kind(), format!("{path}: {why}")))?;
    print_error(format_args!(
        "trace: {path}: {} operations written, {} dropped",
        grouped(stats.written()),
        grouped(stats.dropped()),
    ));
    Ok(())
}

/// The plan that fits into the available file descriptors.
fn plan(options: &Options, file: &PartialLimits, notices: &mut Vec<String>) -> io::Result<Plan> {
    let (allowed, notice) = fds::raise(Plan::new(options, file, options.connections).fds());
    notices.extend(notice);
    let plan = Plan::within(options, file, allowed).ok_or_else(|| {
        let least = Plan::new(options, file, 1).fds();
        io::Error::other(format!(
            "with these options one honest connection needs {least} file descriptors, but only \
             {allowed} are allowed: see `ulimit -n`"
        ))
    })?;
    if plan.connections < options.connections {
        notices.push(format!(
            "reduced to {} honest connections from {}",
            grouped(plan.connections),
            grouped(options.connections),
        ));
    }
    Ok(plan)
}

/// The way to distinguish clients on this machine.
fn naming(options: &Options, plan: &Plan, notices: &mut Vec<String>) -> Naming {
    let first = plan.honest[0];
    let why = if options.one_address {
        "as requested".to_owned()
    } else if Naming::on_this_machine(first) == Naming::ByHello {
        format!("this machine does not have {first}")
    } else {
        return Naming::BySource;
    };
    notices.push(format!(
        "all clients connect from one address ({why}); the server identifies them by their hello"
    ));
    Naming::ByHello
}

fn print_plan(options: &Options, plan: &Plan, notices: &[String]) {
    output::print_error(format_args!(
        "honest connections: {} (addresses: {}), flooding addresses: {}, seconds: {}, file \
         descriptors: up to {}",
        grouped(plan.connections),
        plan.honest.len(),
        plan.floods.len(),
        options.seconds,
        grouped(plan.fds()),
    ));
    for notice in notices {
        output::print_error(format_args!("note: {notice}"));
    }
}

/// The results after all clients have left.
struct Outcome {
    /// The counters of the run without the manager; `None` if there is no flood.
    without: Option<Arc<Tally>>,
    /// The counters of the run with the manager.
    tally: Arc<Tally>,
    watch: Arc<LimitWatch>,
    /// The summaries, taken before the scopes were dropped.
    scopes: Vec<Summary>,
    /// The tasks that did not end normally.
    unended: Vec<String>,
    interrupted: bool,
    /// The server with few slots; `None` if it was not flooded.
    few_slots: Option<FewSlots>,
}

/// Plays the flood without and with the manager, or only the second run if there is no flood. An
/// interrupt during the first run leaves out the second.
async fn play_all(setting: &Setting<'_>, manager: &Manager, bar: &Bar) -> io::Result<Outcome> {
    let mut outcome = Outcome {
        without: None,
        tally: Arc::default(),
        watch: Arc::default(),
        scopes: Vec::new(),
        unended: Vec::new(),
        interrupted: false,
        few_slots: None,
    };
    if !setting.plan.floods.is_empty() {
        let tally = Arc::default();
        outcome.unended = without_manager(setting, &tally, bar).await?;
        outcome.without = Some(tally);
    }
    if !setting.interrupt.is_pressed() {
        with_manager(setting, manager, &mut outcome, bar).await?;
    }
    outcome.interrupted = setting.interrupt.is_pressed();
    Ok(outcome)
}

async fn without_manager(
    setting: &Setting<'_>,
    tally: &Arc<Tally>,
    bar: &Bar,
) -> io::Result<Vec<String>> {
    let server = Arc::new(Unguarded::new(&setting.plan.machine, tally.clone()));
    let run = Run {
        tally: tally.clone(),
        serve: |listener, stage| server.serve(listener, stage),
        has_effect: |_| tally.server.crashes.get() > 0,
        progress: Progress {
            bar: bar.clone(),
            tally: tally.clone(),
            refused: Refused::ByCrash,
        },
    };
    play(setting, run).await
}

/// No reference to a scope is left afterwards.
async fn with_manager(
    setting: &Setting<'_>,
    manager: &Manager,
    outcome: &mut Outcome,
    bar: &Bar,
) -> io::Result<()> {
    let Outcome { tally, watch, .. } = outcome;
    let scopes = Scopes::of(manager, setting.plan);
    let server = Arc::new(Server {
        manager: manager.clone(),
        tally: tally.clone(),
        watch: watch.clone(),
        naming: setting.naming,
    });
    let has_effect = |stage| {
        let class = match stage {
            Stage::OneHoards => ScopeClass::Peer,
            Stage::OneIsSilent => ScopeClass::Transient,
            _ => ScopeClass::System,
        };
        manager.refusals(class).total() > 0
    };
    let run = Run {
        tally: tally.clone(),
        serve: |listener, stage| server.serve(listener, stage),
        has_effect,
        progress: Progress {
            bar: bar.clone(),
            tally: tally.clone(),
            refused: Refused::By(manager.clone()),
        },
    };
    let mut watching = JoinSet::new();
    let (watched, watcher) = (scopes.all().cloned().collect::<Vec<_>>(), watch.clone());
    watching.spawn(async move {
        watcher.watch(&watched).await;
    });
    let unended = play(setting, run).await?;
    // The scopes that it watches must be gone, too.
    watching.shutdown().await;
    scopes.all().for_each(|scope| watch.check_peak(scope));
    outcome.scopes = scopes.summaries();
    outcome.unended.extend(unended);
    Ok(())
}
