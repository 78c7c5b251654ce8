//! The address of a backend: fixed, or found by name.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};

/// For how long the addresses of a name are used before the name is looked up again.
const FRESH: Duration = Duration::from_secs(5);
/// The same after a lookup that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long a connection waits for another lookup before it uses the addresses of before. A name server
/// that does not answer would delay all connections until their timeout.
const PATIENCE: Duration = Duration::from_millis(250);

/// The address of a backend.
#[derive(Debug)]
pub(super) enum Address {
    Fixed(SocketAddr),
    Named(Arc<Name>),
}

impl Address {
    pub(super) fn new(name: &Arc<str>) -> Self {
        match name.parse() {
            Ok(address) => Self::Fixed(address),
            Err(_) => Self::Named(Arc::new(Name::new(name, |name| {
                Box::pin(async move { Ok(lookup_host(&*name).await?.collect()) })
            }))),
        }
    }

    /// Connects; to the first address of a name that accepts.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let (socket, port) = match self {
            Self::Fixed(address) => (TcpStream::connect(address).await?, address.port()),
            // In a box: each session would be larger by it.
            Self::Named(name) => Box::pin(connect_by_name(name)).await?,
        };
        match is_connected_to_itself(&socket, port)? {
            true => Err(io::ErrorKind::ConnectionRefused.into()),
            false => Ok(socket),
        }
    }
}

/// The socket, and the port of the backend.
async fn connect_by_name(name: &Arc<Name>) -> io::Result<(TcpStream, u16)> {
    let addresses = name.addresses().await?;
    // All have the port that the name is given with.
    let port = addresses.first().map_or(0, SocketAddr::port);
    Ok((TcpStream::connect(&*addresses).await?, port))
}

/// Whether a socket is connected to itself. TCP allows that: if nothing listens on a local port from which
/// connections start, the system may choose this port for the connection to it.
fn is_connected_to_itself(socket: &TcpStream, port: u16) -> io::Result<bool> {
    let local = socket.local_addr()?;
    Ok(local.port() == port && local == socket.peer_addr()?)
}

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A name, and its addresses. One lookup at a time is made, in a task of its own: the connection that
/// began it may end before.
pub(super) struct Name {
    name: Arc<str>,
    look_up: fn(Arc<str>) -> Lookup,
    /// `None` until the first lookup is over.
    found: Mutex<Option<Found>>,
    /// The lookup has it.
    turn: Arc<AsyncMutex<()>>,
}

/// The result of the last lookup.
#[derive(Debug, Clone)]
struct Found {
    /// If it failed, those of before, or none.
    addresses: Arc<[SocketAddr]>,
    at: Instant,
    failure: Option<Arc<str>>,
}

impl Found {
    fn is_fresh(&self) -> bool {
        let fresh = match self.failure {
            None => FRESH,
            Some(_) => RETRY,
        };
        self.at.elapsed() < fresh
    }

    fn addresses(self) -> io::Result<Arc<[SocketAddr]>> {
        match (self.addresses.is_empty(), self.failure) {
            (true, Some(failure)) => Err(io::Error::other(&*failure)),
            _ => Ok(self.addresses),
        }
    }
}

