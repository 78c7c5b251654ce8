//! The records of operations that a recorder gets.
//!
//! A [`Recorder`] gets one [`Record`] of each operation, from the thread that carries it out. The
//! record says which scope asked, which scopes it asked, and for how much. It does not say what
//! these scopes hold afterwards. A recorder can add up the records to know that, because two rules
//! hold in every interleaving of threads:
//!
//! - A charge is recorded after it was made, and before any thread could give it back.
//! - A release is recorded before the scopes have the amount back, and so before another thread can
//!   get it.
//!
//! So the sums of the records, in their order, are never more than the charges, and never less than
//! zero.
//!
//! The collection of a scope may be recorded before the last record that names it: a thread may
//! reserve on a stream that another thread closes meanwhile.
//!
//! Without a recorder this costs one branch where nodes are charged or released, and nothing where
//! credit pays.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use rcmgr_core::{Error, Limit, Resource, ScopeName, ScopeStat};

use super::scope_ref::{KnownScope, ScopeRef};
use super::state::{Engine, Path};
use crate::counters::{Change, Slot};
use crate::lifetime::Shared;
use crate::node::{MAX_NODES, Node};
use crate::sync::call_user_code;

/// Gets a record of every operation of a manager: see
/// [`Builder::recorder`](crate::Builder::recorder).
///
/// A recorder is called in the middle of an operation, which may hold a lock of a map of names. So
/// it must not wait, and must not call the manager. If it panics, the panic hook reports that. The
/// operation proceeds, and the recorder gets the next record as usual.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use rcmgr_atomic::record::{Record, Recorder};
/// use rcmgr_atomic::{Manager, Direction, Endpoint, ResourceManager, UsesFd};
///
/// #[derive(Debug, Default)]
/// struct Refusals(AtomicU64);
///
/// impl Recorder for Refusals {
///     fn record(&self, record: Record) {
///         if record.refusal().is_some() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let refusals = Arc::new(Refusals::default());
/// let mut limits = rcmgr_atomic::Limits::unlimited();
/// limits.system.conns = 0.into();
/// let manager = Manager::builder()
///     .limits(limits)
///     .recorder(refusals.clone())
///     .build()?;
/// manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None).unwrap_err();
/// assert_eq!(refusals.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Takes the record of an operation.
    fn record(&self, record: Record);
}

/// One operation.
pub struct Record {
    operation: Operation,
    scopes: Scopes,
    subject: Subject,
    /// Whether it is about the slot of the leaf, too, and not about memory alone.
    has_slot: bool,
    memory: u64,
    total: u64,
    priority: u8,
    refusal: Option<Refusal>,
    /// The positions on the path of the nodes that it is about, if it is not about all.
    positions: Option<ArrayVec<u8, MAX_NODES>>,
}

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The manager was made, with these scopes.
    Start,
    /// A connection or stream was asked for. Its own scope is checked too.
    Open,
    /// A span was opened.
    Begin,
    /// Memory was asked for.
    Reserve,
    /// Memory was given back.
    Release,
    /// These scopes, too, were asked for all that a connection or stream holds.
    Join,
    /// A connection or stream is not charged on these scopes any longer.
    Leave,
    /// A connection, stream or span has ended, and everything that it held was given back.
    End,
    /// The scope was collected: nothing uses it any longer. This also gives back all charges on it
    /// that no record gave back.
    Collect,
}

/// Which scope asked.
#[derive(Debug)]
enum Subject {
    /// A user of the first scope: no connection, stream or span.
    Viewer,
    Leaf(Slot, u64),
    Span(Box<(ScopeName, Option<Limit>)>),
}

/// Which scopes were asked.
enum Scopes {
    /// Only the subject.
    None,
    Path(Shared<Path>),
    /// A node and its parents.
    Lineage(Box<(Arc<Node>, Arc<Engine>)>),
    Node(Arc<Node>),
    Engine(Arc<Engine>),
}

/// Which scope refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The position among [`Record::scopes`] of the scope that refused; `None` if it was the
    /// connection, stream or span itself.
    pub scope: Option<usize>,
    /// The resource that it has no room for.
    pub resource: Resource,
}

impl Record {
    fn new(operation: Operation, scopes: Scopes, subject: Subject) -> Self {
        Self {
            operation,
            scopes,
            subject,
            has_slot: false,
            memory: 0,
            total: 0,
            priority: 0,
            refusal: None,
            positions: None,
        }
    }

