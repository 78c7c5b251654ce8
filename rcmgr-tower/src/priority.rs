//! The priority of a request, by its head.

use std::sync::Arc;

use http::request::Parts;
use rcmgr_core::Priority;

/// The priority of the memory of requests, by their heads.
#[derive(Clone)]
pub(crate) enum ChoosePriority {
    Same(Priority),
    ByHead(Arc<dyn Fn(&Parts) -> Priority + Send + Sync>),
}

impl ChoosePriority {
    pub(crate) fn of(&self, head: &Parts) -> Priority {
        match self {
            Self::Same(priority) => *priority,
            Self::ByHead(choose) => choose(head),
        }
    }
}
