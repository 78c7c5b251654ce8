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
use rcmgr_core::{Limits, ResourceManager};
use subtle::ConstantTimeEq;

use super::{guarded, refused};

/// As long as a limits file may be.
const LONGEST: usize = 4 << 20;

/// `PUT /limits` sets all limits as a limits file says, for those who have the token.
///
/// It is no part of [`router`](super::router), and off unless it is mounted: who can set limits can
/// shut the server for everybody. Where the way to the server is not private, it has to be by TLS,
/// as the token is sent along.
///
/// - The request has the header `Authorization: Bearer TOKEN`, else it is answered with 401. An empty
///   token lets nobody in.
/// - `Content-Type` says which form the file has: `application/json`, or `application/toml`; others
///   are answered with 415.
/// - What the file does not say is as it was when the router was made. So the same file gives the
///   same limits, whatever was set in between.
/// - A good file is answered with 204, after all limits were swapped as one; a bad one with 400 and a
///   line that says what is wrong where, as in `line 2: System.Memry: unknown key; did you mean
///   "Memory"?`, and no limit has changed.
///
/// Limits that were set by hand on single scopes stay. A
/// [`LimitsWatcher`](rcmgr_config::reload::LimitsWatcher) sets its own again when its file changes.
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
    // Nothing is read of those who may not.
    if !setter.admits(&head.headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let why = refused(StatusCode::UNAUTHORIZED, "this needs the bearer token");
        return (challenge, why).into_response();
    }
    let read = match content_type(&head.headers) {
        "application/json" => LimitsFile::from_json,
        "application/toml" => LimitsFile::from_toml,
        _ => {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type is application/json or application/toml",
            );
        }
    };
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the file is longer than 4 MiB, or did not come to its end",
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
    /// Takes as long for a token that is nearly right as for any other of its length.
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

/// Without what may follow it, such as a charset.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}
