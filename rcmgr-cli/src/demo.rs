//! `rcmgr demo`: a TCP server on loopback that is guarded by the manager. Honest clients use it
//! while others flood it. Everything runs in one process.
//!
//! The demo has [stages](stage::Stage): honest clients connect and stay, then the flooding
//! addresses start, each at its own stage, so that one limit after another is reached. At the end
//! all clients leave, and every counter of the manager must be zero. A browser can watch the demo.

mod clients;
mod dial;
mod fds;
mod flood;
mod format;
mod honest;
mod latency;
mod limit_watch;
mod log;
mod options;
mod plan;
mod progress;
mod report;
mod scopes;
mod server;
mod stage;
mod tally;
mod verdict;
mod view;
mod wire;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_metrics::trace::TraceSink;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use options::Options;

use crate::output;

use dial::{Dialer, Naming};
use format::grouped;
use limit_watch::LimitWatch;
use plan::Plan;
use progress::{Bar, Progress};
use report::Report;
use scopes::{Scopes, Summary};
use server::Server;
use stage::Stage;
use tally::Tally;

/// The time limit for the clients to leave, and then for the server to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// Runs the demo. The exit status is 0 if all checks pass: every counter is zero at the end, no
/// limit was ever exceeded, and so on.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rcmgr: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> io::Result<bool> {
    let mut notices = Vec::new();
    let plan = plan(options, &mut notices)?;
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
    let length = Duration::from_secs(options.seconds);
    let bar = Bar::new(length);
    let log = log::start(&manager, &bar)?;
    let outcome = runtime.block_on(async {
        if let Some(address) = options.http() {
            let served = view::serve(address, &manager).await?;
            eprintln!("live view: http://{served}/");
        }
        play(&plan, &manager, naming, length, bar).await
    })?;
    drop(log);
    // Tasks that did not end are in the report; do not wait for them.
    runtime.shutdown_background();
    if let (Some(sink), Some(path)) = (sink, &options.trace) {
        end_trace(sink, path)?;
    }

    let report = Report {
        checks: verdict::checks(&manager, &outcome.watch, &outcome.tally, &outcome.unended),
        plan: &plan,
        notices: &notices,
        manager: &manager,
        scopes: outcome.scopes,
        tally: &outcome.tally,
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
    eprintln!(
        "trace: {path}: {} operations written, {} dropped",
        grouped(stats.written()),
        grouped(stats.dropped()),
    );
    Ok(())
}

/// The plan that fits into the available file descriptors.
fn plan(options: &Options, notices: &mut Vec<String>) -> io::Result<Plan> {
    let (allowed, notice) = fds::raise(Plan::new(options, options.connections).fds());
    notices.extend(notice);
    let plan = Plan::within(options, allowed).ok_or_else(|| {
        let least = Plan::new(options, 1).fds();
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
    eprintln!(
        "honest connections: {} (addresses: {}), flooding addresses: {}, seconds: {}, file \
         descriptors: up to {}",
        grouped(plan.connections),
        plan.honest.len(),
        plan.floods.len(),
        options.seconds,
        grouped(plan.fds()),
    );
    for notice in notices {
        eprintln!("note: {notice}");
    }
}

/// The results after all clients have left.
struct Outcome {
    tally: Arc<Tally>,
    watch: Arc<LimitWatch>,
    /// The summaries, taken before the scopes were dropped.
    scopes: Vec<Summary>,
    /// The tasks that did not end normally.
    unended: Vec<String>,
}

/// Runs server and clients. No reference to a scope is left afterwards.
async fn play(
    plan: &Plan,
    manager: &Manager,
    naming: Naming,
    length: Duration,
    bar: Bar,
) -> io::Result<Outcome> {
    let scopes = Scopes::of(manager, plan);
    let tally = Arc::new(Tally::default());
    let watch = Arc::new(LimitWatch::default());
    let (announce, stage) = watch::channel(Stage::Connecting);

    let listener = server::listen()?;
    let dialer = Dialer {
        server: listener.local_addr()?,
        naming,
    };
    let server = Server {
        manager: manager.clone(),
        tally: tally.clone(),
        watch: watch.clone(),
        naming,
    };
    let server = tokio::spawn(Arc::new(server).serve(listener, stage.clone()));
    let (came, mut all_came) = watch::channel(0);
    let clients = clients::start(plan, dialer, &tally, came, &stage);

    let run = async {
        let all_came = async {
            // Fails if all clients have ended: then no further client will connect.
            let _ = all_came.wait_for(|came| *came >= plan.connections).await;
        };
        stage::direct(&announce, &plan.flooded_stages(), all_came, length).await;
        let left = wait_for_clients(clients).await;
        announce.send_replace(Stage::Closing);
        let closed = match timeout(LEAVE_WITHIN, server).await {
            Ok(Ok(0)) => None,
            Ok(Ok(panics)) => Some(format!("{panics} connections ended in a panic")),
            Ok(Err(panic)) => Some(format!("the server ended in a panic: {panic}")),
            Err(_) => Some("the server did not end".to_owned()),
        };
        left.into_iter().chain(closed).collect()
    };
    let progress = Progress {
        bar,
        manager,
        tally: &tally,
        stage,
    };
    let watched: Vec<_> = scopes.all().cloned().collect();
    let unended = tokio::select! {
        unended = run => unended,
        _ = watch.watch(&watched) => unreachable!("the watch runs until it is dropped"),
        _ = progress.show() => unreachable!("the display runs until it is dropped"),
    };
    scopes.all().for_each(|scope| watch.check_peak(scope));
    Ok(Outcome {
        scopes: scopes.summaries(),
        tally,
        watch,
        unended,
    })
}

/// Waits for the clients to leave. Returns a description if some did not.
async fn wait_for_clients(mut clients: JoinSet<()>) -> Option<String> {
    let mut panics = 0;
    let all_left = async {
        while let Some(ended) = clients.join_next().await {
            panics += u64::from(ended.is_err());
        }
    };
    let in_time = timeout(LEAVE_WITHIN, all_left).await.is_ok();
    match (in_time, panics) {
        (true, 0) => None,
        (true, _) => Some(format!("{panics} clients ended in a panic")),
        (false, _) => Some(format!("{} clients did not leave", clients.len())),
    }
}
