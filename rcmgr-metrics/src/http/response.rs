//! The pieces of an answer that all routes share.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A body that is neither kept nor taken for something else.
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

/// A sentence that says what is wrong.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, headers, guarded(format!("{why}\n"))).into_response()
}
