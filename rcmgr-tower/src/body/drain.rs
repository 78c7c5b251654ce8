//! Reading off the rest of a body that was refused, so that the client reads the answer.
//!
//! A socket that is closed while data is unread resets the connection, and a client that is still
//! sending may then never see the answer. So the server goes on reading for a short time, and keeps the
//! connection open for that time if there is more to read.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much is read off at most, in bytes.
const MOST: usize = 64 * 1024;

/// How long the rest is read at most.
const LONGEST: Duration = Duration::from_millis(200);

/// Reads a body and discards it: until its end, or for a short time. It keeps the body until then.
pub(crate) async fn drain<B: Body>(mut body: Pin<Box<B>>) {
    let mut left = Some(MOST);
    let read = poll_fn(|cx| {
        // When enough is read, the connection stays open for the rest of the time: a client that sends
        // and can send no more reads the answer then.
        while let Some(most) = left {
            match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Buf::remaining);
                    left = most.checked_sub(length);
                }
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    });
    // Past the time the body is dropped, which is all there is to do.
    let _ = timeout(LONGEST, read).await;
}

/// Runs `rest` beside the connection. Outside of a runtime there is nothing to read from.
pub(crate) fn spawn(rest: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(rest);
    }
}