    pub(crate) fn start(engine: &Arc<Engine>) -> Self {
        let scopes = Scopes::Engine(engine.clone());
        Self::new(Operation::Start, scopes, Subject::Viewer)
    }

    /// About a leaf on this path.
    #[inline]
    pub(crate) fn of_leaf(
        operation: Operation,
        path: &Shared<Path>,
        slot: Slot,
        number: u64,
    ) -> Self {
        let leaf = Subject::Leaf(slot, number);
        let has_slot = !matches!(operation, Operation::Reserve | Operation::Release);
        Self {
            has_slot,
            ..Self::new(operation, Scopes::Path(path.clone()), leaf)
        }
    }

    /// About a node and its parents.
    pub(crate) fn direct(operation: Operation, node: &Arc<Node>, engine: &Arc<Engine>) -> Self {
        let scopes = Scopes::Lineage(Box::new((node.clone(), engine.clone())));
        Self::new(operation, scopes, Subject::Viewer)
    }

    /// About a span alone: its owner gets a record of its own.
    pub(crate) fn of_span(operation: Operation, name: ScopeName, limit: Option<Limit>) -> Self {
        let span = Subject::Span(Box::new((name, limit)));
        Self::new(operation, Scopes::None, span)
    }

    pub(crate) fn collected(node: &Arc<Node>) -> Self {
        let scopes = Scopes::Node(node.clone());
        Self::new(Operation::Collect, scopes, Subject::Viewer)
    }

    /// With this much memory. The subject holds `total` afterwards.
    #[inline]
    pub(crate) fn memory(self, memory: u64, total: u64) -> Self {
        Self {
            memory,
            total,
            ..self
        }
    }

