//! The error of a limited transport.

/// Why a connection of a limited transport failed.
///
/// libp2p wraps it in errors of its own: [`refusal`](crate::refusal) finds a refusal in them.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// A limit was reached, so the connection was refused.
    #[error("the connection was refused by the resource manager")]
    Refused(#[source] rcmgr_core::Error),
    /// The transport failed.
    #[error("the transport failed")]
    Transport(#[source] E),
}
