//! The path of new connections, one for each shard of threads.

use std::sync::Arc;

use crate::engine::{Engine, Path};
use crate::lifetime::Use;

/// The path of a new connection from a thread of one shard.
pub struct OpenedPath {
    path: Use<Path>,
    /// Memory between this path and that of the next shard: both are allocated one after the other.
    /// Without it, the count of uses of one may lie on a cache line that threads of the other read.
    _apart: Box<[u8; APART]>,
}

/// Processors fetch cache lines of 64 bytes in pairs.
const APART: usize = 128;

impl OpenedPath {
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self {
            path: engine.opened_path(),
            _apart: Box::new([0; APART]),
        }
    }

    #[inline]
    pub fn path(&self) -> &Use<Path> {
        &self.path
    }
}
