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
use super::turn::Turn;

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
/// - `Content-Type` is the format of the file: `application/json` or `application/toml`, in upper or
///   lower case, with or without `charset=utf-8`. For others, and for a body with a
///   `Content-Encoding`, the answer is 415.
/// - The file is at most 4 MiB; for a longer one the answer is 413. It is read and applied on a
///   thread for blocking work, one request at a time.
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
        turn: Turn::new(),
    };
    Router::new()
        .route("/limits", put(set))
        .with_state(Arc::new(setter))
}

struct Setter {
    manager: Manager,
    defaults: Arc<Limits>,
    token: String,
    /// One request at a time sets limits.
    turn: Turn,
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
    let format = match format(&head.headers) {
        Ok(format) => format,
        Err(why) => return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
    };
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the file is longer than 4 MiB, or the request ended early",
        );
    };
    // A large file takes too long for a thread of the runtime.
    let turn = setter.turn.clone();
    let set = turn.run(move || setter.set(format, &body)).await;
    match set {
        Ok(Ok(())) => (StatusCode::NO_CONTENT, guarded(())).into_response(),
        Ok(Err(why)) => refused(StatusCode::BAD_REQUEST, &why),
        Err(status) => status.into_response(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Toml,
}

impl Setter {
    /// Sets the limits of a file, or says what is wrong with it.
    fn set(&self, format: Format, file: &[u8]) -> Result<(), String> {
        let text = str::from_utf8(file).map_err(|_| "the file is not UTF-8 text".to_owned())?;
        let read = match format {
            Format::Json => LimitsFile::from_json(text),
            Format::Toml => LimitsFile::from_toml(text),
        };
        let file = read.map_err(|bad| bad.to_string())?;
        self.manager.set_limits(file.limits.build(&self.defaults));
        Ok(())
    }

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

/// The format of the file, or a sentence that says what is wrong with the headers.
fn format(headers: &HeaderMap) -> Result<Format, &'static str> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(given), None) = (types.next(), types.next()) else {
        return Err(TYPES);
    };
    let mut parts = given.to_str().unwrap_or_default().split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is = |name| essence.eq_ignore_ascii_case(name);
    let format = if is("application/json") {
        Format::Json
    } else if is("application/toml") {
        Format::Toml
    } else {
        return Err(TYPES);
    };
    let charset = parts.filter_map(|part| part.split_once('='));
    let mut charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let is_utf8 = |(_, value): (_, &str)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    };
    if !charset.all(is_utf8) {
        return Err("the charset must be utf-8");
    }
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if !encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err("the file must be sent without a Content-Encoding");
    }
    Ok(format)
}

const TYPES: &str = "Content-Type must be application/json or application/toml";
