//! What an engine tells of its operations, to whoever records them.
//!
//! With a [`Recorder`] every operation is told as one [`Record`], by the thread that does it. It says
//! what was asked of which scopes and who asked, not what these scopes hold then: whoever adds up the
//! records knows that, for two rules hold whatever threads do.
//!
//! - What is charged is told after it was charged, and before anyone could give it back.
//! - What is given back is told before the scopes have it again, that is before anyone else could be
//!   granted it.
//!
//! So the sums of the records, in their order, are never more than what was charged, and never less
//! than zero.
//!
//! That a scope is gone may be told before the last of what is told of it: a thread may ask it, and give
//! back what it was granted, on a stream that another thread closes meanwhile.
//!
//! Without a recorder this costs a branch where the nodes of a path are charged or given back to, and
//! nothing at all where credit does.

mod scope;

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use rcmgr_core::{Error, Limit, LimitExceeded, Resource, ScopeName, ScopeStat};

use crate::engine::Engine;
use crate::leaf::leaf_name;
use crate::node::Node;
use crate::path::{MAX_NODES, Path};
use crate::shared::Shared;
use crate::slot::Slot;

pub(crate) use scope::MissedCell;
pub use scope::{KnownScope, ScopeRef};

/// Is told of every operation of a manager: see [`Builder::recorder`](crate::Builder::recorder).
///
/// A recorder is called in the middle of an operation, some of which hold a lock of a name's: it must
/// not wait, nor ask the manager for anything.
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
    /// Whether the leaf's slot is asked for or given back, besides memory.
    has_slot: bool,
    memory: u64,
    total: u64,
    priority: u8,
    refusal: Option<Refusal>,
    /// The nodes of the path that it is about, by their places there, if it is not about all.
    places: Option<ArrayVec<u8, MAX_NODES>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The manager was made, with these scopes.
    Start,
    /// A connection or stream was to be opened. It is also told of its number and class.
    Open,
    /// A span was opened.
    Begin,
    /// Memory was asked for.
    Reserve,
    /// Memory was given back.
    Release,
    /// A connection or stream was to be charged on these scopes as well, with all that it holds.
    Join,
    /// A connection or stream is not charged on these scopes any more.
    Leave,
    /// A connection, stream or span has ended, and what it held was given back.
    End,
    /// The scope is gone: nothing uses it any more. What was told to be charged on it and not to be
    /// given back yet is given back.
    Collect,
}

/// Who asked.
#[derive(Debug)]
enum Subject {
    /// Who views the scope that is named first.
    Viewer,
    Leaf(Slot, u64),
    Span(Box<(ScopeName, Option<Limit>)>),
}

/// Of what was asked.
enum Scopes {
    /// Nothing but the subject.
    None,
    Path(Shared<Path>),
    /// A node and what it is charged on.
    Lineage(Box<(Arc<Node>, Arc<Engine>)>),
    Node(Arc<Node>),
    Engine(Arc<Engine>),
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The place among [`Record::scopes`] of the scope that refused; `None` if it was the connection,
    /// stream or span itself.
    pub scope: Option<usize>,
    /// What it has no room for.
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
            places: None,
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

    /// About a node and what it is charged on.
    pub(crate) fn direct(operation: Operation, node: &Arc<Node>, engine: &Arc<Engine>) -> Self {
        let scopes = Scopes::Lineage(Box::new((node.clone(), engine.clone())));
        Self::new(operation, scopes, Subject::Viewer)
    }

    /// About a span by itself: what its owner has to do with it is another record.
    pub(crate) fn of_span(operation: Operation, name: ScopeName, limit: Option<Limit>) -> Self {
        let span = Subject::Span(Box::new((name, limit)));
        Self::new(operation, Scopes::None, span)
    }

    pub(crate) fn collected(node: &Arc<Node>) -> Self {
        let scopes = Scopes::Node(node.clone());
        Self::new(Operation::Collect, scopes, Subject::Viewer)
    }

    /// So much memory, and so much has the subject then.
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

    /// About nothing but memory.
    pub(crate) fn without_slot(self) -> Self {
        Self {
            has_slot: false,
            ..self
        }
    }

