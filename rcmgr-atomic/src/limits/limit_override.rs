//! A limit that was set on one leaf or span.

use rcmgr_core::{Limit, LimitValue};

use super::slots::{LimitSlots, decode};
use super::version::LimitsVersion;
use super::whole_limit::WholeLimit;
use crate::sync::OnceBox;

/// A limit that was set on one leaf or span. Few have one, so it takes one pointer until it is set.
#[derive(Debug)]
pub struct LimitOverride(OnceBox<Override>);

#[derive(Debug)]
struct Override {
    /// [`IN_FORCE`] or [`NOT_IN_FORCE`].
    state: LimitSlots<1>,
    limit: WholeLimit,
}

const IN_FORCE: LimitValue = LimitValue::Unlimited;
const NOT_IN_FORCE: LimitValue = LimitValue::BLOCK_ALL;

impl LimitOverride {
    pub fn none() -> Self {
        Self(OnceBox::new())
    }

    #[inline]
    fn in_force(&self, version: LimitsVersion) -> Option<&WholeLimit> {
        let found = self.0.get()?;
        let in_force = decode(found.state.get_one(version, 0)) == IN_FORCE;
        in_force.then_some(&found.limit)
    }

    pub fn get(&self, version: LimitsVersion) -> Option<Limit> {
        self.in_force(version).map(|limit| limit.get(version))
    }

    /// The limit of memory, as the number in a slot.
    #[inline]
    pub fn memory(&self, version: LimitsVersion) -> Option<u64> {
        self.in_force(version).map(|limit| limit.memory(version))
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](super::version::CurrentVersion::change).
    pub fn set(&self, version: LimitsVersion, limit: Option<Limit>) {
        let found = self.0.get_or_init(|| {
            Box::new(Override {
                state: LimitSlots::new([[NOT_IN_FORCE]; 2]),
                limit: WholeLimit::new(&Limit::UNLIMITED),
            })
        });
        if let Some(limit) = &limit {
            found.limit.set(version, limit);
        }
        let state = if limit.is_some() {
            IN_FORCE
        } else {
            NOT_IN_FORCE
        };
        found.state.set(version, [state]);
    }
}
