//! A dry run: limits that are only looked at. Each request is looked at before it is granted; if it is
//! granted, the first scope that would have refused it is counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rcmgr_core::{Limits, Refusals, ScopeClass};

use super::addresses::Addresses;
use super::request::{Over, Request, count_refusal};

/// The refusals of a dry run, and its limits by address.
#[derive(Debug, Default, Clone)]
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
    /// How often scopes of this class would have refused.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.refusals.get(&class).copied().unwrap_or_default()
    }

    /// How often the limits by address would have refused, and how many connections have a permit.
    pub fn address_stat(&self) -> Option<(u64, u64)> {
        let addresses = self.addresses.as_ref()?;
        Some((self.refused_by_address, addresses.permits()))
    }

    /// Counts what would have been refused, now that it was granted.
    pub fn count(&mut self, refused: LetPass, request: &Request) {
        if let Some((class, over)) = refused {
            let refusals = self.refusals.entry(class).or_default();
            count_refusal(refusals, request, &over);
        }
    }

    /// Counts a connection by its address. Whether it would have been let in, and its permit: the
    /// number of the dry run.
    pub fn evaluate_address(&mut self, ip: Option<IpAddr>) -> (bool, Option<u64>) {
        let (Some(ip), Some(addresses)) = (ip, &mut self.addresses) else {
            return (true, None);
        };
        let (has_permit, is_refused) = addresses.evaluate(ip);
        self.refused_by_address += u64::from(is_refused);
        (!is_refused, has_permit.then_some(self.begun))
    }
}
