//! The listening sockets that the service manager has opened, if the system has such.

#[cfg(unix)]
pub use rcmgr_guard::Inherited;

/// No sockets: this system has no way to pass them.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Inherited;

#[cfg(not(unix))]
impl Inherited {
    pub fn from_environment() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub fn on(&self, _: std::net::SocketAddr) -> std::io::Result<Option<std::net::TcpListener>> {
        Ok(None)
    }

    pub fn addresses(&self) -> impl Iterator<Item = std::net::SocketAddr> {
        std::iter::empty()
    }
}
