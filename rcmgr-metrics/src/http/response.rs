//! The parts of a response that all routes share.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A body with the headers that forbid caching and content sniffing.
pub(super) fn guarded(body: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, body)
}

/// An error response: a sentence that says what is wrong.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, headers, guarded(format!("{why}\n"))).into_response()
}
