//! The transports of libp2p with its default settings, under limits: what `with_tcp`, `with_quic`,
//! `with_websocket` and `with_relay_client` build, for `with_other_transport`.

#[cfg(any(feature = "tcp", feature = "relay"))]
mod authenticated;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(any(feature = "tcp", feature = "relay"))]
pub use authenticated::{SwarmTransport, TransportResult};
#[cfg(feature = "quic")]
pub use quic::quic;
#[cfg(feature = "relay")]
pub use relay::relay_client;
#[cfg(feature = "tcp")]
pub use tcp::tcp;
#[cfg(feature = "websocket")]
pub use websocket::websocket;
