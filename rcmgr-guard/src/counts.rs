//! What a listener has counted, readable while it runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Defines the counters, and the values that a caller reads.
macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The counters of a listener, on all workers together. Each only grows, except for
        /// [`open`](Self::open) and [`waiting`](Self::waiting).
        ///
        /// The counters are read one after the other, so sums of them may be off by the connections
        /// that change meanwhile.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counts {
            /// All counters, for exporters.
            pub fn each(&self) -> impl Iterator<Item = Count> {
                [$(Count {
                    name: stringify!($name),
                    metric: concat!("rcmgr_guard_", stringify!($name)),
                    help: concat!($($doc),*).trim_ascii(),
                    value: self.$name,
                },)*]
                .into_iter()
            }
        }

        /// The counters that sessions write.
        #[derive(Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }
    };
}

/// One of the [`Counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// The name of the field.
    pub name: &'static str,
    /// The name of the metric.
    pub metric: &'static str,
    /// The meaning.
    pub help: &'static str,
    /// The value.
    pub value: u64,
}

impl Count {
    /// Whether it may fall.
    pub fn is_gauge(&self) -> bool {
        ["open", "waiting"].contains(&self.name)
    }
}

counts! {
    /// Connections that were accepted, refused ones included.
    accepted,
    /// Sessions that are open now: admitted, and connected to a backend.
    open,
    /// Sessions that were connected to a backend.
    connected,
    /// Clients refused by the limit of their address or subnet.
    refused_by_address,
    /// Clients refused by a limit on the rate of new connections.
    refused_by_rate,
    /// Clients refused by the limit of their peer, or of their peer in the service.
    refused_by_peer,
    /// Clients refused by the limit of the service.
    refused_by_service,
    /// Clients refused by the limit of the system.
    refused_by_system,
    /// Clients refused by the limit of connections without a service.
    refused_by_transient,
    /// Clients refused for another reason: the manager is closed.
    refused_by_other,
    /// Connections closed because only trusted senders of PROXY headers may connect, and their address is
    /// none of these.
    untrusted_senders,
    /// Connections closed because a PROXY header was required, and was wrong or late, or because too
    /// many of its sender waited for theirs.
    bad_headers,
    /// Clients that had to wait for room.
    queued,
    /// Clients that wait for room now.
    waiting,
    /// Clients refused because the queue was full.
    queue_full,
    /// Clients refused because they had waited for too long.
    queue_timed_out,
    /// Clients that left while they waited.
    queue_left,
    /// Attempts to connect to a backend that failed because of the backend or the network.
    backend_failures,
    /// Attempts to connect to a backend that failed because no local port was free.
    no_local_port,
    /// Attempts to connect to a backend that failed because file descriptors or memory were short, and
    /// clients that were closed because of that.
    no_descriptor,
    /// Clients whose session ended because no backend could be connected to.
    no_backend,
    /// Sessions that ended on both sides.
    ended,
    /// Sessions that ended because the client's connection failed, such as by a reset.
    client_failed,
    /// Sessions that ended because the backend's connection failed, such as by a reset.
    backend_failed,
    /// Sessions cut because the client had sent no byte in time.
    cut_first_byte,
    /// Sessions cut because no byte had moved for too long.
    cut_idle,
    /// Sessions cut because one direction had ended, and nothing had moved in the other for too long.
    cut_half_closed,
    /// Sessions cut because memory for bytes that could not be written was refused.
    cut_no_memory,
    /// Sessions closed because a limit was lowered.
    shed,
    /// Idle sessions closed during a drain.
    drained,
    /// Sessions cut because the server stopped.
    stopped,
    /// Bytes that backends have taken from clients, in sessions that are over.
    bytes_to_backend,
    /// Bytes that clients have taken from backends, in sessions that are over.
    bytes_to_client,
}

impl Counts {
    /// The refused clients of all reasons, those that waited before included.
    pub const fn refused(&self) -> u64 {
        self.refused_by_address
            + self.refused_by_rate
            + self.refused_by_peer
            + self.refused_by_service
            + self.refused_by_system
            + self.refused_by_transient
            + self.refused_by_other
    }
}

/// A number that threads count together.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Relaxed: counters publish nothing, here and below.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes one back, of a counter that does not only grow.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
