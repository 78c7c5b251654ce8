//! The workloads, for any resource manager.

use std::hint::black_box;
use std::sync::Arc;

use rcmgr_core::{
    ConnectionScope, Direction, Endpoint, Limit, PeerId, Priority, ResourceManager, ResourceScope,
    Result, StreamScope,
};

use super::opening::{connection, stream, stream_through};
use crate::case::{Case, Place, Workload};
use crate::engine::{Unexpected, Worker};
use crate::setting::{ADDRESSES, PROTOCOL, STRIDE, Setting, addresses};

/// A worker that repeats one operation.
struct Each<F>(F);

impl<F: FnMut() -> Result<(), Unexpected> + Send> Worker for Each<F> {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        (0..operations).try_for_each(|_| (self.0)())
    }
}

fn each<F>(operation: F) -> Result<Box<dyn Worker>, Unexpected>
where
    F: FnMut() -> Result<(), Unexpected> + Send + 'static,
{
    Ok(Box::new(Each(operation)))
}

/// Creates the worker of one thread. It keeps a connection to its peer and a stream with protocol
/// and service open. So the operation does not also measure the creation of these scopes.
///
/// # Errors
///
/// [`Unexpected`], if the manager refuses what the worker needs at the start.
pub fn worker<M: ResourceManager + 'static>(
    manager: &Arc<M>,
    setting: &Setting,
    case: &Case,
    thread: usize,
    peer: PeerId,
) -> Result<Box<dyn Worker>, Unexpected> {
    if case.workload.is_refused() {
        return full_peer(manager, case, peer);
    }
    let manager = Arc::clone(manager);
    let anchors = (
        connection(&*manager, Endpoint::None, &peer)?,
        stream(&*manager, &peer)?,
    );
    match case.workload {
        Workload::Memory | Workload::MemoryNearLimit => memory(&*manager, case, &peer, anchors),
        Workload::Stream => each(move || {
            let (connection, _stream) = &anchors;
            stream_through(black_box(connection))?;
            Ok(())
        }),
        Workload::Connection => each(move || {
            let _ = &anchors;
            connection(&*manager, Endpoint::None, black_box(&peer))?;
            Ok(())
        }),
        Workload::ConnectionIp => {
            let clock = Arc::clone(&setting.clock);
            let addresses = addresses(thread);
            let mut turn = 0;
            each(move || {
                let _ = &anchors;
                turn = (turn + 1) % ADDRESSES;
                if turn % STRIDE == 0 {
                    clock.step(STRIDE);
                }
                connection(&*manager, addresses[turn], black_box(&peer))?;
                Ok(())
            })
        }
        Workload::Span => {
            let size = case.size;
            each(move || {
                // Name both parts: a closure captures only the parts that it mentions.
                let (_connection, stream) = &anchors;
                let span = stream.begin_span()?;
                span.reserve_memory(black_box(size), Priority::Always)?;
                Ok(())
            })
        }
        Workload::Refused | Workload::RefusedById => unreachable!("handled above"),
    }
}

/// Reserves and releases memory on a scope that lives as long as `anchors`.
fn memory<M: ResourceManager + 'static>(
    manager: &M,
    case: &Case,
    peer: &PeerId,
    anchors: (M::Connection, M::Stream),
) -> Result<Box<dyn Worker>, Unexpected> {
    let open = || manager.open_stream(peer, Direction::Inbound);
    let size = case.size;
    match case.place {
        Place::System => on(manager.view_system(), size, anchors),
        Place::Peer => on(manager.view_peer(peer), size, anchors),
        Place::Connection => {
            let (connection, stream) = anchors;
            on(connection, size, stream)
        }
        Place::Stream => on(open()?, size, anchors),
        Place::Protocol => {
            let stream = open()?;
            stream.set_protocol(PROTOCOL)?;
            on(stream, size, anchors)
        }
        Place::Service => {
            let (connection, stream) = anchors;
            on(stream, size, connection)
        }
        Place::Span => on(anchors.1.begin_span()?, size, anchors),
    }
}

fn on(
    scope: impl ResourceScope + 'static,
    size: u64,
    anchors: impl Send + 'static,
) -> Result<Box<dyn Worker>, Unexpected> {
    each(move || {
        let _ = &anchors;
        scope.reserve_memory(black_box(size), Priority::Always)?;
        scope.release_memory(black_box(size));
        Ok(())
    })
}

/// Opens streams that the peer's limit refuses.
fn full_peer<M: ResourceManager + 'static>(
    manager: &Arc<M>,
    case: &Case,
    peer: PeerId,
) -> Result<Box<dyn Worker>, Unexpected> {
    let manager = Arc::clone(manager);
    let connection = connection(&*manager, Endpoint::None, &peer)?;
    let scope = manager.view_peer(&peer);
    // If several workers share the peer, the first one has already opened the only stream.
    let streams = scope.stat().streams_inbound;
    let stream = (streams == 0).then(|| manager.open_stream(&peer, Direction::Inbound));
    let stream = stream.transpose()?;
    scope.set_limit(Limit {
        streams_inbound: 1.into(),
        ..scope.limit()
    });
    let anchors = (connection, stream);
    match case.workload {
        Workload::Refused => each(move || {
            let (connection, _stream) = &anchors;
            refused(black_box(connection).open_stream(Direction::Inbound))
        }),
        _ => each(move || {
            let _ = &anchors;
            refused(manager.open_stream(black_box(&peer), Direction::Inbound))
        }),
    }
}

#[inline]
fn refused<T>(asked: Result<T>) -> Result<(), Unexpected> {
    match black_box(asked) {
        Ok(_) => Err(Unexpected::Granted),
        Err(_) => Ok(()),
    }
}
