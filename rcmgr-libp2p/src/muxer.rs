//! The wrapper of a muxer: it keeps the connection charged.

use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use pin_project_lite::pin_project;
use rcmgr_atomic::Connection;

use crate::resources::Resources;

pin_project! {
    /// The muxer of a limited connection. The connection is charged until this is dropped.
    #[derive(Debug)]
    pub struct LimitedMuxer<M> {
        // Before the connection, so that its socket is closed before its descriptor is released.
        #[pin]
        inner: M,
        connection: Connection,
        resources: Resources,
    }
}

impl<M> LimitedMuxer<M> {
    pub(crate) fn new(inner: M, connection: Connection, resources: Resources) -> Self {
        Self {
            inner,
            connection,
            resources,
        }
    }
}

impl<M: StreamMuxer> StreamMuxer for LimitedMuxer<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.project().inner.poll_inbound(cx)
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.project().inner.poll_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.project().inner.poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.project().inner.poll(cx)
    }
}