impl Name {
    fn new(name: &Arc<str>, look_up: fn(Arc<str>) -> Lookup) -> Self {
        Self {
            name: Arc::clone(name),
            look_up,
            found: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// Its addresses: fresh ones, or those of before if the lookup fails or takes long.
    async fn addresses(self: &Arc<Self>) -> io::Result<Arc<[SocketAddr]>> {
        let before = self.found();
        if let Some(found) = &before
            && found.is_fresh()
        {
            return found.clone().addresses();
        }
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            let name = Arc::clone(self);
            tokio::spawn(async move {
                let looked_up = (name.look_up)(Arc::clone(&name.name)).await;
                name.note(looked_up);
                drop(turn);
            });
        }
        // The turn is free when the lookup is over.
        let is_over = async { drop(self.turn.lock().await) };
        match before {
            Some(before) if !before.addresses.is_empty() => {
                // In time or not, there are addresses.
                let _ = timeout(PATIENCE, is_over).await;
            }
            _ => is_over.await,
        }
        match self.found() {
            Some(found) => found.addresses(),
            None => Err(io::Error::other("the lookup of the name was given up")),
        }
    }

    fn note(&self, looked_up: io::Result<Vec<SocketAddr>>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        let (addresses, failure) = match looked_up {
            Ok(addresses) => (addresses.into(), None),
            Err(error) => {
                let before = found.take().map(|before| before.addresses);
                (before.unwrap_or_default(), Some(error.to_string().into()))
            }
        };
        *found = Some(Found {
            addresses,
            at,
            failure,
        });
    }

    fn found(&self) -> Option<Found> {
        let found = self.found.lock();
        found.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name")
            .field("name", &self.name)
            .field("found", &self.found())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpSocket;
    use tokio::time::sleep;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 1).into()
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_at_a_time_look_a_name_up_once() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let name = Arc::new(Name::new(&"db:1".into(), |_| {
            let count = LOOKUPS.fetch_add(1, Ordering::Relaxed) + 1;
            Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                Ok(vec![address(count as u8)])
            })
        }));
        for round in 1..=2 {
            let all = (0..100).map(|_| {
                let name = Arc::clone(&name);
                tokio::spawn(async move { name.addresses().await.unwrap() })
            });
            // The first one leaves, and its lookup goes on for the others.
            let mut all = Vec::from_iter(all);
            tokio::task::yield_now().await;
            all.remove(0).abort();
            for each in all {
                let addresses = each.await.unwrap();
                // After the first round, a lookup that takes long is not waited for.
                assert_eq!(*addresses, [address(1)], "{round}");
            }
            sleep(FRESH).await;
            assert_eq!(LOOKUPS.load(Ordering::Relaxed), round);
        }
        // By now the second lookup is over, and not fresh any more.
        sleep(FRESH).await;
        assert_eq!(*name.addresses().await.unwrap(), [address(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_before_are_used_while_a_name_server_does_not_answer() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let name = Arc::new(Name::new(&"db:1".into(), |_| {
            let is_first = LOOKUPS.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if !is_first {
                    sleep(LONG).await;
                }
                Ok(vec![address(1)])
            })
        }));
        name.addresses().await.unwrap();
        for _ in 0..20 {
            sleep(FRESH).await;
            let start = Instant::now();
            assert_eq!(*name.addresses().await.unwrap(), [address(1)]);
            assert!(start.elapsed() <= 2 * PATIENCE, "{:?}", start.elapsed());
        }
        // They waited for the same lookup.
        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_fails_says_why_and_is_made_again_after_a_second() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let name = Arc::new(Name::new(&"db:1".into(), |_| {
            let count = LOOKUPS.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match count {
                    0 | 2 => Err(io::Error::other("no such host")),
                    _ => Ok(vec![address(1)]),
                }
            })
        }));
        for _ in 0..5 {
            let error = name.addresses().await.unwrap_err();
            assert_eq!(error.to_string(), "no such host");
        }
        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 1);
        sleep(RETRY).await;
        assert_eq!(*name.addresses().await.unwrap(), [address(1)]);
        // A later failure leaves the addresses.
        sleep(FRESH).await;
        assert_eq!(*name.addresses().await.unwrap(), [address(1)]);
        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 3);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_that_is_connected_to_itself_is_told_apart_from_a_backend() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let own = socket.local_addr().unwrap();
        let itself = socket.connect(own).await.unwrap();
        assert!(is_connected_to_itself(&itself, own.port()).unwrap());
        let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = backend.local_addr().unwrap();
        let socket = TcpStream::connect(to).await.unwrap();
        assert!(!is_connected_to_itself(&socket, to.port()).unwrap());
    }
}
