//! Code that connections and streams share: both are a handle on a leaf.

use rcmgr_core::Result;

use super::span::Span;
use crate::leaf::SharedLeaf;
use crate::span::Owner;

/// Opens a span of a leaf.
pub fn begin_span(leaf: SharedLeaf) -> Result<Span> {
    Span::begin(Owner::Leaf(leaf))
}

/// Code that connections and streams share: both are a handle on a leaf.
macro_rules! leaf_handle {
    ($handle:ident) => {
        impl ::rcmgr_core::ResourceScope for $handle {
            type Span = $crate::Span;

            fn name(&self) -> ::rcmgr_core::ScopeName {
                self.leaf.name()
            }

            fn stat(&self) -> ::rcmgr_core::ScopeStat {
                self.leaf.stat()
            }

            fn limit(&self) -> ::rcmgr_core::Limit {
                self.leaf.limit()
            }

            fn set_limit(&self, limit: ::rcmgr_core::Limit) {
                self.leaf.set_limit(Some(limit));
            }

            fn reset_limit(&self) {
                self.leaf.set_limit(None);
            }

            #[inline]
            fn reserve_memory(
                &self,
                size: u64,
                priority: ::rcmgr_core::Priority,
            ) -> ::rcmgr_core::Result<()> {
                self.leaf.reserve(size, priority)
            }

            #[inline]
            fn release_memory(&self, size: u64) {
                self.leaf.release(size);
            }

            fn release(&self) {
                self.leaf.release_up_to(u64::MAX);
            }

            fn begin_span(&self) -> ::rcmgr_core::Result<$crate::Span> {
                $crate::api::leaf_handle::begin_span(self.leaf.clone().into())
            }
        }

        impl $crate::api::asker::Asks for $handle {
            fn asker(&self) -> $crate::api::asker::Asker<'_> {
                $crate::api::asker::Asker::leaf(&self.leaf)
            }
        }

        impl $handle {
            /// The right to move on, to a path that goes through a scope of this class.
            #[inline(always)]
            fn attach(
                &self,
                to: ::rcmgr_core::ScopeClass,
            ) -> ::rcmgr_core::Result<$crate::leaf::LeafMover<'_>> {
                let mover = self.leaf.mover()?;
                if mover.path().kind() == $crate::path::PathKind::StrandedConnection {
                    return Err(self.leaf.closed());
                }
                match mover.path().node(to) {
                    Some(_) => Err(::rcmgr_core::Error::AlreadyAttached {
                        scope: self.leaf.name(),
                        to,
                    }),
                    None => Ok(mover),
                }
            }
        }

        impl ::std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::api::show::show(
                    f,
                    stringify!($handle),
                    &self.leaf.name(),
                    &self.leaf.stat(),
                )
            }
        }
    };
}
pub(super) use leaf_handle;
