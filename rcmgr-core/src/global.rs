//! The process-wide manager, for libraries that do not receive a manager from their caller.
//!
//! Until the program [`install`]s a manager, this is the null manager, which accepts everything.
//!
//! ```
//! use rcmgr_core::{Direction, Endpoint, NullResourceManager, ResourceManager, UsesFd, global};
//!
//! global::install(NullResourceManager)?;
//! assert!(global::install(NullResourceManager).is_err());
//!
//! let connection =
//!     global::manager().open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Arc, LazyLock, OnceLock};

use crate::dynamic::{DynResourceManager, erase};
use crate::{NullResourceManager, ResourceManager};

static INSTALLED: OnceLock<Arc<DynResourceManager>> = OnceLock::new();
static NULL: LazyLock<Arc<DynResourceManager>> = LazyLock::new(|| erase(NullResourceManager));

/// A manager is already installed. It stays in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a process-wide resource manager is already installed")]
pub struct AlreadyInstalled;

/// Installs `manager` as the manager of the process.
///
/// # Errors
///
/// [`AlreadyInstalled`] if a manager was installed before. Install one once, when the program
/// starts.
pub fn install<M: ResourceManager + 'static>(manager: M) -> Result<(), AlreadyInstalled> {
    INSTALLED.set(erase(manager)).map_err(|_| AlreadyInstalled)
}

/// The process-wide manager: the installed one, or else the null manager.
pub fn manager() -> &'static Arc<DynResourceManager> {
    INSTALLED.get().unwrap_or_else(|| &NULL)
}
