//! Tasks that wait for room, and whether they are woken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use rcmgr_atomic::internals::{
    Engine, Leaf, Memory, MemoryRequest, NodesOfScope, Path, Request, Shared, Slot, SpanState,
    Ticket, Use, Wait, ask_by_leaf, ask_by_span, charge_in_turn, check_new_alone,
};
use rcmgr_atomic::record::Record;
use rcmgr_atomic::{Priority, Result, ScopeId, ScopeName};

/// A task that waits for a request.
pub struct Task<F: Future> {
    future: F,
    woken: Arc<Woken>,
    output: Option<F::Output>,
}

/// Whether a waker was called.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T, F: Future<Output = Result<T>> + Unpin> Task<F> {
    /// A task that was not polled yet.
    pub fn new(future: F) -> Self {
        Self {
            future,
            woken: Arc::new(Woken(AtomicBool::new(false))),
            output: None,
        }
    }

    /// Polls the request, unless it has ended. Each poll has a waker of its own: only a call of the
    /// last one counts.
    pub fn poll(&mut self) {
        if self.output.is_some() {
            return;
        }
        self.woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(self.woken.clone());
        let polled = Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(output) = polled {
            self.output = Some(output);
        }
    }

    /// Polls the request as often as it is woken.
    pub fn run(&mut self) {
        while self.output.is_none() && self.woken.0.load(Ordering::Acquire) {
            self.poll();
        }
    }

    /// The result of a request that can end now.
    ///
    /// # Panics
    ///
    /// If it sleeps: a wake-up was lost.
    pub fn end(mut self) -> Result<T> {
        self.run();
        self.output.expect("it can end now, and was not woken")
    }

    /// Whether it waits, and was not woken.
    pub fn sleeps(&self) -> bool {
        self.output.is_none() && !self.woken.0.load(Ordering::Acquire)
    }
}

/// Memory of a leaf or span that is waited for.
pub struct Room {
    of: Of,
    charge: Memory,
    wait: Wait,
}

enum Of {
    Leaf(Arc<Leaf>),
    Span(Shared<SpanState>),
}

impl Task<Room> {
    /// Asks for memory of a leaf.
    pub fn of_leaf(leaf: &Arc<Leaf>, size: u64) -> Self {
        Self::new(Room::new(Of::Leaf(leaf.clone()), size))
    }

    /// Asks for memory of a span.
    pub fn of_span(span: &Shared<SpanState>, size: u64) -> Self {
        Self::new(Room::new(Of::Span(span.clone()), size))
    }

    /// The same as `of_leaf`, after the first poll: it waits.
    pub fn waiting(leaf: &Arc<Leaf>, size: u64) -> Self {
        let mut task = Self::of_leaf(leaf, size);
        task.poll();
        assert!(task.sleeps(), "there is no room yet");
        task
    }
}

impl Room {
    fn new(of: Of, size: u64) -> Self {
        Self {
            of,
            charge: Memory::new(size, Priority::Always),
            wait: Wait::new(),
        }
    }
}

impl Future for Room {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { of, charge, wait } = &mut *self;
        let asker = match of {
            Of::Leaf(leaf) => ask_by_leaf(leaf),
            Of::Span(span) => ask_by_span(span),
        };
        wait.poll(&mut MemoryRequest(asker, *charge), cx)
    }
}

/// A leaf that is waited for.
pub struct Opened {
    request: OpenRequest,
    wait: Wait,
}

struct OpenRequest {
    path: Use<Path>,
    slot: Slot,
}

impl Task<Opened> {
    /// Asks for a leaf on a path.
    pub fn of_path(path: Use<Path>, slot: Slot) -> Self {
        let request = OpenRequest { path, slot };
        Self::new(Opened {
            request,
            wait: Wait::new(),
        })
    }
}

impl Future for Opened {
    type Output = Result<Leaf>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Leaf>> {
        let Self { request, wait } = &mut *self;
        wait.poll(request, cx)
    }
}

impl Request for OpenRequest {
    type Granted = Leaf;

    fn engine(&self) -> &Arc<Engine> {
        self.path.shared_home()
    }

    fn attempt(&mut self, ticket: Ticket) -> Result<Leaf> {
        charge_in_turn(&self.path, self.slot, ticket)?;
        Ok(Leaf::charged(self.path.join(), self.slot))
    }

    fn check_alone(&self) -> Result<()> {
        check_new_alone(&self.path, self.slot)
    }

    fn nodes(&self, scope: &ScopeId) -> NodesOfScope {
        self.path.nodes_of(scope).cloned().collect()
    }

    fn asker(&self) -> Option<ScopeName> {
        None
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn level(&self) -> u8 {
        u8::MAX
    }

    fn amount(&self) -> u64 {
        1
    }

    fn slot(&self) -> Option<Slot> {
        Some(self.slot)
    }

    fn record(&self) -> Record {
        unreachable!("the models have no recorder")
    }
}
