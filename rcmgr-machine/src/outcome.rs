//! The result of a run.

use crate::time::Time;
use crate::work::WorkTimes;

/// The result of a run. Counts are of the part that was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The accesses to atomics and locks.
    pub accesses: u64,
    /// The accesses for which a line, or the right to write it, came from elsewhere.
    pub transfers: u64,
    /// The compare-and-swap operations that failed.
    pub failed_cas: u64,
    /// The time that accesses waited for other transfers of their line, of all cores together.
    pub waited: Time,
    /// The time that accesses took which needed a transfer, the waiting included.
    pub lost: Time,
    /// The time that all accesses took, without the work between them.
    pub in_accesses: Time,
    /// The time of all cores in the measured part.
    pub core_time: Time,
    /// When the last core ended.
    pub end: Time,
    /// The lines on which the most time was lost, the worst first.
    pub hottest: Vec<HotLine>,
    /// The work before each access, if it was measured.
    pub work_times: WorkTimes,
}

/// A line, or several lines with the same name, and what was counted on them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HotLine {
    /// The name of the memory if it has one, and the places in the code.
    pub name: String,
    /// The number of lines of this name.
    pub lines: usize,
    /// The transfers of them.
    pub transfers: u64,
    /// The compare-and-swap operations that failed on them.
    pub failed_cas: u64,
    /// The time that accesses took which needed a transfer of them.
    pub lost: Time,
}
