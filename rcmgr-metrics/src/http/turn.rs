//! Work that takes too long for a thread of the runtime, one request at a time.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

/// The permit to work: one request at a time has it.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<Semaphore>);

impl Turn {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Runs `work` on a thread for blocking work, when it has the permit.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let turn = self.0.acquire_owned().await.map_err(|_| failed)?;
        let working = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even if the client has disconnected.
            let _turn = turn;
            work()
        });
        working.await.map_err(|_| failed)
    }
}
