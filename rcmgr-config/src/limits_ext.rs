//! Methods of `Limits` that need a machine or a table: `auto_scale` and `warnings`.

use rcmgr_core::Limits;

use crate::Machine;
#[cfg(feature = "auto-scale")]
use crate::ScalingLimits;
use crate::warning::{self, Warning};

/// [`Limits`] for this machine, and warnings about limits.
pub trait LimitsExt: Sized {
    /// The [default scaling limits](crate::ScalingLimits::default) for this machine; see
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

    /// What in these limits can't work as it reads, in the order of [`LimitsKey`](rcmgr_core::LimitsKey).
    ///
    /// Looked for are, each only for numbers, since unlimited leaves a decision to others:
    ///
    /// - a limit over the same limit of the scope above: the system for most, a service or protocol
    ///   for its share per peer. Streams only where they are more than twice as many, since
    ///   go-libp2p's own table has up to that. A named entry only where it differs from the default
    ///   of its class, whose warning it would repeat.
    /// - a direction over the total of both directions, and a total of which neither direction may
    ///   have any: so it is with a service that was only given `Conns` over go-libp2p's table.
    /// - a system scope with no memory: nothing can be reserved then; a system, transient or conn scope
    ///   with no connections: nothing can be opened. A scope that has none of a resource otherwise is left alone:
    ///   many need none.
    /// - a service with connections or file descriptors, of which a peer may have none.
    /// - a system scope over the memory or file descriptors of `machine`, if one is given.
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
    /// assert_eq!(lines, ["PeerDefault.FD: 5000 can't be reached, System allows 4096"]);
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
