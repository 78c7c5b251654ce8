//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.

#![forbid(unsafe_code)]
