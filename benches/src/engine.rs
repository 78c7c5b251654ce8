//! The traits that an engine implements to take part in the study.

use crate::case::Case;

/// An implementation of the workloads.
pub trait Engine: Send + Sync {
    /// The name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// A description in one sentence, for the report.
    fn about(&self) -> &'static str;

    /// Whether the engine enforces limits. Engines without limits serve as a comparison only.
    fn has_limits(&self) -> bool;

    /// The reason why the engine cannot run a case; `None` if it can.
    fn cannot(&self, case: &Case) -> Option<&'static str>;

    /// Creates the managers and the other peers of a case. This is not measured.
    ///
    /// # Errors
    ///
    /// [`Unexpected`], if the engine refuses a part of it.
    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected>;
}

/// An engine that is set up.
pub trait Setup: Send {
    /// Creates one worker for each thread of the case. The number of managers and of other peers
    /// must be the same as at the set-up; all other fields of the case may differ.
    ///
    /// # Errors
    ///
    /// [`Unexpected`], if the engine refuses what the workers need at the start.
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected>;

    /// Closes everything. All workers must be dropped before.
    ///
    /// # Errors
    ///
    /// [`Unexpected::Leftover`], if a counter is not zero.
    fn end(self: Box<Self>) -> Result<(), Unexpected>;
}

/// The work of one thread.
pub trait Worker: Send {
    /// Runs this number of operations.
    ///
    /// # Errors
    ///
    /// [`Unexpected`] for the first operation that did not have the expected result.
    fn run(&mut self, operations: u64) -> Result<(), Unexpected>;
}

/// An engine gave another result than expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// The engine refused an operation although there is room.
    #[error("refused, although there is room: {0}")]
    Refused(String),
    /// The engine granted an operation although there is no room.
    #[error("granted, although there is no room")]
    Granted,
    /// The simulated machine has too few cores, or all of them wait for locks.
    #[error(transparent)]
    Simulation(#[from] rcmgr_machine::RunError),
    /// Everything is closed, but a counter is not zero.
    #[error("everything is closed, but a charge is left: {0}")]
    Leftover(String),
}

impl From<rcmgr_core::Error> for Unexpected {
    #[cold]
    fn from(refused: rcmgr_core::Error) -> Self {
        Self::Refused(refused.to_string())
    }
}
