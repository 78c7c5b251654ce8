//! Counters of the program, beside those of its manager.

use std::fmt;
use std::sync::Arc;

/// A counter of the program, with a value for each of its parts, such as its listeners.
///
/// ```
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_metrics::{Observer, ProgramCounter};
///
/// let observer = Observer::new(Manager::new(Limits::unlimited())?);
/// let observer = observer.program("listener", || {
///     vec![ProgramCounter {
///         metric: "my_server_open",
///         title: "open",
///         help: "Connections that are open now",
///         is_gauge: true,
///         values: vec![("0.0.0.0:80".into(), 12)],
///     }]
/// });
/// # drop(observer);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramCounter {
    /// The name of the metric, without the `_total` that Prometheus adds to counters.
    pub metric: &'static str,
    /// The name in the live view.
    pub title: &'static str,
    /// The description of the metric.
    pub help: &'static str,
    /// Whether it may fall.
    pub is_gauge: bool,
    /// The parts of the program by name, each with its value. Names are shown as in
    /// [metrics](crate::prometheus).
    pub values: Vec<(String, u64)>,
}

/// Reads the counters of the program.
#[derive(Clone)]
pub(crate) struct Program {
    /// The name of the label that tells the parts apart.
    pub label: &'static str,
    read: Arc<dyn Fn() -> Vec<ProgramCounter> + Send + Sync>,
}

impl Program {
    pub(crate) fn new(
        label: &'static str,
        read: impl Fn() -> Vec<ProgramCounter> + Send + Sync + 'static,
    ) -> Self {
        Self {
            label,
            read: Arc::new(read),
        }
    }

    pub(crate) fn read(&self) -> Vec<ProgramCounter> {
        (self.read)()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}
