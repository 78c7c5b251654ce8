//! The priority of a request, by its head.

use std::sync::Arc;

use http::Request;
use http::request::Parts;
use rcmgr_core::Priority;

/// The priority of the memory of requests, by their heads.
#[derive(Clone)]
pub(crate) enum ChoosePriority {
    Same(Priority),
    ByHead(Arc<dyn Fn(&Parts) -> Priority + Send + Sync>),
}

impl ChoosePriority {
    /// The priority of this request.
    pub(crate) fn of<B>(&self, request: Request<B>) -> (Request<B>, Priority) {
        match self {
            Self::Same(priority) => (request, *priority),
            Self::ByHead(choose) => {
                let (head, body) = request.into_parts();
                let priority = choose(&head);
                (Request::from_parts(head, body), priority)
            }
        }
    }
}
