//! The handle on a scope that leaves are charged on.

use std::fmt;

use rcmgr_core::{Limit, Priority, Refusals, ResourceScope, Result, ScopeName, ScopeStat};

use super::asker::{Asker, Asks};
use super::inherent::scope_methods;
use super::show::show;
use super::span::Span;
use crate::span::{NodeUser, Owner};

/// A scope that connections and streams are charged on: the system or transient scope, a service, a
/// protocol or a peer.
///
/// Memory that is reserved here is charged here and on the system scope. It stays reserved when
/// this handle is dropped, and keeps the scope alive until it is released.
///
/// ```
/// use rcmgr_atomic::{Manager, Limits, Priority, ResourceManager, ResourceScope};
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let dht = manager.view_service("dht");
/// dht.reserve_memory(4096, Priority::Always)?;
/// assert_eq!(manager.view_system().stat().memory, 4096);
/// dht.release();
/// assert_eq!((dht.stat().memory, dht.peak().memory), (0, 4096));
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Clone)]
pub struct Scope(NodeUser);

impl Scope {
    pub(super) fn new(user: NodeUser) -> Self {
        Self(user)
    }

    /// The peak of each counter since the scope was made.
    pub fn peak(&self) -> ScopeStat {
        self.0.node().peak()
    }

    /// How often this scope has refused since it was made.
    pub fn refusals(&self) -> Refusals {
        self.0.node().refusals()
    }
}

scope_methods!(Scope);

impl ResourceScope for Scope {
    type Span = Span;

    fn name(&self) -> ScopeName {
        self.0.node().id().clone().into()
    }

    fn stat(&self) -> ScopeStat {
        self.0.engine().stat(self.0.node())
    }

    fn limit(&self) -> Limit {
        self.0.engine().limit(self.0.node())
    }

    fn set_limit(&self, limit: Limit) {
        self.0.engine().set_limit(self.0.node(), Some(limit));
    }

    fn reset_limit(&self) {
        self.0.engine().set_limit(self.0.node(), None);
    }

    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
        self.0.reserve(size, priority)
    }

    fn release_memory(&self, size: u64) {
        let taken = self.0.take(size);
        if taken < size {
            self.0
                .engine()
                .count_over_release(&self.name(), size, taken);
        }
    }

    fn release(&self) {
        self.0.take(u64::MAX);
    }

    fn begin_span(&self) -> Result<Span> {
        let (node, engine) = (self.0.node(), self.0.engine());
        engine.retain_node(node);
        Span::begin(Owner::Node(node.clone(), engine.clone()))
    }
}

impl Asks for Scope {
    fn asker(&self) -> Asker<'_> {
        Asker::node(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Scope", &self.name(), &self.stat())
    }
}
