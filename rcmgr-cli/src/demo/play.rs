//! One run of server and clients, through all stages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clients;
use super::dial::{Dialer, Naming};
use super::interrupt::Interrupt;
use super::plan::Plan;
use super::progress::Progress;
use super::server;
use super::stage::{self, Arrivals, Stage};
use super::tally::Tally;

/// The time limit for the clients to leave, and then for the server to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// What all runs have in common.
pub struct Setting<'a> {
    /// The numbers.
    pub plan: &'a Plan,
    /// The way to distinguish clients.
    pub naming: Naming,
    /// The time of the flood.
    pub length: Duration,
    /// Ends the flood early.
    pub interrupt: Interrupt,
}

/// What a run is about.
pub struct Run<S, F> {
    /// The counters.
    pub tally: Arc<Tally>,
    /// Starts the server. It returns the number of connections that ended in a panic.
    pub serve: S,
    /// Whether the flood of a stage had its effect.
    pub has_effect: F,
    /// Shows the counters.
    pub progress: Progress,
}

/// Runs server and clients. Returns a description of each task that did not end normally.
pub async fn play<S, Served, F>(setting: &Setting<'_>, run: Run<S, F>) -> io::Result<Vec<String>>
where
    S: FnOnce(TcpListener, watch::Receiver<Stage>) -> Served,
    Served: Future<Output = u64> + Send + 'static,
    F: Fn(Stage) -> bool,
{
    let Setting {
        plan,
        naming,
        length,
        interrupt,
    } = setting;
    let (announce, stage) = watch::channel(Stage::Connecting);
    let listener = server::listen()?;
    let dialer = Dialer {
        server: listener.local_addr()?,
        naming: *naming,
    };
    let server = tokio::spawn((run.serve)(listener, stage.clone()));
    let (came, all_came) = watch::channel(0);
    let clients = clients::start(plan, dialer, &run.tally, came, &stage);
    // It is aborted when dropped.
    let mut shown = JoinSet::new();
    shown.spawn(run.progress.show(stage));

    let arrivals = Arrivals {
        came: all_came,
        all: plan.connections,
    };
    let stages = plan.flooded_stages();
    let mut interrupt = interrupt.clone();
    tokio::select! {
        () = stage::direct(&announce, &stages, arrivals, *length, run.has_effect) => {}
        () = interrupt.pressed() => {}
    }
    announce.send_replace(Stage::Leaving);
    let left = wait_for_clients(clients).await;
    announce.send_replace(Stage::Closing);
    let closed = match timeout(LEAVE_WITHIN, server).await {
        Ok(Ok(0)) => None,
        Ok(Ok(panics)) => Some(format!("{panics} connections ended in a panic")),
        Ok(Err(panic)) => Some(format!("the server ended in a panic: {panic}")),
        Err(_) => Some("the server did not end".to_owned()),
    };
    Ok(left.into_iter().chain(closed).collect())
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
