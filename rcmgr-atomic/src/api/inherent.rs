//! The methods of the traits as methods of the handles, so that a first program needs no trait.

/// The methods of [`ResourceScope`](rcmgr_core::ResourceScope) as methods of a handle.
macro_rules! scope_methods {
    ($handle:ty) => {
        impl $handle {
            /// Its name, as in errors.
            pub fn name(&self) -> ::rcmgr_core::ScopeName {
                ::rcmgr_core::ResourceScope::name(self)
            }

            /// Its usage.
            pub fn stat(&self) -> ::rcmgr_core::ScopeStat {
                ::rcmgr_core::ResourceScope::stat(self)
            }

            /// Its limit as it is now.
            pub fn limit(&self) -> ::rcmgr_core::Limit {
                ::rcmgr_core::ResourceScope::limit(self)
            }

            /// Sets its limit: see
            /// [`ResourceScope::set_limit`](::rcmgr_core::ResourceScope::set_limit).
            pub fn set_limit(&self, limit: ::rcmgr_core::Limit) {
                ::rcmgr_core::ResourceScope::set_limit(self, limit);
            }

            /// Takes back a limit that was set by [`set_limit`](Self::set_limit).
            pub fn reset_limit(&self) {
                ::rcmgr_core::ResourceScope::reset_limit(self);
            }

            /// The room that is left under its limit. A field that is unlimited stays unlimited.
            pub fn remaining(&self) -> ::rcmgr_core::Limit {
                ::rcmgr_core::ResourceScope::remaining(self)
            }

            /// Reserves memory, in bytes, here and on every scope that this one is charged on. The
            /// guard releases it when it is dropped.
            ///
            /// # Errors
            ///
            /// As [`ResourceScope::reserve_memory`](::rcmgr_core::ResourceScope::reserve_memory).
            #[inline]
            pub fn reserve(
                &self,
                size: impl ::rcmgr_core::Amount,
                priority: ::rcmgr_core::Priority,
            ) -> ::rcmgr_core::Result<::rcmgr_core::MemoryGuard<&Self>> {
                ::rcmgr_core::MemoryGuard::new(self, size.bytes(), priority)
            }

            /// Reserves memory, in bytes, as soon as there is room: see
            /// [`ReserveWhenAvailable`](crate::ReserveWhenAvailable). The guard releases it when it
            /// is dropped.
            ///
            /// Requests that wait for the same scope are served in order, those of a higher priority
            /// first. A request without `when_available` is refused if it would overtake them.
            pub fn reserve_when_available(
                &self,
                size: impl ::rcmgr_core::Amount,
                priority: ::rcmgr_core::Priority,
            ) -> $crate::ReserveWhenAvailable<&Self> {
                $crate::ReserveWhenAvailable::new(self, size.bytes(), priority)
            }

            /// Reserves `size` bytes without a guard. Give them back with
            /// [`release_memory`](Self::release_memory).
            ///
            /// # Errors
            ///
            /// As [`ResourceScope::reserve_memory`](::rcmgr_core::ResourceScope::reserve_memory).
            #[inline]
            pub fn reserve_memory(
                &self,
                size: u64,
                priority: ::rcmgr_core::Priority,
            ) -> ::rcmgr_core::Result<()> {
                ::rcmgr_core::ResourceScope::reserve_memory(self, size, priority)
            }

            /// Gives back `size` bytes that were reserved here: see
            /// [`ResourceScope::release_memory`](::rcmgr_core::ResourceScope::release_memory).
            #[inline]
            pub fn release_memory(&self, size: u64) {
                ::rcmgr_core::ResourceScope::release_memory(self, size);
            }

            /// Gives back all memory that the scope itself holds, and leaves it open: see
            /// [`ResourceScope::release`](::rcmgr_core::ResourceScope::release).
            pub fn release(&self) {
                ::rcmgr_core::ResourceScope::release(self);
            }

            /// Opens a span: a part of this scope that is given back as a whole.
            ///
            /// # Errors
            ///
            /// As [`ResourceScope::begin_span`](::rcmgr_core::ResourceScope::begin_span).
            pub fn begin_span(
                &self,
            ) -> ::rcmgr_core::Result<<Self as ::rcmgr_core::ResourceScope>::Span> {
                ::rcmgr_core::ResourceScope::begin_span(self)
            }
        }
    };
}
pub(super) use scope_methods;
