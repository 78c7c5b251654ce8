//! What is guarded, and how: the settings of the proxy as values. They come from a file or from
//! arguments.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// All settings of the proxy, without the limits: the manager has those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it listens on, and the backends.
    pub listeners: Vec<Listen>,
    /// The threads that do the work.
    pub workers: Workers,
    /// What happens to connections when a limit is lowered below what is in use.
    pub overflow: Overflow,
    /// How long connections may go on after the first signal to end.
    pub drain: Duration,
}

impl Settings {
    /// How long connections may go on after the first signal to end, if nothing else is set.
    pub const DRAIN: Duration = Duration::from_secs(30);
}

/// The threads of the proxy. Each has a runtime of its own, and its connections stay there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// How many threads.
    pub count: usize,
    /// Whether each has a table of file descriptors of its own, so that the limit of descriptors
    /// (`RLIMIT_NOFILE`) applies to each. Linux only.
    pub own_descriptors: bool,
}

impl Workers {
    /// The maximum number of threads.
    pub const MOST: usize = 1024;
}

/// What happens to connections when a limit is lowered below what is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// They go on, and new ones are refused.
    #[default]
    Keep,
    /// The longest idle are reset until the limit is met.
    ShedIdle,
}

/// A listener and its backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address that it listens on.
    pub on: SocketAddr,
    /// The backends, each `host:port`. They take turns.
    pub to: Vec<Arc<str>>,
    /// The service of its connections, to clients and to backends. Its limits apply.
    pub service: Arc<str>,
    /// Whether and how the PROXY protocol is used.
    pub proxy_protocol: ProxyProtocol,
    /// Clients that wait for room. Without it, a client that has no room is refused at once.
    pub queue: Option<Queue>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The answer to a refused client.
    pub on_refusal: OnRefusal,
    /// Whether the kernel moves bytes from socket to socket where it can. Linux only.
    pub splice: bool,
}

impl Listen {
    /// The service of a listener, if none is set.
    pub const SERVICE: &str = "guard";
}

/// How the PROXY protocol is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyProtocol {
    /// The networks of the proxies in front. From these each connection must begin with a header.
    /// Connections from elsewhere are closed. Empty: no connection has a header, from anywhere.
    pub accept_from: Vec<IpNet>,
    /// The version of the header that is sent to the backend, if any.
    pub send: Option<ProxyVersion>,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Clients that wait for room: first come, first served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait.
    pub most: usize,
    /// How long each may wait.
    pub longest: Duration,
}

impl Queue {
    /// The maximum number of clients that may wait.
    pub const MOST: usize = 1_000_000;
}

/// The times after which a connection is ended. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a backend is connected to. Each backend that is tried has this time.
    pub connect: Duration,
    /// Until the whole header of the PROXY protocol has come, where one is required.
    pub header: Duration,
    /// Until the client has sent its first byte, from the connection to the backend on.
    pub first_byte: Option<Duration>,
    /// Without a byte in any direction.
    pub idle: Option<Duration>,
    /// Without a byte after one direction has ended.
    pub half_closed: Option<Duration>,
    /// Shorter ones while the usage is near a limit.
    pub near_limit: Option<NearLimit>,
}

/// Timeouts that hold while the usage is near a limit, so that silent clients make room for others
/// before these are refused. `None` changes nothing.
///
/// The usage is near a limit while the system or the service of the listener uses at least `from` of its
/// limit of connections, file descriptors or memory. In a dry run no limit is enforced, so it never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearLimit {
    /// The part of the limit, in percent.
    pub from: u8,
    /// As [`Timeouts::first_byte`].
    pub first_byte: Option<Duration>,
    /// As [`Timeouts::idle`].
    pub idle: Option<Duration>,
    /// As [`Timeouts::half_closed`].
    pub half_closed: Option<Duration>,
}

impl NearLimit {
    /// The part of the limit, in percent, if nothing else is set.
    pub const FROM: u8 = 90;
}

impl Default for Timeouts {
    /// 5 seconds to connect and for the header; no other limit.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            header: Duration::from_secs(5),
            first_byte: None,
            idle: None,
            half_closed: None,
            near_limit: None,
        }
    }
}

/// The answer to a client that the limits refuse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnRefusal {
    /// The connection is closed.
    #[default]
    Close,
    /// The connection is reset.
    Reset,
    /// These bytes, then the end.
    Reply(Arc<[u8]>),
}

impl OnRefusal {
    /// The maximum length of a reply, in bytes: it must fit into the socket's send buffer.
    pub const LONGEST: usize = 16 << 10;
}
