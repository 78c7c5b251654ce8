//! The server: its workers, its listeners, and its end.

mod control;
mod drain;
mod own_listeners;
mod shed;
mod worker;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rcmgr_atomic::Manager;
use tokio_util::sync::CancellationToken;

use self::control::Control;
pub use self::drain::Drained;
use self::own_listeners::Named;
use self::worker::{Opened, Order, Worker};
use crate::counts::Counts;
use crate::descriptors::in_reserve;
use crate::session::{Front, Shared};
use crate::settings::{Listen, Settings, Workers};

/// How long a change of the listeners waits for sockets that are about to be closed.
const LONGEST_CLOSE: Duration = Duration::from_secs(1);

/// A proxy that runs.
///
/// A client is admitted by the manager: a connection to the client with its address and peer, and one
/// to the backend, both with the service of the listener and a file descriptor. The limits by address
/// apply to clients alone, not to backends. A peer is an IPv4 address or an IPv6 network of 64 bits.
///
/// The methods need no runtime, and block their thread: [`drain`](Self::drain) for a second more
/// than its argument at most, the others for a short time. In an `async` function, call them in
/// [`spawn_blocking`](tokio::task::spawn_blocking). Dropping the server cuts all sessions.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::{Duration, Instant};
///
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_guard::{
///     Listen, OnRefusal, Overflow, ProxyProtocol, Server, Settings, Timeouts, Workers,
/// };
///
/// let backend = TcpListener::bind("127.0.0.1:0")?;
/// let settings = Settings {
///     listeners: vec![Listen {
///         on: "127.0.0.1:0".parse()?,
///         to: vec![backend.local_addr()?.to_string().into()],
///         service: "echo".into(),
///         proxy_protocol: ProxyProtocol::default(),
///         queue: None,
///         timeouts: Timeouts::default(),
///         on_refusal: OnRefusal::Reset,
///         splice: false,
///     }],
///     workers: Workers { count: 1, own_descriptors: false },
///     overflow: Overflow::Keep,
///     drain: Duration::from_secs(30),
/// };
/// let mut limits = Limits::unlimited();
/// limits.peer_default.conns_inbound = 20.into();
/// let manager = Manager::new(limits)?;
/// let server = Server::start(manager.clone(), settings)?;
///
/// let mut client = TcpStream::connect(server.addresses()[0])?;
/// let (mut served, _) = backend.accept()?;
/// client.write_all(b"ping")?;
/// let mut bytes = [0; 4];
/// served.read_exact(&mut bytes)?;
/// assert_eq!(&bytes, b"ping");
/// assert_eq!(manager.stat().services["echo"].conns_inbound, 1);
///
/// server.drain(Duration::from_millis(10));
/// assert!(manager.stat().system.is_zero());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    control: Arc<Control>,
    state: Mutex<State>,
    opened: Arc<Opened>,
    // The last field: the threads end when the others are gone.
    workers: Vec<Worker>,
}

/// What a reload changes.
struct State {
    workers: Workers,
    listeners: Vec<Listener>,
}

/// Closes the listeners when it is dropped.
struct Undo(Vec<Listener>);

impl Drop for Undo {
    fn drop(&mut self) {
        close(std::mem::take(&mut self.0));
    }
}

/// A listener on all workers.
struct Listener {
    front: Arc<Front>,
    /// The address that it listens on: with a port of the kernel if the settings have port 0.
    address: SocketAddr,
    closing: CancellationToken,
    /// Disconnected when its sockets are closed.
    is_open: Receiver<Infallible>,
}

/// Closes listeners, and waits until their addresses are free.
fn close(listeners: Vec<Listener>) {
    for listener in &listeners {
        listener.closing.cancel();
    }
    let end = Instant::now() + LONGEST_CLOSE;
    for listener in listeners {
        let left = end.saturating_duration_since(Instant::now());
        // A worker may hang. Then the address is free later.
        let _ = listener.is_open.recv_timeout(left);
    }
}

