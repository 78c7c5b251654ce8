//! Limits from a budget of memory and file descriptors.

use rcmgr_core::{LimitValue, Limits};

use crate::ScalingLimits;

/// The memory and file descriptors that a server may use. All limits can be derived from these two
/// numbers: the simplest way to choose limits.
///
/// ```
/// use rcmgr_config::Budget;
/// use rcmgr_core::{LimitValue, MIB};
///
/// let limits = Budget { memory: 512 * MIB, fds: 4096 }.limits();
/// assert_eq!(limits.system.memory, LimitValue::Limited(512 * MIB));
/// assert_eq!(limits.system.fd, LimitValue::Limited(4096));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Memory, in bytes.
    pub memory: u64,
    /// File descriptors.
    pub fds: u64,
}

impl Budget {
    /// The limits of go-libp2p's table, scaled to this budget; see [`limits_of`](Self::limits_of).
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits_of(&ScalingLimits::default())
    }

    /// The limits of a table, scaled to this budget.
    ///
    /// The table is [scaled](ScalingLimits::scale) to the budget. Then the system scope gets
    /// exactly the budget's memory and file descriptors, and every other scope a proportional
    /// amount, rounded down: a scope with a quarter of the system's memory in the table gets a
    /// quarter of the budget. No scope is over the budget, not even one that is unlimited in the
    /// table. No nonzero limit becomes zero, unless the budget is zero. The numbers of streams and
    /// connections are those of the scaled table.
    ///
    /// Therefore small budgets work too. With 16 MiB and 8 descriptors in go-libp2p's table, a
    /// connection may use 4 MiB and 1 descriptor, a peer 8 MiB and 1 descriptor, and 2 connections
    /// with a descriptor can be in the handshake at a time. Memory and descriptors then run out
    /// long before the number of connections does.
    ///
    /// Allowlisted connections have their own system scope, which has the whole budget again: a
    /// server that uses the allowlist can use twice the budget in total.
    ///
    /// ```
    /// use rcmgr_config::Budget;
    /// use rcmgr_core::{LimitValue, MIB};
    ///
    /// let limits = Budget { memory: 16 * MIB, fds: 8 }.limits();
    /// assert_eq!(limits.conn.memory, LimitValue::Limited(4 * MIB));
    /// assert_eq!(limits.conn.fd, LimitValue::Limited(1));
    /// assert_eq!(limits.peer_default.memory, LimitValue::Limited(8 * MIB));
    /// assert_eq!(limits.transient.fd, LimitValue::Limited(2));
    /// ```
    #[must_use]
    pub fn limits_of(&self, table: &ScalingLimits) -> Limits {
        let mut limits = table.scale(self.memory, self.fds);
        let system = limits.system;
        let scaled: Vec<_> = limits.entries().collect();
        for (key, mut limit) in scaled {
            limit.memory = proportional(limit.memory, system.memory, self.memory);
            limit.fd = proportional(limit.fd, system.fd, self.fds);
            limits.set(key, limit);
        }
        limits.system.memory = self.memory.into();
        limits.system.fd = self.fds.into();
        limits
    }
}

/// Scales `value` by `budget / whole`. The result is at most `budget`, and not zero unless `value`
/// or `budget` is.
fn proportional(value: LimitValue, whole: LimitValue, budget: u64) -> LimitValue {
    let scaled = match (value, whole) {
        (LimitValue::Limited(value @ 1..), LimitValue::Limited(whole @ 1..)) => {
            let scaled = u128::from(value) * u128::from(budget) / u128::from(whole);
            LimitValue::of(u64::try_from(scaled).unwrap_or(u64::MAX).max(1))
        }
        _ => value,
    };
    scaled.min(budget.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcmgr_core::{GIB, Limit, MIB};

    const BUDGETS: [Budget; 6] = [
        Budget { memory: 0, fds: 0 },
        Budget { memory: 1, fds: 1 },
        Budget {
            memory: 16 * MIB,
            fds: 8,
        },
        Budget {
            memory: 512 * MIB,
            fds: 4096,
        },
        Budget {
            memory: 64 * GIB,
            fds: 100_000,
        },
        Budget {
            memory: u64::MAX,
            fds: u64::MAX,
        },
    ];

    #[test]
    fn no_scope_is_over_the_budget_and_no_nonzero_limit_becomes_zero() {
        for table in [ScalingLimits::default(), ScalingLimits::server()] {
            for budget in BUDGETS {
                let limits = budget.limits_of(&table);
                assert_eq!(limits.system.memory, budget.memory.into());
                assert_eq!(limits.system.fd, budget.fds.into());
                for (key, limit) in limits.entries() {
                    let base = table.get(&key).unwrap().base;
                    assert!(limit.memory <= budget.memory.into(), "{key} of {budget:?}");
                    assert!(limit.fd <= budget.fds.into(), "{key} of {budget:?}");
                    if budget.fds > 0 && base.fd != LimitValue::BLOCK_ALL {
                        assert_ne!(limit.fd, LimitValue::BLOCK_ALL, "{key} of {budget:?}");
                    }
                    if budget.memory > 0 {
                        assert_ne!(limit.memory, LimitValue::BLOCK_ALL, "{key} of {budget:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_named_entry_is_within_the_budget() {
        let mut table = ScalingLimits::default();
        table.service.insert("open".into(), Limit::UNLIMITED.into());
        table.service.insert("shut".into(), Limit::BLOCK_ALL.into());
        let limits = Budget {
            memory: GIB,
            fds: 64,
        }
        .limits_of(&table);
        assert_eq!(limits.service["open"].memory, LimitValue::Limited(GIB));
        assert_eq!(limits.service["open"].fd, LimitValue::Limited(64));
        assert_eq!(limits.service["open"].conns, LimitValue::Unlimited);
        assert_eq!(limits.service["shut"], Limit::BLOCK_ALL);
    }
}