    #[inline]
    pub(crate) fn priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }

    /// About memory alone.
    pub(crate) fn without_slot(self) -> Self {
        Self {
            has_slot: false,
            ..self
        }
    }

    /// About these nodes of the path alone, in this order.
    pub(crate) fn on<'a>(mut self, nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        if let Scopes::Path(path) = &self.scopes {
            let position = |node: &Node| {
                let is_it = |other: &Arc<Node>| std::ptr::eq(&**other, node);
                path.nodes().iter().position(is_it)
            };
            let positions = nodes.into_iter().filter_map(position);
            self.positions = Some(positions.map(|at| at as u8).collect());
        }
        self
    }

    /// The record of a refusal, if the error is a refusal by one of the scopes that were asked. (It
    /// may also say that a scope is closed. And a leaf may have moved since it was refused.)
    pub(crate) fn refused(mut self, why: &Error) -> Option<Self> {
        let (scope, resource) = match why {
            Error::LimitExceeded(why) => (&why.scope, &why.resource),
            Error::WaitersFirst(why) => (&why.scope, &why.resource),
            Error::QueueFull(why) => (&why.scope, &why.resource),
            _ => return None,
        };
        let mut scopes = self.scopes();
        let position =
            scopes.position(|other| scope.spans.depth() == 0 && *other.id() == scope.scope);
        drop(scopes);
        if position.is_none() && self.subject().as_ref() != Some(scope) {
            return None;
        }
        self.refusal = Some(Refusal {
            scope: position,
            resource: *resource,
        });
        Some(self)
    }

    /// The operation that was done, or refused.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The scopes that were asked, or were given something back, in the order in which they are
    /// checked. The [subject](Self::subject) is not among them. If memory was reserved on a scope
    /// directly, that scope is the first.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeRef<'_>> {
        let (mut path, mut nodes, mut lineage) = (None, ArrayVec::<_, 4>::new(), None);
        match &self.scopes {
            Scopes::None => {}
            Scopes::Path(all) => path = Some(all.nodes()),
            Scopes::Lineage(both) => lineage = Some(&both.0),
            Scopes::Node(node) => nodes.push(node),
            Scopes::Engine(engine) => nodes.extend([
                engine.system(),
                engine.transient(),
                engine.allowlisted_system(),
                engine.allowlisted_transient(),
            ]),
        }
        let all = path.filter(|_| self.positions.is_none());
        let some = path.zip(self.positions.as_ref());
        let some = some.into_iter().flat_map(|(nodes, positions)| {
            let positions = positions.iter();
            positions.map(|&at| &nodes[usize::from(at)])
        });
        let lineage = std::iter::successors(lineage, |node| node.parent());
        let all = all.into_iter().flatten();
        // The part for connections that are not proven is no scope of its own.
        let engine = self.engine();
        let is_scope =
            move |node: &&Arc<Node>| !engine.is_some_and(|engine| engine.unproven().is(node));
        let all = all.chain(some).chain(lineage).chain(nodes);
        all.filter(is_scope).map(ScopeRef)
    }

    /// The connection, stream or span whose operation it is, if it is one of these.
    pub fn subject(&self) -> Option<ScopeName> {
        match &self.subject {
            Subject::Viewer => None,
            &Subject::Leaf(slot, number) => Some(slot.name(number)),
            Subject::Span(span) => Some(span.0.clone()),
        }
    }

    /// The amount that each of the scopes was asked for, or got back.
    pub fn amount(&self) -> ScopeStat {
        match self.subject {
            Subject::Leaf(slot, _) if self.has_slot => slot.stat(self.memory),
            _ => ScopeStat {
                memory: self.memory,
                ..ScopeStat::ZERO
            },
        }
    }

    /// The memory that the connection, stream or span holds afterwards, in bytes; for a refusal,
    /// the memory that it held. (If several threads use it at once, this is the value that one of
    /// them saw.)
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The level of the priority, for memory.
    pub fn level(&self) -> u8 {
        self.priority
    }

    /// Which scope refused, if it was not granted.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn engine(&self) -> Option<&Engine> {
        match &self.scopes {
            Scopes::Path(path) => Some(path.home()),
            Scopes::Lineage(both) => Some(&both.1),
            Scopes::Engine(engine) => Some(engine),
            Scopes::None | Scopes::Node(_) => None,
        }
    }

    /// Whether [`limit_of`](Self::limit_of) knows the limit of a scope.
    pub fn has_limits(&self) -> bool {
        self.engine().is_some()
    }

    /// The limit of a scope of the manager, as it is now. Records of spans and of collected scopes
    /// do not know the limits.
    pub fn limit_of(&self, scope: &KnownScope) -> Option<Limit> {
        Some(self.engine()?.limit(&scope.0))
    }

    /// The limit of the connection, stream or span that is opened: of a span as it was then,
    /// otherwise that of its class as it is now.
    pub fn subject_limit(&self) -> Option<Limit> {
        match &self.subject {
            Subject::Viewer => None,
            &Subject::Leaf(slot, _) => self.engine().map(|engine| {
                let class = engine.leaf_class(slot);
                engine.versions().read(|version| class.limit.get(version))
            }),
            Subject::Span(span) => span.1,
        }
    }

    /// Whether the scopes hold more after it, or less, or the same.
    pub fn change(&self) -> Change {
        if self.refusal.is_some() {
            return Change::None;
        }
        match self.operation {
            Operation::Open | Operation::Reserve | Operation::Join => Change::More,
            Operation::Release | Operation::Leave | Operation::End => Change::Less,
            Operation::Start | Operation::Begin | Operation::Collect => Change::None,
        }
    }

    /// Adds the change to the sums of [missed](KnownScope::take_missed) changes of the scopes, for
    /// a recorder that has no room for the record. It does not wait.
    pub fn miss(self) {
        let (change, amount) = (self.change(), self.amount());
        for ScopeRef(node) in self.scopes() {
            let is_collected = self.operation == Operation::Collect;
            if change == Change::None && !is_collected {
                return;
            }
            let missed = node.missed().get_or_new();
            missed.add(change, &amount);
            if is_collected {
                missed.set_collected();
            }
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes: Vec<_> = self.scopes().map(|scope| scope.id().to_string()).collect();
        f.debug_struct("Record")
            .field("operation", &self.operation)
            .field("subject", &self.subject().map(|name| name.to_string()))
            .field("scopes", &scopes)
            .field("amount", &self.amount())
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Records an operation, if there is a recorder.
    #[inline]
    pub(crate) fn record(&self, record: impl FnOnce() -> Record) {
        if let Some(recorder) = self.recorder() {
            send(recorder, record);
        }
    }

    /// Records a refusal, if the error is one and there is a recorder.
    #[inline]
    pub(crate) fn record_refusal(&self, why: &Error, record: impl FnOnce() -> Record) {
        if let Some(recorder) = self.recorder() {
            send_refused(recorder, record, why);
        }
    }
}

// Not inlined: a manager without a recorder only jumps over a call.
#[cold]
#[inline(never)]
fn send(recorder: &dyn Recorder, record: impl FnOnce() -> Record) {
    let record = record();
    call_user_code(|| recorder.record(record));
}

#[cold]
#[inline(never)]
fn send_refused(recorder: &dyn Recorder, record: impl FnOnce() -> Record, why: &Error) {
    if let Some(record) = record().refused(why) {
        call_user_code(|| recorder.record(record));
    }
}