    /// About these nodes of the path only, in this order.
    pub(crate) fn on<'a>(mut self, nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        if let Scopes::Path(path) = &self.scopes {
            let place = |node: &Node| {
                let is_it = |other: &Arc<Node>| std::ptr::eq(&**other, node);
                path.nodes().iter().position(is_it)
            };
            let places = nodes.into_iter().filter_map(place);
            self.places = Some(places.map(|place| place as u8).collect());
        }
        self
    }

    /// Refused, if the error is a refusal by one of those that were asked. (It may be that something is
    /// closed; and a leaf may have moved since it was refused.)
    pub(crate) fn refused(mut self, why: &Error) -> Option<Self> {
        let Error::LimitExceeded(LimitExceeded {
            scope, resource, ..
        }) = why
        else {
            return None;
        };
        let mut scopes = self.scopes();
        let place = scopes.position(|other| scope.spans.depth() == 0 && *other.id() == scope.scope);
        drop(scopes);
        if place.is_none() && self.subject().as_ref() != Some(scope) {
            return None;
        }
        self.refusal = Some(Refusal {
            scope: place,
            resource: *resource,
        });
        Some(self)
    }

    /// What was done, or refused.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The scopes that it was asked of, or that were given something back, in the order in which they
    /// are asked: without the connection, stream or span whose operation it is. Where memory is
    /// reserved on a scope directly, that one is the first.
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
        let all = path.filter(|_| self.places.is_none());
        let some = path.zip(self.places.as_ref());
        let some = some.into_iter().flat_map(|(nodes, places)| {
            let places = places.iter();
            places.map(|&place| &nodes[usize::from(place)])
        });
        let lineage = std::iter::successors(lineage, |node| node.parent());
        let all = all.into_iter().flatten();
        all.chain(some).chain(lineage).chain(nodes).map(ScopeRef)
    }

    /// Whose operation it is, if it is one of a connection, stream or span.
    pub fn subject(&self) -> Option<ScopeName> {
        match &self.subject {
            Subject::Viewer => None,
            &Subject::Leaf(slot, number) => Some(leaf_name(slot, number)),
            Subject::Span(span) => Some(span.0.clone()),
        }
    }

    /// What was asked for, or given back; of each of the scopes.
    pub fn amount(&self) -> ScopeStat {
        match self.subject {
            Subject::Leaf(slot, _) if self.has_slot => slot.stat(self.memory),
            _ => ScopeStat {
                memory: self.memory,
                ..ScopeStat::ZERO
            },
        }
    }

    /// The memory that the connection, stream or span holds afterwards, in bytes; of a refusal, that
    /// it held. (Where several threads use it at once, as one of them saw it.)
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The priority's level, of memory.
    pub fn level(&self) -> u8 {
        self.priority
    }

    /// Who refused, if it was not granted.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn engine(&self) -> Option<&Engine> {
        match &self.scopes {
            Scopes::Path(path) => Some(path.engine()),
            Scopes::Lineage(both) => Some(&both.1),
            Scopes::Engine(engine) => Some(engine),
            Scopes::None | Scopes::Node(_) => None,
        }
    }

    /// Whether [`limit_of`](Self::limit_of) can say the limit of a scope.
    pub fn has_limits(&self) -> bool {
        self.engine().is_some()
    }

    /// The limit of a scope of the manager, as it is now. Records of spans and of scopes that are gone
    /// don't have the limits at hand.
    pub fn limit_of(&self, scope: &KnownScope) -> Option<Limit> {
        Some(self.engine()?.limit(&scope.0))
    }

    /// The limit of the connection, stream or span that is opened: of a span as it was then, else that
    /// of its class as it is now.
    pub fn subject_limit(&self) -> Option<Limit> {
        match &self.subject {
            Subject::Viewer => None,
            &Subject::Leaf(slot, _) => self.engine().map(|engine| {
                let class = engine.leaf_class(slot);
                engine.editions().read(|edition| class.limit.get(edition))
            }),
            Subject::Span(span) => span.1,
        }
    }

    /// Whether it adds to what the scopes hold, takes from it, or neither.
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

    /// Notes on the scopes what it changes, for a recorder that has no room for it: they will say so
    /// when they are asked what was [missed](KnownScope::take_missed). It does not wait.
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

/// How an operation changes what scopes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They hold more.
    More,
    /// They hold less.
    Less,
    /// They hold what they held.
    None,
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
    /// Tells of an operation, if anyone wants to know.
    #[inline]
    pub(crate) fn record(&self, record: impl FnOnce() -> Record) {
        if let Some(recorder) = self.recorder() {
            tell(recorder, record);
        }
    }

    /// Tells of a refusal, if the error is one and anyone wants to know.
    #[inline]
    pub(crate) fn record_refusal(&self, why: &Error, record: impl FnOnce() -> Record) {
        if let Some(recorder) = self.recorder() {
            tell_refused(recorder, record, why);
        }
    }
}

// Neither is inlined: whoever is not recorded goes around a call, and no more.
#[cold]
#[inline(never)]
fn tell(recorder: &dyn Recorder, record: impl FnOnce() -> Record) {
    recorder.record(record());
}

#[cold]
#[inline(never)]
fn tell_refused(recorder: &dyn Recorder, record: impl FnOnce() -> Record, why: &Error) {
    if let Some(record) = record().refused(why) {
        recorder.record(record);
    }
}
