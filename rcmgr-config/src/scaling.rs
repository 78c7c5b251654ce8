//! Limits that scale with memory and file descriptors.

use std::ops::{Deref, DerefMut};

use rcmgr_core::{AddressLimits, Limit, LimitValue, Limits, MIB, Resource};

#[cfg(feature = "auto-scale")]
use crate::Machine;
use crate::PerScope;

/// A limit that scales with the machine: a base, and an increase with memory and file descriptors.
///
/// A base of zero without an increase blocks the resource. An unlimited base stays unlimited.
///
/// ```
/// use rcmgr_config::{LimitIncrease, ScalingLimit};
/// use rcmgr_core::{GIB, Limit, LimitValue};
///
/// let scaling = ScalingLimit {
///     base: Limit { conns: LimitValue::Limited(64), ..Limit::UNLIMITED },
///     increase: LimitIncrease { conns: 32, ..LimitIncrease::NONE },
/// };
/// assert_eq!(scaling.scale(4 * GIB, 0).conns, LimitValue::Limited(64 + 4 * 32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalingLimit {
    /// The limit on the smallest machine.
    pub base: Limit,
    /// The increase with the machine.
    pub increase: LimitIncrease,
}

/// The increase of a [`ScalingLimit`] per GiB of memory, and its share of the file descriptors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitIncrease {
    /// Bytes of memory per GiB.
    pub memory: u64,
    /// The share of the file descriptors, from 0 to 1. It is not added to the base: the larger of
    /// the two is the limit. A value that is negative or not a number has no effect.
    pub fd_fraction: f64,
    /// Streams of both directions together, per GiB.
    pub streams: u64,
    /// Streams that the remote opened, per GiB.
    pub streams_inbound: u64,
    /// Streams that we opened, per GiB.
    pub streams_outbound: u64,
    /// Connections of both directions together, per GiB.
    pub conns: u64,
    /// Connections that the remote opened, per GiB.
    pub conns_inbound: u64,
    /// Connections that we opened, per GiB.
    pub conns_outbound: u64,
}

impl LimitIncrease {
    /// No increase: the limit is the same on every machine.
    pub const NONE: Self = Self {
        memory: 0,
        fd_fraction: 0.0,
        streams: 0,
        streams_inbound: 0,
        streams_outbound: 0,
        conns: 0,
        conns_inbound: 0,
        conns_outbound: 0,
    };

    /// The increase per GiB; zero for file descriptors, which scale by their share.
    ///
    /// ```
    /// use rcmgr_config::ScalingLimits;
    /// use rcmgr_core::{GIB, Resource};
    ///
    /// let increase = ScalingLimits::default().system.increase;
    /// assert_eq!(increase.per_gib(Resource::Memory), GIB);
    /// assert_eq!(increase.per_gib(Resource::Fd), 0);
    /// ```
    pub const fn per_gib(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory,
            Resource::Fd => 0,
            Resource::Streams => self.streams,
            Resource::StreamsInbound => self.streams_inbound,
            Resource::StreamsOutbound => self.streams_outbound,
            Resource::Conns => self.conns,
            Resource::ConnsInbound => self.conns_inbound,
            Resource::ConnsOutbound => self.conns_outbound,
        }
    }
}

impl From<Limit> for ScalingLimit {
    /// The same limit on every machine.
    fn from(base: Limit) -> Self {
        Self {
            base,
            increase: LimitIncrease::NONE,
        }
    }
}

impl ScalingLimit {
    /// The memory, in bytes, up to which nothing is added, as in go-libp2p.
    ///
    /// ```
    /// use rcmgr_config::{ScalingLimit, ScalingLimits};
    ///
    /// let table = ScalingLimits::default();
    /// assert_eq!(table.scale(ScalingLimit::SMALLEST, 0).system.memory, table.system.base.memory);
    /// ```
    pub const SMALLEST: u64 = 128 * MIB;

