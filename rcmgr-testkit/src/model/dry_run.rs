//! A dry run: limits that are only looked at. Each request is looked at before it is granted; if it is
//! granted, the first scope that would have refused it is counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rcmgr_core::{Limit, Limits, Refusals, ScopeClass, ScopeId, ScopeStat};

use super::addresses::Addresses;
use super::charging::count_refusal;
use super::leaf::Leaf;
use super::request::{Over, Request, check};
use super::{Model, Target};

/// The refusals of a dry run, and its limits by address.
#[derive(Debug, Default)]
pub struct DryRun {
    refusals: BTreeMap<ScopeClass, Refusals>,
    addresses: Option<Addresses>,
    /// How often the limits by address would have refused, since there are some.
    refused_by_address: u64,
    /// How often a dry run has begun.
    begun: u64,
}

/// The refusal of a request that is about to be granted.
pub type LetPass = Option<(ScopeClass, Over)>;

impl DryRun {
    /// Switches the dry run on, over or off.
    pub fn set(&mut self, limits: &Limits) {
        let Some(dry_run) = &limits.dry_run else {
            self.addresses = None;
            return;
        };
        let conns = dry_run.allowlisted_system.conns;
        match &mut self.addresses {
            Some(addresses) => addresses.set_allowlisted_conns(conns),
            None => {
                self.addresses = Some(Addresses::new(&dry_run.addresses, conns));
                self.refused_by_address = 0;
                self.begun += 1;
            }
        }
    }

    /// Gives a permit back, unless that dry run has ended.
    pub fn give_back(&mut self, ip: IpAddr, begun: u64) {
        if let Some(addresses) = self.addresses.as_mut().filter(|_| begun == self.begun) {
            addresses.give_back(ip);
        }
    }
}

impl Model {
    /// How often scopes of this class would have refused in the dry run.
    pub fn dry_run_refusals(&self, class: ScopeClass) -> Refusals {
        let refusals = &self.dry_run.refusals;
        refusals.get(&class).copied().unwrap_or_default()
    }

    /// How often the limits by address of the dry run would have refused since it began, and how many
    /// connections have a permit there. `None` without a dry run.
    pub fn dry_run_addresses(&self) -> Option<(u64, u64)> {
        let addresses = self.dry_run.addresses.as_ref()?;
        Some((self.dry_run.refused_by_address, addresses.permits()))
    }

    /// Looks whether the dry run would refuse a new leaf.
    pub(super) fn look_at_new(&self, leaf: &Leaf, path: &[ScopeId], request: &Request) -> LetPass {
        let dry_run = self.limits.dry_run.as_ref()?;
        let limit = self.limit_in(dry_run, &Target::Scope(leaf.id()));
        if let Err(over) = check(&limit, &ScopeStat::ZERO, request) {
            return Some((leaf.id().class(), over));
        }
        if leaf.is_unproven
            && let Err((_, over)) = self.check_unproven(dry_run, request)
        {
            return Some((ScopeClass::AllowlistedTransient, over));
        }
        self.look_at(&[], path, request)
    }

    /// Looks whether the dry run would refuse: the limits of these holders on memory, then those of
    /// shared scopes.
    pub(super) fn look_at(&self, holders: &[usize], ids: &[ScopeId], request: &Request) -> LetPass {
        let dry_run = self.limits.dry_run.as_ref()?;
        let holders = holders.iter().map(|&at| {
            let target = Target::Holder(at);
            let memory = self.limit_in(dry_run, &target).memory;
            let limit = Limit {
                memory,
                ..Limit::UNLIMITED
            };
            (target, limit)
        });
        let shared = ids.iter().map(|id| {
            let target = Target::Scope(id.clone());
            let limit = self.limit_in(dry_run, &target);
            (target, limit)
        });
        holders.chain(shared).find_map(|(target, limit)| {
            let over = check(&limit, &self.stat(&target), request).err()?;
            Some((self.name(&target).class(), over))
        })
    }

    /// Counts what the dry run would have refused, now that it was granted.
    pub(super) fn let_pass(&mut self, refused: LetPass, request: &Request) {
        if let Some((class, over)) = refused {
            let refusals = self.dry_run.refusals.entry(class).or_default();
            count_refusal(refusals, request, &over);
        }
    }

    /// Takes a permit by the limits by address of the dry run. Whether they let the connection in, and
    /// the permit.
    pub(super) fn dry_run_permit(&mut self, ip: Option<IpAddr>) -> (bool, Option<u64>) {
        let dry_run = &mut self.dry_run;
        let (Some(ip), Some(addresses)) = (ip, &mut dry_run.addresses) else {
            return (true, None);
        };
        let (has_permit, is_refused) = addresses.evaluate(ip);
        dry_run.refused_by_address += u64::from(is_refused);
        (!is_refused, has_permit.then_some(dry_run.begun))
    }
}
