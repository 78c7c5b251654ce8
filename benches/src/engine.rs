//! The traits that an engine implements to take part in the study.

use crate::case::Case;

/// A way to do the workloads.
pub trait Engine: Send + Sync {
    /// The name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// What it is, in a sentence for the report.
    fn about(&self) -> &'static str;

    /// Whether it refuses what is over a limit. What does not is there for comparison only.
    fn has_limits(&self) -> bool;

    /// Why it can't do a case, if it can't.
    fn cannot(&self, case: &Case) -> Option<&'static str>;

    /// Makes what the case needs before anything is measured: managers, and other peers.
    ///
    /// # Errors
    ///
    /// [`Unexpected`], if the engine refuses some of it.
    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected>;
}

/// An engine that is ready.
pub trait Setup: Send {
    /// One worker for each of the case's threads. Managers and other peers have to be as they were
    /// when it was set up; everything else of the case may be another.
    ///
    /// # Errors
    ///
    /// [`Unexpected`], if the engine refuses what the workers need to begin.
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected>;

    /// Closes what is open when all workers are gone.
    ///
    /// # Errors
    ///
    /// [`Unexpected::Leftover`], if something is charged still.
    fn end(self: Box<Self>) -> Result<(), Unexpected>;
}

/// What one thread does.
pub trait Worker: Send {
    /// Does that many operations.
    ///
    /// # Errors
    ///
    /// [`Unexpected`] for the first of them that did not end as it should.
    fn run(&mut self, operations: u64) -> Result<(), Unexpected>;
}

/// An engine did not do what it should have done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// There was room.
    #[error("refused, where there is room: {0}")]
    Refused(String),
    /// There was no room.
    #[error("granted, where there is no room")]
    Granted,
    /// Everything is closed.
    #[error("everything is closed, and there is still charged: {0}")]
    Leftover(String),
}

impl From<rcmgr_core::Error> for Unexpected {
    #[cold]
    fn from(refused: rcmgr_core::Error) -> Self {
        Self::Refused(refused.to_string())
    }
}
