//! The proxies that are compared: each is a process with one thread that works, and has the same
//! limit for each source.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::{Limits, Manager};
use rcmgr_guard::{
    Listen, OnRefusal, Overflow, ProxyProtocol, Server, Settings, Timeouts, Workers,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::process::{Process, wait_for_end};

/// The longest silence that each proxy allows.
const IDLE: Duration = Duration::from_secs(3600);
const CONNECT: Duration = Duration::from_secs(5);
/// How many connections HAProxy may have.
const MOST_CONNECTIONS: u64 = 9_700;
/// The file descriptors of HAProxy that are not for connections. It does not start with fewer.
const OTHER_DESCRIPTORS: u64 = 600;

/// A proxy to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Guard,
    HaProxy,
    /// `copy_bidirectional` of tokio, and a map of counts by address under a lock.
    Copy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guard => "guard",
            Self::HaProxy => "HAProxy",
            Self::Copy => "copy_bidirectional",
        })
    }
}

/// How a proxy is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    pub backends: Vec<SocketAddr>,
    /// The limit of connections of each source.
    pub per_source: u64,
    /// Worker threads with descriptor tables of their own; only for guard. `0`: one without.
    pub own_tables: usize,
}

/// A proxy that runs.
pub struct Proxy {
    pub process: Process,
    pub address: SocketAddr,
    /// The file of HAProxy is there as long as it runs.
    _folder: Option<TempDir>,
}

impl Proxy {
    pub fn start(kind: Kind, setup: &Setup) -> io::Result<Self> {
        let role = match kind {
            Kind::HaProxy => return haproxy(setup),
            Kind::Guard => "guard",
            Kind::Copy => "copy",
        };
        let mut arguments = vec![setup.per_source.to_string(), setup.own_tables.to_string()];
        arguments.extend(setup.backends.iter().map(SocketAddr::to_string));
        let mut process = Process::role(role, &arguments)?;
        let address = process.line()?.parse().map_err(io::Error::other)?;
        Ok(Self {
            process,
            address,
            _folder: None,
        })
    }
}

/// How many connections each proxy may have with this limit of file descriptors.
pub const fn most_connections(descriptors: u64) -> u64 {
    let allowed = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2;
    if allowed < MOST_CONNECTIONS {
        allowed
    } else {
        MOST_CONNECTIONS
    }
}

/// The version of HAProxy, if it is installed.
pub fn haproxy_version() -> Option<String> {
    let output = Command::new("haproxy").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().next()?;
    Some(first.split(" - ").next().unwrap_or(first).to_owned())
}

fn haproxy(setup: &Setup) -> io::Result<Proxy> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("haproxy.cfg");
    // HAProxy does not say which port the kernel gave it. This one was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (seconds, connect) = (IDLE.as_secs(), CONNECT.as_secs());
    let limit = setup.per_source;
    let most = most_connections(rlimit::Resource::NOFILE.get()?.0);
    let mut text = format!(
        "global\n nbthread 1\n maxconn {most}\n\
         defaults\n mode tcp\n timeout connect {connect}s\n timeout client {seconds}s\n timeout server {seconds}s\n\
         frontend guarded\n bind {address} backlog 4096\n maxconn {most}\n\
         \x20stick-table type ip size 200k expire 1m store conn_cur\n\
         \x20tcp-request connection track-sc0 src\n\
         \x20tcp-request connection reject if {{ sc0_conn_cur gt {limit} }}\n\
         \x20default_backend servers\n\
         backend servers\n"
    );
    for (at, backend) in setup.backends.iter().enumerate() {
        text += &format!(" server s{at} {backend}\n");
    }
    fs::write(&file, text)?;
    let mut command = Command::new("haproxy");
    let mut process = Process::start(
        command
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stderr(Stdio::null()),
    )?;
    while std::net::TcpStream::connect(address).is_err() {
        if process.has_ended()? {
            return Err(io::Error::other("HAProxy did not start"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Proxy {
        process,
        address,
        _folder: Some(folder),
    })
}

/// The arguments of the roles of a proxy.
pub fn setup_of(arguments: &[String]) -> Result<Setup, Box<dyn std::error::Error>> {
    let [per_source, own_tables, backends @ ..] = arguments else {
        return Err("a role of a proxy needs its limit, its tables and its backends".into());
    };
    Ok(Setup {
        per_source: per_source.parse()?,
        own_tables: own_tables.parse()?,
        backends: backends
            .iter()
            .map(|to| to.parse())
            .collect::<Result<_, _>>()?,
    })
}

/// The role of guard.
pub fn run_guard(setup: Setup) -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::unlimited();
    limits.peer_default.conns_inbound = setup.per_source.into();
    let listen = Listen {
        on: (Ipv4Addr::LOCALHOST, 0).into(),
        to: setup
            .backends
            .iter()
            .map(|to| to.to_string().into())
            .collect(),
        service: Listen::SERVICE.into(),
        proxy_protocol: ProxyProtocol::default(),
        queue: None,
        timeouts: Timeouts {
            connect: CONNECT,
            idle: Some(IDLE),
            ..Timeouts::default()
        },
        // As HAProxy does.
        on_refusal: OnRefusal::Reset,
        splice: false,
    };
    let settings = Settings {
        listeners: vec![listen],
        workers: Workers {
            count: setup.own_tables.max(1),
            own_descriptors: setup.own_tables > 0,
        },
        overflow: Overflow::Keep,
        drain: Settings::DRAIN,
    };
    let server = Server::start(Manager::new(limits)?, settings)?;
    println!("{}", server.addresses()[0]);
    wait_for_end();
    Ok(())
}

/// The role of the proxy without rcmgr.
pub fn run_copy(setup: Setup) -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let listener = runtime.block_on(async { listen() })?;
    println!("{}", listener.local_addr()?);
    thread::spawn(move || {
        let error = runtime.block_on(copy(&listener, &setup));
        eprintln!("the proxy that copies has ended: {error:?}");
    });
    wait_for_end();
    Ok(())
}

/// A listener of the benchmark. It never resets clients because its backlog is full.
pub fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(4096)
}

async fn copy(listener: &TcpListener, setup: &Setup) -> io::Result<()> {
    let counts = Arc::new(Counts::default());
    loop {
        let (mut client, address) = listener.accept().await?;
        let backend = setup.backends[0];
        let Some(counted) = Counted::new(&counts, address.ip(), setup.per_source) else {
            client.set_zero_linger()?;
            continue;
        };
        tokio::spawn(async move {
            let _counted = counted;
            if let Ok(mut backend) = TcpStream::connect(backend).await {
                // A failure is the end of a session.
                let _ = client.set_nodelay(true).and(backend.set_nodelay(true));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
            }
        });
    }
}

#[derive(Debug, Default)]
struct Counts(Mutex<HashMap<IpAddr, u64>>);

/// A connection that is counted, until it is dropped.
struct Counted {
    counts: Arc<Counts>,
    of: IpAddr,
}

impl Counted {
    fn new(counts: &Arc<Counts>, of: IpAddr, limit: u64) -> Option<Self> {
        let counted = Self {
            counts: Arc::clone(counts),
            of,
        };
        (counted.change(1) <= limit).then_some(counted)
    }

    fn change(&self, by: i64) -> u64 {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(self.of).or_default();
        *count = count.saturating_add_signed(by);
        let now = *count;
        if now == 0 {
            counts.remove(&self.of);
        }
        now
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.change(-1);
    }
}
