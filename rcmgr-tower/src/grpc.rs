//! Refusals as gRPC has them: a response with a status in its headers, without a body.

use std::error::Error as StdError;
use std::fmt::{self, Display, Write};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response};
use rcmgr_atomic::Manager;

use crate::layer::RequestScopes;
use crate::refusal::Refusal;
use crate::retry_after::RetryAfter;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A message is cut after this many bytes, before they are encoded. Clients limit the size of all
/// headers, to 8 KiB by default, and an encoded byte has three.
const LONGEST_MESSAGE: usize = 1024;

/// The codes of the statuses of refused calls, as the protocol has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unavailable = 14,
}

impl Code {
    const fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NoRoom(_) => Self::Unavailable,
            Refusal::BodyTooLong { .. } | Refusal::LargerThanLimit(_) => Self::ResourceExhausted,
            Refusal::TooSlow { .. } => Self::DeadlineExceeded,
        }
    }
}

impl RequestScopes {
    /// A layer for gRPC, without a budget for bodies. A refused call gets a response of headers only:
    ///
    /// | refusal | status | `grpc-retry-pushback-ms` |
    /// | --- | --- | --- |
    /// | there is no room now | `UNAVAILABLE` | a random time of [`retry_after`](Self::retry_after) |
    /// | a body that never fits | `RESOURCE_EXHAUSTED` | none: a retry cannot succeed |
    /// | a body that arrives too slowly | `DEADLINE_EXCEEDED` | none |
    ///
    /// The span of a streaming call lasts as long as the call. A [budget](Self::body) counts all
    /// messages of a streaming call together, unless it is [streamed](crate::BodyBudget::streamed);
    /// also then its maximum is that of the whole stream. tonic itself limits the size of a single
    /// message.
    ///
    /// With the feature `tonic`, a refused body yields the `tonic::Status` of the refusal as its
    /// error. So a streaming call whose response has begun gets it as well. And the service that the
    /// layer makes has the name of the service inside: the layer fits around a whole server and around
    /// one service of it.
    ///
    /// As over HTTP, the message does not say which scope is full. A server for known clients may add
    /// it:
    ///
    /// ```
    /// use rcmgr_atomic::{Limits, Manager};
    /// use rcmgr_tower::{RequestScopes, grpc_message};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let layer = RequestScopes::grpc(&manager).on_refusal(|refusal, response| {
    ///     let message = grpc_message(refusal);
    ///     response.headers_mut().insert("grpc-message", message);
    /// });
    /// # let _ = layer;
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn grpc(manager: &Manager) -> Self {
        Self::with_answer(manager, answer_grpc, body_error)
    }
}

/// The answer to a refused call: a status in the headers, and no body.
pub(crate) fn answer_grpc(refusal: &Refusal, retry_after: &RetryAfter) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let code = Code::of(refusal);
    headers.insert(STATUS, HeaderValue::from(code as u16));
    headers.insert(MESSAGE, grpc_message(text(refusal)));
    if code == Code::Unavailable {
        let after = retry_after.pick().as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        headers.insert(PUSHBACK, HeaderValue::from(after));
    }
    response
}

/// The error that the body of a refused call yields. tonic gives a streaming call the status, which it
/// passes on to the client, and anything else as `UNKNOWN` with its text.
fn body_error(refusal: Refusal) -> Box<dyn StdError + Send + Sync> {
    #[cfg(feature = "tonic")]
    return tonic::Status::from(refusal).into();
    #[cfg(not(feature = "tonic"))]
    return refusal.into();
}

/// What a client is told.
fn text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::BodyTooLong { most, .. } => {
            format!("the call is too large: at most {most} bytes are allowed")
        }
        Refusal::LargerThanLimit(_) => "the call is too large for this server".to_owned(),
        Refusal::NoRoom(_) => "the server is busy".to_owned(),
        Refusal::TooSlow { .. } => "the call arrives too slowly".to_owned(),
    }
}

/// The value of the header `grpc-message` for a text: printable ASCII stays, and all other bytes are
/// percent-encoded. A text of more than 1024 bytes is cut.
///
/// ```
/// use rcmgr_tower::grpc_message;
///
/// assert_eq!(grpc_message("60 % in use\n"), "60 %25 in use%0A");
/// ```
pub fn grpc_message(text: impl Display) -> HeaderValue {
    let mut encoded = Encoded::default();
    // An error is the end of a long text, which is cut.
    let _ = write!(encoded, "{text}");
    HeaderValue::from_maybe_shared(encoded.bytes.freeze()).expect("it is printable ASCII")
}

#[derive(Default)]
struct Encoded {
    bytes: BytesMut,
    /// Bytes of the message that have been encoded.
    taken: usize,
}

impl Write for Encoded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            // It is cut between characters, so that the client can decode it.
            self.taken += char.len_utf8();
            if self.taken > LONGEST_MESSAGE {
                return Err(fmt::Error);
            }
            for &byte in char.encode_utf8(&mut [0; 4]).as_bytes() {
                match byte {
                    b'%' | ..b' ' | 0x7f.. => {
                        self.bytes.put_u8(b'%');
                        for digit in [byte >> 4, byte & 15] {
                            self.bytes.put_u8(b"0123456789ABCDEF"[usize::from(digit)]);
                        }
                    }
                    printable => self.bytes.put_u8(printable),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcmgr_core::{Error, ScopeId};

    use super::*;

    fn message(text: &str) -> String {
        grpc_message(text).to_str().unwrap().to_owned()
    }

    fn answer(refusal: &Refusal) -> Response<Bytes> {
        let retry_after = RetryAfter::new(Duration::from_millis(1234)..Duration::ZERO);
        answer_grpc(refusal, &retry_after)
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(message("100 % of 8"), "100 %25 of 8");
        assert_eq!(message("a\r\nb: c\u{7f}"), "a%0D%0Ab: c%7F");
        assert_eq!(message("Größe ~"), "Gr%C3%B6%C3%9Fe ~");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "ä".repeat(5000);
        assert_eq!(message(&long), "%C3%A4".repeat(LONGEST_MESSAGE / 2));
        assert_eq!(message(&format!("a{long}")).len(), 1 + 6 * 511);
    }

    #[test]
    fn a_call_without_room_is_unavailable_and_says_when_to_try_again() {
        let scope = ScopeId::System.into();
        let response = answer(&Refusal::NoRoom(Error::ScopeClosed { scope }));
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[STATUS], "14");
        assert_eq!(response.headers()[PUSHBACK], "1234");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        assert!(response.body().is_empty());
    }

    #[test]
    fn a_call_that_never_fits_is_not_told_to_try_again() {
        let response = answer(&Refusal::BodyTooLong { length: 9, most: 8 });
        assert_eq!(response.headers()[STATUS], "8");
        assert!(!response.headers().contains_key(PUSHBACK));
        let message = &response.headers()[MESSAGE];
        assert_eq!(
            message,
            "the call is too large: at most 8 bytes are allowed"
        );
    }
}
