//! The manager of the whole process, for libraries that are not handed one.
//!
//! Until a program [`install`]s one it is the null manager, which accepts everything.
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

/// A manager was installed before: it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a process-wide resource manager is installed already")]
pub struct AlreadyInstalled;

/// Makes `manager` the one of the process.
///
/// # Errors
///
/// If one was installed before: a program installs one, at its start.
pub fn install<M: ResourceManager + 'static>(manager: M) -> Result<(), AlreadyInstalled> {
    INSTALLED.set(erase(manager)).map_err(|_| AlreadyInstalled)
}

/// The manager of the process: the installed one, else the null manager.
pub fn manager() -> &'static Arc<DynResourceManager> {
    INSTALLED.get().unwrap_or_else(|| &NULL)
}