impl Server {
    /// Starts the workers, and listens on all addresses.
    ///
    /// With several workers, each has a listening socket of its own on each address, and the kernel
    /// spreads the clients among them.
    ///
    /// With descriptor tables of their own, workers start with a copy of all descriptors that are
    /// open. Two rules follow:
    ///
    /// - Start the server before sockets are opened elsewhere in the process. A socket that is
    ///   closed elsewhere stays open in the copies.
    /// - Make the other runtimes of the process first, those of other servers included, if their tasks
    ///   wait for something that a session may give: room in the manager, or a file descriptor of a
    ///   [`Guarded`](rcmgr_tokio::Guarded) listener. A worker wakes such a task by a write to a
    ///   descriptor of its runtime, whose number means something else in a table that was copied
    ///   before.
    ///
    /// # Errors
    ///
    /// Two listeners on one address, a backend that is a listener of this server, an address that
    /// cannot be listened on, or a thread that cannot start. Nothing runs then.
    ///
    /// Names of backends are looked up for that, for at most two seconds. One that is not found by then
    /// is no error: it is looked up again when it is connected to.
    pub fn start(manager: Manager, settings: Settings) -> io::Result<Self> {
        Self::start_with(manager, settings, |_| Ok(None))
    }

    /// The same, with sockets that are open already, such as those of a service manager. Each worker
    /// calls `opened` with each address, in its own thread. If there is no socket for the address, it
    /// opens one itself.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and those of `opened`.
    pub fn start_with(
        manager: Manager,
        settings: Settings,
        opened: impl Fn(SocketAddr) -> io::Result<Option<std::net::TcpListener>> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let Settings {
            listeners,
            workers: threads,
            overflow,
            drain: _,
        } = settings;
        let control = Arc::new(Control::new(Shared::new(manager), overflow));
        let start = |(number, runtime)| {
            Worker::start(
                number,
                runtime,
                threads.own_descriptors,
                Arc::clone(&control),
            )
        };
        let runtimes = worker::runtimes(threads.count.max(1))?;
        let workers = runtimes.into_iter().enumerate().map(start);
        let server = Self {
            workers: workers.collect::<io::Result<_>>()?,
            control,
            state: Mutex::new(State {
                workers: threads,
                listeners: Vec::new(),
            }),
            opened: Arc::new(opened),
        };
        server.change_listeners(listeners)?;
        Ok(server)
    }

    /// Changes the settings in place. No connection is cut.
    ///
    /// A listener whose address was there before keeps its socket. Its new timeouts apply to all
    /// sessions, its other new settings to clients that arrive from now on. A listener whose address
    /// is gone is closed when this returns, and its sessions go on. A change of the workers needs a
    /// restart: a warning says so. After the end of the server has begun, the listeners stay as they are.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start). Nothing is changed then.
    pub fn apply(&self, settings: Settings) -> io::Result<()> {
        let Settings {
            listeners,
            workers,
            overflow,
            drain: _,
        } = settings;
        self.change_listeners(listeners)?;
        self.control.set_overflow(overflow);
        let running = self.lock().workers;
        if running != workers {
            tracing::warn!(
                "workers = {} and own-descriptors = {} need a restart: until then the proxy has {} \
                 and {}",
                workers.count,
                workers.own_descriptors,
                running.count,
                running.own_descriptors,
            );
        }
        Ok(())
    }

    /// Stops accepting, and waits until all sessions have ended. Those that are left after `within`
    /// are cut.
    ///
    /// Clients that wait for room are refused. Sessions without traffic are closed one after the
    /// other, spread over the time, so that their clients do not all come back at the same moment
    /// elsewhere. Afterwards the server does nothing.
    pub fn drain(&self, within: Duration) -> Drained {
        drain::drain(&self.control, within)
    }

    /// Stops accepting, and cuts all sessions at once: both sides get a reset. A
    /// [`drain`](Self::drain) in another thread ends. Call it at a second signal to end.
    pub fn cut(&self) {
        self.control.cut();
    }

