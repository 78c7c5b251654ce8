//! How a charge is made under the limits in force, and how the refusal of a node is settled: it is
//! final, or the charge is tried again.

use rcmgr_core::{Error, Resource, Result, ScopeName, WaitersFirst};

use super::state::{Engine, Path};
use crate::charge::{Charge, Contention, Memory, Refused, cancel_all, charge_all};
use crate::counters::Slot;
use crate::lending::{Fill, FillConns};
use crate::lifetime::Shared;
use crate::limits::LimitsVersion;
use crate::node::Node;
use crate::waiting::{Place, Position};

impl Engine {
    /// Makes attempts, each under the version of the limits that is current when it begins, until
    /// one succeeds or fails for good. An attempt checks at its end whether its version is still
    /// current. If not, it undoes its charges and fails with [`Refused::Stale`]. So the result of
    /// an attempt is valid under one whole set of limits.
    ///
    /// # Errors
    ///
    /// That of the attempt that failed for good. No attempt may fail with [`Refused::Node`]: it is
    /// [settled](Self::settle) first.
    #[inline(always)]
    pub fn under_current_limits<'a, T>(
        &self,
        mut attempt: impl FnMut(LimitsVersion) -> Result<T, Refused<'a>>,
    ) -> Result<T> {
        loop {
            match attempt(self.versions.get()) {
                Ok(done) => return Ok(done),
                Err(Refused::Final(refused)) => return Err(refused),
                Err(Refused::Stale | Refused::Node(..) | Refused::Waiters(..)) => {}
            }
        }
    }

    /// Decides whether the refusal of a charge by a node is final. Credit on the node is not
    /// usage, so it must not cause a refusal: it is recalled first.
    ///
    /// The result is a final error; or [`Refused::Stale`] if the charge should be tried again,
    /// because there may be room now or the limits changed. Errors other than [`Refused::Node`]
    /// are returned as they are.
    #[inline]
    pub fn settle<'a, C: Charge>(
        &self,
        refused: Refused<'a>,
        charge: C,
        version: LimitsVersion,
    ) -> Refused<'a> {
        let (node, reached) = match refused {
            Refused::Node(node, reached) => (node, reached),
            Refused::Waiters(node, resource) => {
                return self
                    .refused_for_good(version, || charge.refused_for_waiters(node, resource));
            }
            Refused::Stale | Refused::Final(_) => return refused,
        };
        // 1. A refusal under limits that are not in force any longer means nothing. This is checked
        //    before any credit is recalled for it.
        if !self.versions.is_current(version) {
            return Refused::Stale;
        }
        // 2. Check the node again, without credit on it.
        let rechecked = self
            .lending
            .recheck(node, reached, charge, version, self.waiters());
        let Some(reached) = rechecked else {
            return Refused::Stale;
        };
        // 3. The refusal is final if the limits are still current after the last check of the node.
        self.refused_for_good(version, || charge.refused(node, reached))
    }

    /// A refusal that is final if the limits that it was decided under are still current.
    #[inline]
    pub fn refused_for_good<'a>(
        &self,
        version: LimitsVersion,
        error: impl FnOnce() -> Error,
    ) -> Refused<'a> {
        if self.versions.is_current(version) {
            Refused::Final(error())
        } else {
            Refused::Stale
        }
    }

    /// Charges all nodes or none, under the limits in force.
    ///
    /// # Errors
    ///
    /// The refusal of the first node that has no room.
    #[inline]
    pub fn charge_nodes<'a, C: Charge>(
        &self,
        nodes: impl Iterator<Item = &'a Node> + Clone,
        charge: C,
    ) -> Result<()> {
        self.under_current_limits(|version| {
            self.charge_all_under(version, nodes.clone(), charge)
                .map_err(|refused| self.settle(refused, charge, version))
        })
    }

    /// Charges all nodes or none, under this version of the limits.
    ///
    /// # Errors
    ///
    /// [`Refused::Stale`] if the version is not current any longer.
    #[inline]
    pub fn charge_all_under<'a, C: Charge>(
        &self,
        version: LimitsVersion,
        nodes: impl Iterator<Item = &'a Node> + Clone,
        charge: C,
    ) -> Result<(), Refused<'a>> {
        self.check_turn(nodes.clone(), version, charge)?;
        charge_all(nodes.clone(), version, charge, self.waiters())?;
        if !self.versions.is_current(version) {
            cancel_all(nodes, charge, self.waiters());
            return Err(Refused::Stale);
        }
        Ok(())
    }

    /// Pays for a charge with credit of the path, or charges all its nodes, or none. The caller
    /// checks afterwards whether the version is still current.
    ///
    /// # Errors
    ///
    /// [`Refused::Node`].
    #[inline]
    pub fn charge_path<'a, C: Charge>(
        &self,
        path: &'a Shared<Path>,
        version: LimitsVersion,
        charge: C,
    ) -> Result<(), Refused<'a>> {
        if path.take_credit(version, charge) {
            return Ok(());
        }
        self.check_turn(path.iter(), version, charge)?;
        let contention = charge_all(path.iter(), version, charge, self.waiters())?;
        self.fill_credit(path, version, charge, contention);
        Ok(())
    }

    /// Checks that no request goes first that waits for one of these nodes.
    ///
    /// # Errors
    ///
    /// [`Refused::Waiters`].
    #[inline]
    fn check_turn<'a, C: Charge>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        version: LimitsVersion,
        charge: C,
    ) -> Result<(), Refused<'a>> {
        if self.waiters().any() {
            self.check_turn_slow(nodes, version, charge)
        } else {
            Ok(())
        }
    }

    /// Checks that no request goes first that waits for the leaf or span of this name itself. `count`
    /// counts a refusal that is final.
    ///
    /// # Errors
    ///
    /// Its refusal, or [`Refused::Stale`].
    #[cold]
    pub fn check_own_turn(
        &self,
        scope: ScopeName,
        charge: Memory,
        version: LimitsVersion,
        count: impl FnOnce(),
    ) -> Result<(), Refused<'static>> {
        let position = Position::new(charge.level, charge.ticket);
        let place = Place {
            scope,
            resource: Resource::Memory,
        };
        if !self.waiters().are_ahead(&place, position) {
            return Ok(());
        }
        Err(self.refused_for_good(version, || {
            count();
            WaitersFirst {
                scope: place.scope,
                resource: place.resource,
                requested: charge.size,
            }
            .into()
        }))
    }

    /// Checks whether these nodes would have room if they held nothing.
    ///
    /// # Errors
    ///
    /// The refusal, which is not counted; or [`Refused::Stale`].
    pub fn check_alone<'a, C: Charge>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        version: LimitsVersion,
        charge: C,
    ) -> Result<(), Refused<'a>> {
        debug_assert!(charge.ticket().may_wait(), "its refusal must not count");
        for node in nodes {
            if let Err(reached) = charge.check_alone(node, version) {
                return Err(self.refused_for_good(version, || charge.refused(node, reached)));
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn check_turn_slow<'a, C: Charge>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        version: LimitsVersion,
        charge: C,
    ) -> Result<(), Refused<'a>> {
        for node in nodes {
            // A node that has no room refuses by itself, and the nodes after it are not asked.
            if charge.check(node, version).is_err() {
                return Ok(());
            }
            let waited_for = node.waited().resources().intersection(charge.resources());
            for resource in waited_for.iter() {
                if charge.is_behind(node, resource, self.waiters()) {
                    return Err(Refused::Waiters(node, resource));
                }
            }
        }
        Ok(())
    }

    /// After a charge of the nodes of a path: fills the credit that could have paid for it, or will pay
    /// for the next. With a dry run there is no credit.
    #[inline]
    pub fn fill_credit(
        &self,
        path: &Shared<Path>,
        version: LimitsVersion,
        charge: impl Charge,
        contention: Contention,
    ) {
        if self.has_dry_run() {
            return;
        }
        if let Some((kind, amount)) = charge.credit() {
            let fill = Fill {
                lending: &self.lending,
                versions: &self.versions,
                version,
                path,
                kind,
                amount,
                level: charge.level(),
                contention,
            };
            fill.run();
        } else if let Some(Slot::Connection(direction, uses_fd)) = charge.slot() {
            let fill = FillConns {
                versions: &self.versions,
                version,
                direction,
                uses_fd,
                waiters: self.waiters(),
            };
            fill.run(&self.lending, path.iter());
        }
    }

    /// Whether [`fill_credit`](Self::fill_credit) may have an effect on a node without credit of
    /// connections.
    #[inline]
    pub fn may_begin_conns(&self, node: &Node) -> bool {
        self.lending.may_begin_conns(node)
    }
}
