//! The part of a node for a dry run: a limit that is evaluated and not enforced.

use rcmgr_core::{Limit, Refusals};

use crate::counters::RefusalCounts;
use crate::limits::{LimitsVersion, WholeLimit};
use crate::sync::OnceBox;

/// The part of a node for a dry run. It takes one pointer until there is a dry run.
#[derive(Debug)]
pub struct NodeDryRun(OnceBox<Evaluated>);

#[derive(Debug)]
struct Evaluated {
    limit: WholeLimit,
    refusals: RefusalCounts,
}

impl NodeDryRun {
    pub fn none() -> Self {
        Self(OnceBox::new())
    }

    fn get_or_new(&self) -> &Evaluated {
        self.0.get_or_init(|| {
            Box::new(Evaluated {
                limit: WholeLimit::new(&Limit::UNLIMITED),
                refusals: RefusalCounts::new(),
            })
        })
    }

    /// The limit that is evaluated under this version: unlimited without a dry run.
    pub fn limit(&self, version: LimitsVersion) -> Limit {
        let evaluated = self.0.get();
        evaluated.map_or(Limit::UNLIMITED, |evaluated| evaluated.limit.get(version))
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](crate::limits::CurrentVersion::change), or before other threads
    /// have the node. `None` is for limits without a dry run.
    pub fn set_limit(&self, version: LimitsVersion, limit: Option<&Limit>) {
        match limit {
            Some(limit) => self.get_or_new().limit.set(version, limit),
            None => {
                if let Some(evaluated) = self.0.get() {
                    evaluated.limit.set(version, &Limit::UNLIMITED);
                }
            }
        }
    }

    /// Counts the refusals that were let pass.
    pub fn refusals(&self) -> &RefusalCounts {
        &self.get_or_new().refusals
    }

    /// The refusals that were let pass.
    pub fn refused(&self) -> Refusals {
        let evaluated = self.0.get();
        evaluated.map_or_else(Refusals::default, |evaluated| evaluated.refusals.get())
    }
}
