//! The priority of a request, by its head.

use std::mem::swap;
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
    #[inline]
    pub(crate) fn of<B>(&self, request: &mut Request<B>) -> Priority {
        match self {
            Self::Same(priority) => *priority,
            Self::ByHead(choose) => by_head(&**choose, request),
        }
    }
}

/// Lends the head of the request to `choose`. Taking the request apart would move its body, too.
#[inline(never)]
fn by_head<B>(choose: &dyn Fn(&Parts) -> Priority, request: &mut Request<B>) -> Priority {
    let (mut head, ()) = Request::new(()).into_parts();
    let mut swap_head = |head: &mut Parts| {
        swap(&mut head.method, request.method_mut());
        swap(&mut head.uri, request.uri_mut());
        swap(&mut head.version, request.version_mut());
        swap(&mut head.headers, request.headers_mut());
        swap(&mut head.extensions, request.extensions_mut());
    };
    swap_head(&mut head);
    let priority = choose(&head);
    swap_head(&mut head);
    priority
}
