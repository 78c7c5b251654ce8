//! The request layer on the routes of an app.

use std::sync::Arc;

use axum::routing::Route;
use tower_layer::Layer;

use super::app_service::{AppService, Shared};
use crate::RequestScopes;

impl RequestScopes {
    /// The layer for [`Router::layer`](axum::Router::layer). It does the same as this layer itself,
    /// and costs less: requests and responses keep axum's bodies. Serve the router with
    /// [`with_connections`](crate::axum::with_connections), so that the layer finds the connection of
    /// a request.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::routing::get;
    /// use rcmgr_atomic::{Limits, Manager};
    /// use rcmgr_tower::RequestScopes;
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "hello" }))
    ///     .layer(RequestScopes::new(&manager).on_routes());
    /// # let _ = app;
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn on_routes(self) -> OnRoutes {
        OnRoutes { layer: self }
    }
}

/// A layer for the routes of axum. Made by
/// [`RequestScopes::on_routes`](crate::RequestScopes::on_routes).
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is applied to a router"]
pub struct OnRoutes {
    layer: RequestScopes,
}

impl<E> Layer<Route<E>> for OnRoutes {
    type Service = AppService<Route<E>>;

    fn layer(&self, route: Route<E>) -> Self::Service {
        let shared = Shared {
            config: self.layer.config(),
            connection: self.layer.connection.clone(),
            address: None,
        };
        AppService::new(route, Arc::new(shared))
    }
}
