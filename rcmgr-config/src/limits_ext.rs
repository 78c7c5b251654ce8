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

    /// Limits that cannot have the effect that they seem to have: first those of scopes in the order
    /// of [`LimitsKey`](rcmgr_core::LimitsKey), then those by address, then the dry run.
    ///
    /// Only numbers are checked: an unlimited field leaves the decision to other scopes. The checks
    /// are:
    ///
    /// - A limit is over the same limit of the scope above: the system for most scopes, the service
    ///   or protocol for a share per peer, the peer for the memory of a connection or stream.
    ///   Streams are reported only if they are more than twice as many, because go-libp2p's own
    ///   table goes up to that. A named entry is not reported if the default of its class has the
    ///   same fault.
    /// - One direction is over the total of both directions, or a total is above zero while both
    ///   directions are zero. The second happens if only `Conns` of a service is set over
    ///   go-libp2p's table.
    /// - A scope lets nothing in: no connections, no file descriptors while it has connections, no
    ///   streams, or no memory. Zeros that a table has for good reason are not reported, and no
    ///   named entry without connections or streams, because that blocks one name.
    /// - A scope has less than one file descriptor for five connections, so TCP connections stop
    ///   there.
    /// - A system scope has fewer streams than connections, or less than 1 KiB of memory for each
    ///   connection.
    /// - A service has connections or file descriptors, but each peer's share of them is zero.
    /// - A system scope is over the memory or file descriptors of `machine`, if one is given.
    /// - A limit by address refuses before a limit of peers does, is over the limit of the system or
    ///   of a wider subnet, blocks everything, or is for a network that is trusted. A rate lets
    ///   fewer connections in at once than its subnets may have. An allowlist has scopes without
    ///   connections.
    /// - The dry run is the same as the enforced limits.
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

    /// The warnings that a file causes: those of these limits that `defaults`, over which the file
    /// was built, do not have.
    ///
    /// The tables have more connections than file descriptors on a machine with much memory and few
    /// descriptors, and no connections of services in go-libp2p's table. [`warnings`](Self::warnings)
    /// leaves these out. This method reports them if they are not those of the defaults.
    ///
    /// ```
    /// use rcmgr_config::{Budget, LimitsExt, PartialLimits};
    /// use rcmgr_core::MIB;
    ///
    /// let defaults = Budget { memory: 512 * MIB, fds: 512 }.limits();
    /// let file = PartialLimits::from_toml("System = { Conns = 5000, ConnsInbound = 5000 }")?;
    /// let warnings = file.build(&defaults).warnings_over(&defaults, None);
    /// let lines: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    /// assert_eq!(
    ///     lines,
    ///     [
    ///         "System.FD: 512 file descriptors stop TCP connections far below the 5000 that Conns allows",
    ///         "System.Streams: 3072 streams are fewer than the 5000 connections that are allowed, and each needs one",
    ///     ],
    /// );
    /// # Ok::<(), rcmgr_core::BadConfiguration>(())
    /// ```
    #[must_use]
    fn warnings_over(&self, defaults: &Self, machine: Option<&Machine>) -> Vec<Warning>;
}

impl LimitsExt for Limits {
    #[cfg(feature = "auto-scale")]
    fn auto_scale() -> Self {
        ScalingLimits::default().auto_scale()
    }

    fn warnings(&self, machine: Option<&Machine>) -> Vec<Warning> {
        warning::warnings(self, machine)
    }

    fn warnings_over(&self, defaults: &Self, machine: Option<&Machine>) -> Vec<Warning> {
        warning::warnings_over(self, defaults, machine)
    }
}
