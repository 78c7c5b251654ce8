//! The layer: how requests are counted, and how those that are refused are answered.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use rcmgr_atomic::Manager;
use rcmgr_core::{Amount, Priority};
use tower_layer::Layer;

use crate::budget::BodyBudget;
use crate::conn_info::ConnInfo;
use crate::priority::ChoosePriority;
use crate::refusal::{Answer, BodyError, Refusal, answer_http};
use crate::retry_after::RetryAfter;
use crate::service::{Config, RequestScopesService};

/// A layer that gives each request a span of its connection, charges its body as it arrives, and
/// answers requests that are refused.
///
/// A clone shares its settings, and costs as much as the clone of an `Arc`.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_atomic::{Limits, MIB, Manager, Priority};
/// use rcmgr_tower::{BodyBudget, RequestScopes};
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let layer = RequestScopes::new(&manager)
///     .service("web")
///     .priority(|head| match head.uri.path() {
///         "/health" => Priority::Always,
///         _ => Priority::Medium,
///     })
///     .body(BodyBudget::per_request(8 * MIB).wait(Duration::from_millis(200)))
///     .retry_after(Duration::from_secs(1)..Duration::from_secs(5));
/// # let _ = layer;
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RequestScopes {
    manager: Manager,
    config: Arc<Config>,
    pub(crate) connection: Option<ConnInfo>,
}

impl RequestScopes {
    /// How much memory each request is charged with from its start, in bytes, unless
    /// [`memory_per_request`](Self::memory_per_request) says otherwise: about what a server and a
    /// handler hold for a request without a body.
    pub const MEMORY_PER_REQUEST: u64 = 4096;

    /// A layer for plain HTTP, without a budget for bodies.
    ///
    /// The span of a request is a part of the scope of its connection, if the request has a
    /// [`ConnInfo`] or a [`ConnScope`](rcmgr_tokio::ConnScope) in its extensions. Otherwise it is a part
    /// of the service that [`service`](Self::service) names, or of the system scope. If a layer outside
    /// has given the request a span, it is a part of that.
    pub fn new(manager: &Manager) -> Self {
        Self::with_answer(manager, answer_http, |refusal| refusal.into())
    }

    /// A layer that answers refused requests in this way, and whose refused bodies yield this error.
    pub(crate) fn with_answer(manager: &Manager, answer: Answer, body_error: BodyError) -> Self {
        Self {
            manager: manager.clone(),
            connection: None,
            config: Arc::new(Config {
                scope: manager.view_system(),
                priority: ChoosePriority::Same(Priority::Medium),
                memory_per_request: Self::MEMORY_PER_REQUEST,
                body: None,
                retry_after: RetryAfter::default(),
                answer,
                body_error,
                on_refusal: None,
            }),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The service of requests whose connection is not known. A connection has its service from its
    /// listener.
    pub fn service(self, name: &str) -> Self {
        let scope = self.manager.view_service(name);
        self.change(|config| config.scope = scope)
    }

    /// Opens the spans of all requests in this connection: for servers that make a service for each
    /// connection, such as those on hyper. Nothing is looked up in the extensions of the requests then.
    ///
    /// It takes a [`ConnInfo`], or the scope of the connection alone. With
    /// [`Io::request_within`](crate::Io::request_within) it must be the
    /// [`conn_info`](crate::Io::conn_info) of that `Io`, which knows the requests by it.
    pub fn connection(mut self, connection: impl Into<ConnInfo>) -> Self {
        self.connection = Some(connection.into());
        self
    }

    /// Charges each request with this much memory from its start to its end. By default
    /// [`MEMORY_PER_REQUEST`](Self::MEMORY_PER_REQUEST).
    ///
    /// It bounds how many requests there may be at a time: over a connection by the memory limit of
    /// the connection, and in all by those of the service and the system. A request over such a limit
    /// gets 503, and the scope counts the refusal as any other.
    ///
    /// With zero, a request is still refused while a scope holds more than its priority may use.
    pub fn memory_per_request(self, bytes: impl Amount) -> Self {
        self.change(|config| config.memory_per_request = bytes.bytes())
    }

    /// Chooses the priority of a request by its head. It applies to the memory that the layer
    /// charges: that of the request, and of its body. By default all have [`Priority::Medium`]: they
    /// may use 60 % of a limit, and the rest is for more important work.
    pub fn priority(self, choose: impl Fn(&Parts) -> Priority + Send + Sync + 'static) -> Self {
        self.change(|config| config.priority = ChoosePriority::ByHead(Arc::new(choose)))
    }

    /// Sets a budget for the body of each request. By default bodies are not charged.
    pub fn body(self, budget: BodyBudget) -> Self {
        self.change(|config| config.body = Some(budget))
    }

    /// The range of the times after which refused clients are told to try again. Each refusal gets a
    /// random one, so that the clients do not come back all at once. By default from 1 s to 10 s.
    ///
    /// `Retry-After` has whole seconds. So the header has a whole second that is in the range, at
    /// least 1; choose a range that has several. An empty range gives its start.
    pub fn retry_after(self, range: Range<Duration>) -> Self {
        self.change(|config| config.retry_after = RetryAfter::new(range))
    }

    /// Changes the answer to each refused request before it is sent. It is also the place to log
    /// refusals.
    ///
    /// By default the answer says only whether the body is too large or the server busy: which scope
    /// is full, and how full, is not for everybody. A server for known clients may say all:
    ///
    /// ```
    /// # use rcmgr_atomic::{Limits, Manager};
    /// # use rcmgr_tower::RequestScopes;
    /// # let manager = Manager::new(Limits::unlimited())?;
    /// let layer = RequestScopes::new(&manager)
    ///     .on_refusal(|refusal, response| *response.body_mut() = format!("{refusal}\n").into());
    /// # let _ = layer;
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn on_refusal(
        self,
        change: impl Fn(&Refusal, &mut Response<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.on_refusal = Some(Arc::new(change)))
    }
}

#[cfg(feature = "axum")]
impl RequestScopes {
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.clone()
    }
}

impl<S> Layer<S> for RequestScopes {
    type Service = RequestScopesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestScopesService::new(inner, self.config.clone(), self.connection.clone())
    }
}

impl fmt::Debug for RequestScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestScopes")
            .field("scope", &self.config.scope)
            .field("memory_per_request", &self.config.memory_per_request)
            .field("body", &self.config.body)
            .finish_non_exhaustive()
    }
}
