//! Runs the proxy until a signal ends it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_config::reload::LimitsWatcher;
use rcmgr_guard::{Descriptors, GuardFile, Server};
use rcmgr_metrics::RefusalLog;
use tokio::runtime::Builder;
use tokio::time::interval;

use super::closed_log::ClosedLog;
use super::drain::drain;
use super::in_force::InForce;
use super::inherited::Inherited;
use super::log;
use super::signals::{Request, Signals};
use super::source::Source;
use super::start::{Start, allowed_descriptors};
use super::view::View;
use crate::output::{print, print_error};

/// The time between two looks for refusals and closed connections.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the proxy.
pub fn run(source: &Source) -> ExitCode {
    // Before a thread starts: it changes the environment.
    let inherited = Inherited::from_environment();
    let file = match source.read_or_report() {
        Ok(file) => file,
        Err(status) => return status,
    };
    let run = inherited.and_then(|inherited| try_run(source, file, inherited));
    run.unwrap_or_else(|error| {
        print_error(format_args!("rcmgr: {error}"));
        ExitCode::FAILURE
    })
}

fn try_run(source: &Source, file: GuardFile, inherited: Inherited) -> io::Result<ExitCode> {
    log::start()?;
    let allowed = allowed_descriptors();
    let descriptors = Descriptors::of(&file.settings, allowed);
    let manager = Manager::new(file.limits_within(descriptors)).map_err(io::Error::other)?;
    // All of this is there before the server. If a worker has its own table of descriptors, it gets
    // a copy of these: a signal and the release of room are written to a descriptor by any thread.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _in_runtime = runtime.enter();
    let mut signals = Signals::listen()?;
    let view = file.view.map(View::listen).transpose()?;

    let inherited = Arc::new(inherited);
    let opened = Arc::clone(&inherited);
    let server = Server::start_with(manager.clone(), file.settings.clone(), move |on| {
        opened.on(on)
    })?;
    let start = Start::new(&file, descriptors).running(server.addresses());
    start.warnings().iter().for_each(print_error);
    for unused in inherited.addresses().filter(|on| !uses(&server, *on)) {
        print_error(format_args!(
            "warning: the socket {unused} of the service manager has no listener"
        ));
    }
    let text = start.to_string();
    let proxy = Arc::new(InForce::new(server, file, allowed));
    let watcher = proxy.follow(source.clone()).map_err(io::Error::other)?;
    let refusals = RefusalLog::new(manager).start(LOOK_EVERY)?;
    let view = view.map(|view| {
        let address = view.address();
        view.serve(&proxy, &watcher)?;
        Ok::<_, io::Error>(format!("live view: http://{address}/\n"))
    });
    print(text + &view.transpose()?.unwrap_or_default())?;

    let mut closed = ClosedLog::new();
    let status = runtime.block_on(async {
        let mut serving = pin!(serve(&proxy, &watcher, &mut signals));
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                status = &mut serving => break status,
                _ = look.tick() => closed.look(&proxy.counts()),
            }
        }
    });
    closed.flush(&proxy.counts());
    // It logs the last refusals.
    drop(refusals);
    Ok(status)
}

/// Whether a listener of the server is on the address of an inherited socket.
fn uses(server: &Server, socket: SocketAddr) -> bool {
    let mut addresses = server.addresses().into_iter();
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    addresses.any(|address| canonical(address) == canonical(socket))
}

/// Serves until a signal ends it, and until the connections have ended.
async fn serve(proxy: &Arc<InForce>, watcher: &LimitsWatcher, signals: &mut Signals) -> ExitCode {
    let first = loop {
        match signals.next().await {
            Request::Reload => watcher.reload(),
            Request::End(signal) => break signal,
        }
    };
    drain(Arc::clone(proxy), first, signals).await
}
