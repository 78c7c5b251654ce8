//! How a manager is built.

use std::sync::Arc;

#[cfg(feature = "address")]
use rcmgr_core::{AddressConfig, AddressLimits};
use rcmgr_core::{Clock, Limits, Result};

use super::manager::Manager;
use crate::engine::{Engine, Record, Recorder};
use crate::lending::CreditOptions;
use crate::limits::{Addresses, check_support};
use crate::sync::SystemClock;

impl Manager {
    /// A manager with these limits.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) if the [limits by
    /// address](Builder::addresses) are not valid, or if there are some and the feature `address`
    /// is off.
    pub fn new(limits: Limits) -> Result<Self> {
        Self::builder().limits(limits).build()
    }

    /// A manager with more to choose than its limits.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// The parts of a manager that can be chosen.
///
/// ```
/// use rcmgr_atomic::address::{AddressConfig, RateLimits};
/// use rcmgr_atomic::{Manager, Limits};
///
/// let manager = Manager::builder()
///     .limits(Limits::unlimited())
///     .addresses(AddressConfig {
///         allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse()?],
///         rates: RateLimits::none(),
///         ..AddressConfig::default()
///     })
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Builder {
    limits: Limits,
    dry_run: Option<Limits>,
    #[cfg(feature = "address")]
    addresses: Option<AddressConfig>,
    clock: Arc<dyn Clock>,
    credit: CreditOptions,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            limits: Limits::unlimited(),
            dry_run: None,
            #[cfg(feature = "address")]
            addresses: None,
            clock: Arc::new(SystemClock::new()),
            credit: CreditOptions::DEFAULT,
            recorder: None,
        }
    }
}

impl Builder {
    /// The first limits. By default there are none.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A dry run: limits that are evaluated and not enforced. They replace those in the
    /// [limits](Self::limits). What they would have refused is counted:
    /// [`Manager::dry_run_refusals`], [`Manager::dry_run_addresses`], and
    /// [`ScopeReport::dry_run_refusals`](crate::ScopeReport::dry_run_refusals).
    ///
    /// Each request that is granted is evaluated on the usage with it: first the limits by address,
    /// then the scopes in the order in which they were asked. The first that would have refused
    /// counts that, and the request stays granted. A limit that is set on a single scope holds for
    /// both. [`Manager::set_limits`] changes the dry run with all other limits. With a dry run
    /// there is no [prepaid credit](Self::prepaid_credit).
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limits, Manager, ScopeClass};
    ///
    /// let mut tighter = Limits::unlimited();
    /// tighter.peer_default.streams = 1.into();
    /// let manager = Manager::builder().dry_run(tighter).build()?;
    ///
    /// let peer = "tenant-7".parse()?;
    /// let first = manager.open_stream(&peer, Direction::Inbound)?;
    /// let second = manager.open_stream(&peer, Direction::Inbound)?;
    /// let would_refuse = manager.dry_run_refusals()[ScopeClass::Peer as usize];
    /// assert_eq!(would_refuse.streams_inbound, 1);
    /// assert_eq!(manager.refusals(ScopeClass::Peer).total(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dry_run(mut self, limits: Limits) -> Self {
        self.dry_run = Some(limits);
        self
    }

    /// The limits by address, which are checked before the scopes. They replace those in the
    /// [limits](Self::limits).
    #[cfg(feature = "address")]
    pub fn addresses(mut self, addresses: AddressConfig) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// The most prepaid credit for a thread on the path of a connection or stream: bytes of memory
    /// (at most 16 MiB), and streams in each direction. Both are rounded down to a power of two.
    /// Near a limit there is less, and all credit together is at most an eighth of what a limit
    /// leaves. The default is 256 KiB and 64 streams. With zero and zero every operation charges
    /// every scope.
    ///
    /// A scope that many connections are charged on has credit of connections, too, and of file
    /// descriptors: for a thread as many in each direction as `streams` says, at most 256.
    ///
    /// Credit makes reservations and streams cheaper, most of all where threads share scopes. It
    /// changes no outcome: it is not usage, and it is recalled before a scope refuses. Only
    /// [`peak`](crate::Scope::peak) may include some of it.
    pub fn prepaid_credit(mut self, memory: u64, streams: u64) -> Self {
        self.credit.most_memory = memory;
        self.credit.most_slots = streams;
        self
    }

    /// The number of charges after which a path gets credit: for tests with few charges.
    #[doc(hidden)]
    pub fn credit_after(mut self, charges: u64) -> Self {
        self.credit.warm = charges;
        self
    }

    /// The source of time. By default the clock of the machine. Rates of connections read it before
    /// anything is counted, so a clock that panics there leaves nothing behind.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The recorder that gets a record of every operation. By default there is none. With a
    /// recorder there is no [prepaid credit](Self::prepaid_credit), because every record says that
    /// every scope was asked. A recorder may serve several managers only if it can tell scopes of
    /// the same name apart.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Makes the manager.
    ///
    /// # Errors
    ///
    /// As [`Manager::new`].
    pub fn build(mut self) -> Result<Manager> {
        if self.recorder.is_some() {
            (self.credit.most_memory, self.credit.most_slots) = (0, 0);
        }
        let allowlisted_conns = self.limits.allowlisted_system.conns;
        #[cfg(feature = "address")]
        if let Some(addresses) = self.addresses {
            self.limits.addresses = AddressLimits::new(addresses)?;
        }
        if let Some(dry_run) = self.dry_run {
            self.limits.dry_run = Some(Arc::new(dry_run));
        }
        check_support(&self.limits)?;
        let addresses = self.limits.addresses.clone();
        let addresses = Addresses::new(addresses, allowlisted_conns, self.clock.clone());
        let engine = Engine::new(self.limits, addresses, self.clock, self.credit);
        let engine = Arc::new(engine.with_recorder(self.recorder));
        engine.record(|| Record::start(&engine));
        Ok(Manager::of(engine))
    }
}
