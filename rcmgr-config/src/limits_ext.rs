//! Methods of `Limits` that depend on the machine or on the default table: `auto_scale` and
//! `warnings`.

use rcmgr_core::Limits;

use crate::Machine;
#[cfg(feature = "auto-scale")]
use crate::ScalingLimits;
use crate::warning::{self, Warning};

/// [`Limits`] for this machine, and warnings about limits.
pub trait LimitsExt: Sized {
    /// The [default scaling limits](crate::ScalingLimits::default), scaled to this machine; see
    /// [`ScalingLimits::auto_scale`](crate::ScalingLimits::auto_scale).
    ///
    /// ```
    /// use rcmgr_config::LimitsExt;
    /// use rcmgr_core::Limits;
    ///
    /// let limits = Limits::auto_scale();
    /// println!("{} inbound connections", limits.system.conns_inbound);
    /// ```
    #[cfg(feature = "auto-scale")]
    #[must_use]
    fn auto_scale() -> Self;

    /// Limits that cannot have the effect that they seem to have, in the order of
    /// [`LimitsKey`](rcmgr_core::LimitsKey).
    ///
    /// Only numbers are checked: an unlimited field leaves the decision to other scopes. The checks
    /// are:
    ///
    /// - A limit is over the same limit of the scope above: the system for most scopes, the service
    ///   or protocol for a share per peer. Streams are reported only if they are more than twice as
    ///   many, because go-libp2p's own table goes up to that. A named entry is not reported if the
    ///   default of its class has the same fault.
    /// - One direction is over the total of both directions, or a total is above zero while both
    ///   directions are zero. The second happens if only `Conns` of a service is set over
    ///   go-libp2p's table.
    /// - The system scope has no memory, so nothing can be reserved; or a system, transient or conn
    ///   scope has no connections, so nothing can be opened. Other zero limits are not reported,
    ///   because many scopes need no such resource.
    /// - A service has connections or file descriptors, but each peer's share of them is zero.
    /// - A system scope is over the memory or file descriptors of `machine`, if one is given.
    ///
    /// ```
    /// use rcmgr_config::{Budget, LimitsExt};
    /// use rcmgr_core::{LimitValue, MIB};
    ///
    /// let mut limits = Budget { memory: 512 * MIB, fds: 4096 }.limits();
    /// assert!(limits.warnings(None).is_empty());
    ///
    /// limits.peer_default.fd = LimitValue::Limited(5000);
    /// let lines: Vec<_> = limits.warnings(None).iter().map(ToString::to_string).collect();
    /// assert_eq!(lines, ["PeerDefault.FD: 5000 cannot be reached: System allows 4096"]);
    /// ```
    #[must_use]
    fn warnings(&self, machine: Option<&Machine>) -> Vec<Warning>;
}

impl LimitsExt for Limits {
    #[cfg(feature = "auto-scale")]
    fn auto_scale() -> Self {
        ScalingLimits::default().auto_scale()
    }

    fn warnings(&self, machine: Option<&Machine>) -> Vec<Warning> {
        warning::warnings(self, machine)
    }
}
