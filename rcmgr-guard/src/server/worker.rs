//! A worker: a thread with a runtime of its own. Its connections stay there.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcmgr_tokio::Guarded;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::shed;
use crate::session::{Door, Front, Listening, Open, Table, listen};

/// A listener that is closed accepts what has arrived, until nothing came for this time.
const QUIET: Duration = Duration::from_millis(5);
/// But not for longer than this.
const LONGEST_CLOSE: Duration = Duration::from_millis(200);
/// How long a worker with its own table waits for its tasks in the end.
const LONGEST_END: Duration = Duration::from_secs(3);

/// The source of sockets that are open already, such as those of a service manager.
pub(super) type Opened =
    dyn Fn(SocketAddr) -> io::Result<Option<std::net::TcpListener>> + Send + Sync;

/// What a worker must know to listen.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) front: Arc<Front>,
    pub(super) on: SocketAddr,
    /// Whether other workers listen on the same address.
    pub(super) share: bool,
    /// File descriptors that connections leave free, if they are limited.
    pub(super) reserve: Option<u64>,
    pub(super) opened: Arc<Opened>,
    pub(super) closing: CancellationToken,
    /// Dropped when the socket is closed.
    pub(super) keeps_open: Sender<Infallible>,
}

struct Command {
    order: Order,
    reply: Sender<io::Result<SocketAddr>>,
}

/// A handle on the thread of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<Option<WorkerRuntime>>>,
}

/// The runtime of a worker. It may be dropped anywhere, also in an `async` function.
#[derive(Debug)]
pub(super) struct WorkerRuntime(Option<Runtime>);

impl Drop for WorkerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime for each worker.
///
/// A thread wakes a task of another runtime by a write to a descriptor of that runtime. So with tables of
/// their own, each thread must have the descriptors of all runtimes, with the same numbers. They have,
/// because all runtimes are there before the tables are copied, and because the table of the process
/// keeps these descriptors until the threads have ended.
pub(super) fn runtimes(count: usize) -> io::Result<Vec<WorkerRuntime>> {
    let runtime = |_| {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build()?;
        Ok(WorkerRuntime(Some(runtime)))
    };
    (0..count).map(runtime).collect()
}

impl Worker {
    /// Starts the thread. It has its own table of file descriptors if `own_descriptors`.
    pub(super) fn start(
        number: usize,
        runtime: WorkerRuntime,
        own_descriptors: bool,
        control: Arc<Control>,
    ) -> io::Result<Self> {
        let (commands, receiver) = unbounded_channel();
        let (ready, started) = channel();
        let name = format!("guard-{number}");
        let thread = thread::Builder::new().name(name).spawn(move || {
            let prepared = match own_descriptors {
                true => own_table(),
                false => Ok(()),
            };
            let is_ready = prepared.is_ok();
            // The server waits for it.
            let _ = ready.send(prepared);
            if is_ready && let Some(runtime) = &runtime.0 {
                runtime.block_on(async {
                    if number == 0 {
                        let cut = control.shared.cut.clone();
                        let shedding = shed::watch(Arc::clone(&control));
                        tokio::spawn(cut.run_until_cancelled_owned(shedding));
                    }
                    work(receiver, &control).await;
                });
            }
            end(runtime, own_descriptors)
        })?;
        let worker = Self {
            commands: Some(commands),
            thread: Some(thread),
        };
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(worker)
    }

    /// Makes the worker listen. Returns the address that it listens on.
    pub(super) fn listen(&self, order: Order) -> io::Result<SocketAddr> {
        let (reply, replied) = channel();
        let command = Command { order, reply };
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send(command).map_err(|_| gone())?;
        replied.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Worker {
    /// Ends the thread: all that runs there is dropped.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // The runtime is dropped here: this closes its descriptors in the table of the process. A
            // panic of the thread was reported by its hook.
            drop(thread.join());
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a worker has ended")
}

/// Ends the tasks of a runtime. Returns the runtime if its descriptors must be closed in the table of the
/// process.
fn end(runtime: WorkerRuntime, own_descriptors: bool) -> Option<WorkerRuntime> {
    if !own_descriptors {
        return None;
    }
    // A socket must be closed in the table that it is in, so no task may be left. Replies to refused
    // clients take a second.
    let start = Instant::now();
    let tasks = runtime.0.as_ref().map_or(0, |runtime| {
        let tasks = || runtime.metrics().num_alive_tasks();
        runtime.block_on(async {
            while tasks() > 0 && start.elapsed() < LONGEST_END {
                sleep(QUIET).await;
            }
        });
        tasks()
    });
    // If a task hangs, the runtime is dropped here, and its descriptors stay open in the process.
    (tasks == 0).then_some(runtime)
}

#[cfg(target_os = "linux")]
fn own_table() -> io::Result<()> {
    use nix::sched::{CloneFlags, unshare};
    Ok(unshare(CloneFlags::CLONE_FILES)?)
}

#[cfg(not(target_os = "linux"))]
fn own_table() -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "only Linux has a table of file descriptors for a thread",
    ))
}

/// Carries out commands until the server drops its end.
async fn work(mut commands: UnboundedReceiver<Command>, control: &Control) {
    while let Some(Command { order, reply }) = commands.recv().await {
        let listening = begin(order, control);
        // The server waits for it.
        let _ = reply.send(listening);
    }
}

/// Listens, and begins to accept.
fn begin(order: Order, control: &Control) -> io::Result<SocketAddr> {
    let Order {
        front,
        on,
        share,
        reserve,
        opened,
        closing,
        keeps_open,
    } = order;
    let socket = match opened(on)? {
        Some(socket) => socket,
        None => listen(on, share)?,
    };
    let address = socket.local_addr()?;
    let shared = &front.shared;
    let guarded = Guarded::new(Listening::new(socket)?, shared.manager.clone());
    let guarded = guarded.on_refusal(front.refusal());
    let table = Arc::new(Table::new(&front));
    control.add(&table);
    let sweep = sweep(Arc::downgrade(&table));
    tokio::spawn((shared.cut.clone()).run_until_cancelled_owned(sweep));
    let door = Door {
        guarded: match reserve {
            Some(count) => guarded.descriptors_in_reserve(count),
            None => guarded,
        },
        table,
    };
    let open = (keeps_open, Open::new(shared));
    tokio::spawn(accept(Arc::new(door), closing, open));
    Ok(address)
}

/// Accepts until the listener is closed. `open` is dropped then.
async fn accept(door: Arc<Door>, closing: CancellationToken, open: (Sender<Infallible>, Open)) {
    let mut closed = pin!(closing.cancelled());
    loop {
        tokio::select! {
            // First: under a flood, there is always a connection to accept.
            biased;
            () = &mut closed => break,
            () = door.serve_next() => {}
        }
    }
    // The kernel would reset the connections that have arrived and are not accepted yet.
    let rest = async { while timeout(QUIET, door.serve_next()).await.is_ok() {} };
    let cut = &door.front().shared.cut;
    let _ = cut.run_until_cancelled(timeout(LONGEST_CLOSE, rest)).await;
    door.guarded.listener().close();
    drop(open);
}

/// Cuts the sessions of a table that are over a timeout, as long as the table is in use.
async fn sweep(table: Weak<Table>) {
    while let Some(pause) = table.upgrade().map(|table| table.sweep()) {
        sleep(pause).await;
    }
}