    /// The limit for `memory` bytes and `fds` file descriptors.
    ///
    /// The formula is go-libp2p's: `base + (increase * whole MiB of memory) / 1024`, rounded down,
    /// and only the base up to 128 MiB. For file descriptors it is the larger of the base and the
    /// share of `fds`. A result over [`LimitValue::LARGEST`] is unlimited.
    #[must_use]
    pub fn scale(&self, memory: u64, fds: u64) -> Limit {
        let mebibytes = if memory > Self::SMALLEST {
            memory / MIB
        } else {
            0
        };
        let mut limit = self.base;
        for resource in Resource::ALL {
            let value = limit.get_mut(resource);
            if let Some(base) = value.number() {
                let added =
                    u128::from(self.increase.per_gib(resource)) * u128::from(mebibytes) / 1024;
                let added = u64::try_from(added).unwrap_or(u64::MAX);
                *value = LimitValue::of(base.saturating_add(added));
            }
        }
        if let Some(base) = limit.fd.number()
            && self.increase.fd_fraction > 0.0
        {
            // A cast from a float saturates, and turns NaN into zero.
            let share = (self.increase.fd_fraction * fds as f64) as u64;
            limit.fd = LimitValue::of(base.max(share));
        }
        limit
    }
}

/// Scaling limits for all scopes: go-libp2p's scaling configuration.
///
/// [`ScalingLimits::default`] is go-libp2p's table, where services and protocols have streams but
/// no connections. [`ScalingLimits::server`] is a table for plain servers, where services have
/// connections. A named entry scales by itself, and the result is the limit of that name. The limits
/// of the scopes can be used as fields of this type.
///
/// ```
/// use rcmgr_config::ScalingLimits;
/// use rcmgr_core::{GIB, Limit, LimitValue};
///
/// let mut scaling = ScalingLimits::default();
/// scaling.service.insert("dht".into(), Limit::UNLIMITED.into());
/// let limits = scaling.scale(4 * GIB, 8192);
/// assert_eq!(limits.system.conns_inbound, LimitValue::Limited(64 + 4 * 64));
/// assert_eq!(limits.service["dht"], Limit::UNLIMITED);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingLimits {
    /// The limits of the scopes.
    pub scopes: PerScope<ScalingLimit>,
    /// The limits by remote address, which are the same on every machine.
    pub addresses: AddressLimits,
}

impl Deref for ScalingLimits {
    type Target = PerScope<ScalingLimit>;

    fn deref(&self) -> &Self::Target {
        &self.scopes
    }
}

impl DerefMut for ScalingLimits {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.scopes
    }
}

impl ScalingLimits {
    /// The limits for `memory` bytes and `fds` file descriptors. Each entry is
    /// [scaled](ScalingLimit::scale) by itself. On every machine [`Limits::WAITERS`] requests may
    /// wait for a resource of a scope.
    #[must_use]
    pub fn scale(&self, memory: u64, fds: u64) -> Limits {
        let mut limits = Limits {
            waiters: Limits::WAITERS,
            addresses: self.addresses.clone(),
            ..Limits::unlimited()
        };
        for (key, scaling) in self.entries() {
            limits.set(key, scaling.scale(memory, fds));
        }
        limits
    }

    /// The limits for this machine: [scaled](Self::scale) to an eighth of its memory and half of
    /// its file descriptors, as in go-libp2p, because a server needs the rest for other purposes.
    ///
    /// In a container, the container's limits count; see [`Machine::detect`].
    #[cfg(feature = "auto-scale")]
    #[must_use]
    pub fn auto_scale(&self) -> Limits {
        let machine = Machine::detect();
        self.scale(machine.memory / 8, machine.fds / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcmgr_core::GIB;

    fn scaling(base: u64, per_gib: u64, fd_fraction: f64) -> ScalingLimit {
        ScalingLimit {
            base: Limit::all(base.into()),
            increase: LimitIncrease {
                memory: per_gib,
                fd_fraction,
                ..LimitIncrease::NONE
            },
        }
    }

    #[test]
    fn an_overflow_gives_no_limit() {
        let limit = scaling(7, u64::MAX, f64::INFINITY).scale(u64::MAX, u64::MAX);
        assert_eq!(limit.memory, LimitValue::Unlimited);
        assert_eq!(limit.fd, LimitValue::Unlimited);
        assert_eq!(limit.conns, LimitValue::Limited(7));
    }

    #[test]
    fn an_invalid_fraction_adds_nothing() {
        for fraction in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0, -0.0] {
            assert_eq!(
                scaling(7, 0, fraction).scale(GIB, 1000).fd,
                LimitValue::Limited(7)
            );
        }
        // Infinity times zero is not a number.
        assert_eq!(
            scaling(7, 0, f64::INFINITY).scale(GIB, 0).fd,
            LimitValue::Limited(7)
        );
    }

    #[test]
    fn zero_without_an_increase_stays_blocked() {
        let limit = scaling(0, 0, 0.0).scale(GIB, 1000);
        assert_eq!(limit, Limit::BLOCK_ALL);
    }
}