    /// The addresses that it listens on, in the order of the settings. Where the settings have port
    /// 0, the kernel has chosen one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let state = self.lock();
        let addresses = state.listeners.iter().map(|listener| listener.address);
        addresses.collect()
    }

    /// The counters of each listener, in the order of the settings. Those of a listener that is gone
    /// are gone with it.
    pub fn counts(&self) -> Vec<Counts> {
        let state = self.lock();
        let listeners = state.listeners.iter();
        listeners
            .map(|listener| listener.front.counters.read())
            .collect()
    }

    /// The manager that admits the connections.
    pub fn manager(&self) -> &Manager {
        &self.control.shared.manager
    }

    /// Adds, changes and removes listeners; all or nothing.
    fn change_listeners(&self, settings: Vec<Listen>) -> io::Result<()> {
        check_addresses(&settings)?;
        // Without the lock, because a lookup takes long.
        let named = Named::of(&settings);
        let mut state = self.lock();
        if self.control.shared.ending.is_cancelled() {
            tracing::debug!("the proxy ends, so its listeners are not changed");
            return Ok(());
        }
        // For each new listener, the one of before that has its address.
        let mut kept: Vec<Option<usize>> = Vec::new();
        for listen in &settings {
            let same = |(at, old): (usize, &Listener)| {
                !kept.contains(&Some(at)) && [old.front.on(), old.address].contains(&listen.on)
            };
            kept.push(state.listeners.iter().enumerate().position(same));
        }
        // The new ones first, because only they can fail.
        let opened = self.open_new(&settings, &kept, &named, &state)?;
        let mut opened = opened.into_iter();
        let mut before = Vec::from_iter(state.listeners.drain(..).map(Some));
        for (listen, kept) in settings.into_iter().zip(kept) {
            match kept.and_then(|at| before[at].take()) {
                Some(listener) => {
                    listener.front.change(listen);
                    state.listeners.push(listener);
                }
                None => state.listeners.extend(opened.next()),
            }
        }
        drop(state);
        close(before.into_iter().flatten().collect());
        Ok(())
    }

    /// Opens the listeners that are not kept. If one of them fails, or a backend is a listener, none
    /// is open.
    fn open_new(
        &self,
        settings: &[Listen],
        kept: &[Option<usize>],
        named: &Named,
        state: &State,
    ) -> io::Result<Vec<Listener>> {
        let address = |(listen, kept): (&Listen, &Option<usize>)| match kept {
            Some(at) => state.listeners[*at].address,
            None => listen.on,
        };
        let mut on = Vec::from_iter(settings.iter().zip(kept).map(address));
        named.check(settings, &on)?;
        let reserve = reserve(state.workers, settings);
        // Those that are open already are closed if a later one fails.
        let mut opened = Undo(Vec::new());
        for (listen, (kept, on)) in settings.iter().zip(kept.iter().zip(&mut on)) {
            if kept.is_some() {
                continue;
            }
            let listener = self.open(listen, state.workers, reserve).map_err(|error| {
                let reason = format!("cannot listen on {}: {error}", listen.on);
                io::Error::new(error.kind(), reason)
            })?;
            *on = listener.address;
            opened.0.push(listener);
        }
        // Again, with the ports that the kernel has chosen.
        named.check(settings, &on)?;
        Ok(std::mem::take(&mut opened.0))
    }

    /// Listens on one address, on all workers.
    fn open(
        &self,
        listen: &Listen,
        workers: Workers,
        reserve: Option<u64>,
    ) -> io::Result<Listener> {
        let shared = &self.control.shared;
        let closing = shared.ending.child_token();
        // Dropped without having been disarmed, it closes the sockets of the workers that succeeded.
        let undo = closing.clone().drop_guard();
        let front = Arc::new(Front::new(listen.clone(), shared));
        let (keeps_open, is_open) = channel();
        let mut address = listen.on;
        for worker in &self.workers {
            address = worker.listen(Order {
                front: Arc::clone(&front),
                // The port that the first worker got, if the kernel has chosen it.
                on: address,
                share: workers.count > 1,
                reserve,
                opened: Arc::clone(&self.opened),
                closing: closing.clone(),
                keeps_open: keeps_open.clone(),
            })?;
        }
        undo.disarm();
        Ok(Listener {
            front,
            address,
            closing,
            is_open,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file descriptors that connections leave free. With tables of their own, the limit of one table
/// says nothing.
fn reserve(workers: Workers, listeners: &[Listen]) -> Option<u64> {
    match workers.own_descriptors {
        true => None,
        false => Some(in_reserve(listeners, workers, descriptors_allowed())),
    }
}

#[cfg(target_os = "linux")]
fn descriptors_allowed() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

#[cfg(not(target_os = "linux"))]
fn descriptors_allowed() -> u64 {
    0
}

/// Port 0 stands for a different port each time.
fn check_addresses(listeners: &[Listen]) -> io::Result<()> {
    for (at, listen) in listeners.iter().enumerate() {
        let is_same = |other: &Listen| other.on == listen.on && listen.on.port() != 0;
        if listeners[..at].iter().any(is_same) {
            let reason = format!("two listeners are on {}: remove one", listen.on);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        // The workers have a moment to reset the sessions before their threads end.
        self.drain(Duration::ZERO);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses())
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}
