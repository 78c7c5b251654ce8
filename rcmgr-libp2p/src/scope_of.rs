//! The scope of a stream, found through all layers that libp2p puts around it.
//!
//! These layers hide the stream, and pass a flush through. So the question is a flush with a waker
//! that the stream knows; the stream leaves its answer in the thread and does not flush.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Wake, Waker};

use futures::io::AsyncWrite;
use rcmgr_atomic::Stream;

struct Question;

impl Wake for Question {
    fn wake(self: Arc<Self>) {}
}

static QUESTION: LazyLock<Waker> = LazyLock::new(|| Arc::new(Question).into());

thread_local! {
    static ANSWER: RefCell<Option<Arc<Stream>>> = const { RefCell::new(None) };
}

/// The scope of a stream of a limited connection, for a handler that reserves memory on it. `None`
/// for another stream, and for one that was refused.
///
/// The scope is done when the stream is dropped, which releases all memory that is reserved on it.
///
/// Nothing is written. On a stream of another transport this is a flush whose waker does nothing, so
/// ask when no other task waits for a write on it.
///
/// ```
/// use libp2p::Stream;
/// use rcmgr_core::{Error, KIB, MemoryGuard, Priority};
/// use rcmgr_libp2p::scope_of;
///
/// async fn handle(mut stream: Stream) -> Result<(), Error> {
///     let scope = scope_of(&mut stream);
///     let reserved = scope.map(|scope| MemoryGuard::new(scope, 64 * KIB, Priority::Medium));
///     let _held = reserved.transpose()?;
///     // Read a message of 64 KiB.
///     Ok(())
/// }
/// ```
pub fn scope_of<S: AsyncWrite + Unpin>(stream: &mut S) -> Option<Arc<Stream>> {
    ANSWER.take();
    // The outcome says nothing: the stream answers by the side.
    let _ = Pin::new(stream).poll_flush(&mut Context::from_waker(&QUESTION));
    ANSWER.take()
}

/// Whether a call on a stream asks for its scope.
#[inline]
pub(crate) fn is_question(cx: &Context<'_>) -> bool {
    cx.waker().will_wake(&QUESTION)
}

pub(crate) fn answer(scope: &Arc<Stream>) {
    ANSWER.replace(Some(scope.clone()));
}
