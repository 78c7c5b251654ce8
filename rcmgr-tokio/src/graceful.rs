//! The graceful end of a server: stop accepting, wait with a deadline, then cut the rest.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::{Endpoint, ManagerStat};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::first_byte::Side;

/// How long the end waits after the cut. A task that is not blocked ends long before.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// The graceful end of a server.
///
/// It counts the connections of its listeners and the tasks that it spawns. [`end`](Self::end) gives
/// them notice, waits until all are gone, and cuts those that are left at the deadline. A connection
/// is counted until its socket is closed, also after an HTTP upgrade or a split, and also in a task
/// of hyper or axum. Clones are handles on the same end.
///
/// ```
/// use std::time::Duration;
///
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_tokio::{Graceful, Guarded};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::new(Limits::unlimited())?;
/// let graceful = Graceful::new();
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let listener = Guarded::new(listener, manager.clone());
///
/// let accepting = graceful.clone();
/// tokio::spawn(async move {
///     while let Some(mut stream) = accepting.accept(&listener).await {
///         accepting.spawn(async move {
///             let (mut reader, mut writer) = tokio::io::split(&mut stream);
///             tokio::io::copy(&mut reader, &mut writer).await
///         });
///     }
/// });
///
/// let client = TcpStream::connect(address).await?;
/// # while manager.stat().system.conns_inbound == 0 { tokio::task::yield_now().await; }
/// let left = graceful.end(&manager, Duration::from_millis(10)).await.unwrap_err();
/// assert_eq!(left.connections, [client.local_addr()?.into()]);
/// assert!(left.hanging.is_empty() && manager.stat().system.is_zero());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Graceful {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Tasks and connections.
    tasks: TaskTracker,
    notice: CancellationToken,
    cut: CancellationToken,
    open: Mutex<Open>,
}

/// The connections that are open, by number.
#[derive(Default)]
struct Open {
    next: u64,
    peers: HashMap<u64, Endpoint>,
}

impl Graceful {
    /// The end of a server, which has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that is cancelled when the end begins. The task of a long connection waits for it,
    /// tells its client, and ends.
    pub fn notice(&self) -> CancellationToken {
        self.state.notice.clone()
    }

    /// Spawns a task that is counted, and cut at the deadline. Its result is `None` if it was cut.
    ///
    /// # Panics
    ///
    /// As [`tokio::spawn`], outside of a runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        // With a token of its own, a task takes no lock that others take, too.
        let cut = self.state.cut.child_token();
        let task = cut.run_until_cancelled_owned(future);
        self.state.tasks.spawn(task)
    }

    /// Gives notice, and waits until all tasks and connections are gone. Those that are left after
    /// `within` are [cut](Self::cut).
    ///
    /// It is cancel-safe, and may be called again: the notice stays given.
    ///
    /// # Errors
    ///
    /// The connections and tasks that were left at the deadline. A task that blocks its thread cannot
    /// be cut: the call waits a second for it, and reports it.
    pub async fn end(&self, manager: &Manager, within: Duration) -> Result<(), Box<Left>> {
        let State { tasks, notice, .. } = &*self.state;
        notice.cancel();
        tasks.close();
        if timeout(within, tasks.wait()).await.is_ok() {
            return Ok(());
        }
        let (connections, running) = self.open();
        self.cut();
        // The result does not matter, because the report lists those that hang.
        let _ = timeout(AFTER_CUT, tasks.wait()).await;
        let (hanging, hanging_tasks) = self.open();
        Err(Box::new(Left {
            connections,
            tasks: running,
            hanging,
            hanging_tasks,
            stat: manager.stat(),
        }))
    }

    /// Cuts everything at once: tasks are dropped, and each operation on a connection fails. Call it
    /// at a second signal to end.
    pub fn cut(&self) {
        self.state.notice.cancel();
        self.state.cut.cancel();
    }

    /// The connections that are open, and how many tasks run.
    fn open(&self) -> (Vec<Endpoint>, usize) {
        let open = self.state.lock();
        let peers: Vec<Endpoint> = open.peers.values().copied().collect();
        // A connection that was just closed is no longer in the list, and still in the tracker.
        let tasks = self.state.tasks.len().saturating_sub(peers.len());
        (peers, tasks)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Graceful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graceful")
            .field("open", &self.state.tasks.len())
            .field("has_begun", &self.state.notice.is_cancelled())
            .field("is_cut", &self.state.cut.is_cancelled())
            .finish()
    }
}

/// The connections and tasks that were left at the deadline: see [`Graceful::end`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Left {
    /// The remote endpoints of the connections that were open at the deadline. They were cut.
    pub connections: Vec<Endpoint>,
    /// How many tasks ran at the deadline. They were cut.
    pub tasks: usize,
    /// The remote endpoints of the connections that are still open after the cut.
    pub hanging: Vec<Endpoint>,
    /// How many tasks still run after the cut: they block their thread.
    pub hanging_tasks: usize,
    /// The usage after the cut.
    pub stat: ManagerStat,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cut at the deadline: connections {}, tasks {}; still there after the cut: connections {}, \
             tasks {}; in use: {}",
            self.connections.len(),
            self.tasks,
            self.hanging.len(),
            self.hanging_tasks,
            self.stat.system,
        )
    }
}

impl std::error::Error for Left {}

/// A connection that is counted and can be cut: the part of a stream that belongs to a [`Graceful`].
#[derive(Debug)]
pub(crate) struct Membership {
    graceful: Graceful,
    number: u64,
    /// A token of this connection alone: its lock is shared with no other.
    cut: CancellationToken,
    // Each side waits on its own, because two tasks may wait.
    read: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    write: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    // The last field: it is counted until its entry in the list is gone.
    _counted: TaskTrackerToken,
}

impl Membership {
    pub(crate) fn new(graceful: &Graceful, peer: Endpoint) -> Self {
        let state = &graceful.state;
        let counted = state.tasks.token();
        let mut open = state.lock();
        let number = open.next;
        open.next += 1;
        open.peers.insert(number, peer);
        drop(open);
        Self {
            graceful: graceful.clone(),
            number,
            cut: state.cut.child_token(),
            read: None,
            write: None,
            _counted: counted,
        }
    }

    /// Passes the result of an operation on, or an error instead if the connection is cut.
    pub(crate) fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // A busy connection is cut as well as one that waits.
        if !self.cut.is_cancelled() {
            let result = operation(cx);
            if result.is_ready() || self.poll_cut(cx, side).is_pending() {
                return result;
            }
        }
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the server ends: the connection was cut at the deadline",
        )))
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>, side: Side) -> Poll<()> {
        let cut = match side {
            Side::Read => &mut self.read,
            Side::Write => &mut self.write,
        };
        cut.get_or_insert_with(|| Box::pin(self.cut.clone().cancelled_owned()))
            .as_mut()
            .poll(cx)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.graceful.state.lock().peers.remove(&self.number);
    }
}
