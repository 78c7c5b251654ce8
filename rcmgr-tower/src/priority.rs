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
    // Otherwise each request is copied, also where all have the same priority.
    #[inline(always)]
    pub(crate) fn of<B>(&self, request: Request<B>) -> (Request<B>, Priority) {
        match self {
            Self::Same(priority) => (request, *priority),
            Self::ByHead(choose) => by_head(&**choose, request),
        }
    }
}

#[inline(never)]
fn by_head<B>(choose: &dyn Fn(&Parts) -> Priority, request: Request<B>) -> (Request<B>, Priority) {
    let (head, body) = request.into_parts();
    let priority = choose(&head);
    (Request::from_parts(head, body), priority)
}
