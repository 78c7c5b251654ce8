//! The answer to a refused request.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::Refusal;
use crate::retry_after::RetryAfter;

/// Makes the answer to a refused request.
pub(crate) type Answer = fn(&Refusal, &RetryAfter) -> Response<Bytes>;

/// Makes the error that the body of a refused request yields.
pub(crate) type BodyError = fn(Refusal) -> Box<dyn StdError + Send + Sync>;

/// The answer over plain HTTP: the status, a short text, and `Retry-After` if it makes sense to try
/// again.
pub(crate) fn answer_http(refusal: &Refusal, retry_after: &RetryAfter) -> Response<Bytes> {
    let mut seconds = None;
    let text = match refusal {
        // The maximum helps the client, and tells nothing of the inside of the server.
        Refusal::BodyTooLong { most, .. } => {
            format!("The body of the request is too large: at most {most} bytes are allowed.\n")
                .into()
        }
        Refusal::LargerThanLimit(_) => {
            Bytes::from_static(b"The body of the request is too large for this server.\n")
        }
        Refusal::NoRoom(_) => {
            let picked = *seconds.insert(retry_after.pick_seconds());
            format!("The server is busy: try again in {picked} s.\n").into()
        }
        Refusal::TooSlow { .. } => {
            Bytes::from_static(b"The body of the request arrives too slowly.\n")
        }
    };
    let mut response = Response::new(text);
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text_type);
    if let Some(seconds) = seconds {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
