//! The address of a backend: fixed, or found by name.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

/// For how long the addresses of a name are used before the name is looked up again.
const FRESH: Duration = Duration::from_secs(5);

/// The address of a backend.
#[derive(Debug)]
pub(super) enum Address {
    Fixed(SocketAddr),
    Named {
        name: Arc<str>,
        found: Mutex<Option<Found>>,
    },
}

/// The addresses of a name.
#[derive(Debug, Clone)]
pub(super) struct Found {
    addresses: Arc<[SocketAddr]>,
    at: Instant,
}

impl Address {
    pub(super) fn new(name: &Arc<str>) -> Self {
        match name.parse() {
            Ok(address) => Self::Fixed(address),
            Err(_) => Self::Named {
                name: name.clone(),
                found: Mutex::new(None),
            },
        }
    }

    /// Connects; to the first address of a name that accepts.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        match self {
            Self::Fixed(address) => TcpStream::connect(address).await,
            // In a box: each session would be larger by it.
            Self::Named { name, found } => Box::pin(connect_by_name(name, found)).await,
        }
    }
}

async fn connect_by_name(name: &str, found: &Mutex<Option<Found>>) -> io::Result<TcpStream> {
    let addresses = addresses(name, found).await?;
    TcpStream::connect(&*addresses).await
}

/// The addresses of a name: fresh ones, or those of before if the lookup fails.
async fn addresses(name: &str, found: &Mutex<Option<Found>>) -> io::Result<Arc<[SocketAddr]>> {
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let before = lock().clone();
    if let Some(found) = &before
        && found.at.elapsed() < FRESH
    {
        return Ok(found.addresses.clone());
    }
    let looked_up = lookup_host(name).await.map(Arc::from_iter);
    match (looked_up, before) {
        (Ok(addresses), _) => {
            *lock() = Some(Found {
                addresses: Arc::clone(&addresses),
                at: Instant::now(),
            });
            Ok(addresses)
        }
        (Err(_), Some(before)) => Ok(before.addresses),
        (Err(error), None) => Err(error),
    }
}
