//! Setting limits over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use rcmgr_atomic::Manager;
use rcmgr_config::LimitsFile;
use rcmgr_core::Limits;
use subtle::ConstantTimeEq;

use super::response::{guarded, refused};

/// The longest limits file, in bytes.
const LONGEST: usize = 4 << 20;

/// `PUT /limits` sets all limits from a limits file. The request needs the token.
///
/// This route is separate from [`router`](super::router), because a client that sets limits can
/// stop the server for everyone. The token is sent with the request, so use TLS if the network is
/// not private.
///
/// - The request needs the header `Authorization: Bearer TOKEN`; otherwise the answer is 401. With
///   an empty token no request is accepted.
/// - `Content-Type` is the format of the file: `application/json` or `application/toml`. For others
///   the answer is 415.
/// - Limits that the file does not set are as they were when the router was created. So the same
///   file gives the same limits, independent of earlier requests.
/// - For a valid file the answer is 204, after all limits were replaced atomically. For an invalid
///   one it is 400 with a line that says what is wrong where, as in `line 2: System.Memry: unknown
///   key; did you mean "Memory"?`, and no limit changes.
///
/// Overrides of single scopes stay in force. A [`LimitsWatcher`](rcmgr_config::reload::LimitsWatcher)
/// sets its own limits again when its file changes.
///
/// ```
/// use rcmgr_atomic::{Manager, Limits};
/// use rcmgr_config::LimitsExt;
/// use rcmgr_metrics::{Observer, http};
///
/// let manager = Manager::new(Limits::auto_scale())?;
/// let token = "read from a file that only the server can read";
/// let router = http::router(Observer::new(manager.clone()))
///     .merge(http::limits_router(manager, token));
/// # let _: axum::Router = router;
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
pub fn limits_router(manager: Manager, token: impl Into<String>) -> Router {
    let setter = Setter {
        defaults: manager.limits(),
        manager,
        token: token.into(),
    };
    Router::new()
        .route("/limits", put(set))
        .with_state(Arc::new(setter))
}

struct Setter {
    manager: Manager,
    defaults: Arc<Limits>,
    token: String,
}

async fn set(State(setter): State<Arc<Setter>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    // Check the token before the body is read.
    if !setter.admits(&head.headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let why = refused(
            StatusCode::UNAUTHORIZED,
            "this request needs the bearer token",
        );
        return (challenge, why).into_response();
    }
    let read = match content_type(&head.headers) {
        "application/json" => LimitsFile::from_json,
        "application/toml" => LimitsFile::from_toml,
        _ => {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json or application/toml",
            );
        }
    };
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the file is longer than 4 MiB, or the request ended early",
        );
    };
    let Ok(text) = str::from_utf8(&body) else {
        return refused(StatusCode::BAD_REQUEST, "the file is not UTF-8 text");
    };
    match read(text) {
        Ok(file) => {
            let limits = file.limits.build(&setter.defaults);
            setter.manager.set_limits(limits);
            (StatusCode::NO_CONTENT, guarded(())).into_response()
        }
        Err(bad) => refused(StatusCode::BAD_REQUEST, &bad.to_string()),
    }
}

impl Setter {
    /// Checks the token in constant time.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, token)) = given.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && !self.token.is_empty()
            && bool::from(token.ct_eq(self.token.as_bytes()))
    }
}

/// The content type without parameters such as a charset.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}
