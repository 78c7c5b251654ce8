//! Memory and spans.

use rcmgr_core::{Error, Limit, Priority, Result, ScopeId, ScopeStat};

use super::leaf::{End, Leaf};
use super::request::{Request, Turn, check};
use super::{Holder, HolderKind, Model, Target};

impl Model {
    pub(super) fn reserve(&mut self, target: &Target, size: u64, priority: Priority) -> Result<()> {
        self.reserve_in_turn(target, &for_memory(size, priority, Turn::Now))
    }

    pub(super) fn reserve_in_turn(&mut self, target: &Target, request: &Request) -> Result<()> {
        let (request, size) = (*request, request.stat.memory);
        // The spans and the leaf come first, from the inside out.
        let chain = self.chain(target);
        for &at in &chain {
            let is_stranded = |leaf: &Leaf| matches!(leaf.end, End::Stranded { .. });
            if self.holders[at].closed || self.leaf(at).is_some_and(is_stranded) {
                let scope = self.name(target);
                return Err(Error::ScopeClosed { scope });
            }
            let here = Target::Holder(at);
            let limit = Limit {
                memory: self.limit_of(&here).memory,
                ..Limit::UNLIMITED
            };
            if let Err(over) = check(&limit, &self.stat(&here), &request) {
                return Err(self.refuse(&here, &limit, &request, over));
            }
            self.check_turn(&here, &request)?;
        }
        let charged = self.charged(target);
        let refused = self.look_at(&chain, &charged, &request);
        self.charge(&charged, request)?;
        self.dry_run.count(refused, &request);
        for at in chain {
            self.holders[at].memory += size;
        }
        match target {
            Target::Holder(at) => self.holders[*at].own += size,
            Target::Scope(id) if size > 0 => *self.direct.entry(id.clone()).or_default() += size,
            Target::Scope(_) => {}
        }
        Ok(())
    }

    /// Releases memory, and counts an over-release.
    pub(super) fn release(&mut self, target: &Target, size: u64) {
        let taken = self.release_own(target, size);
        if taken.is_some_and(|taken| taken < size) {
            let class = self.name(target).class();
            *self.over_releases.entry(class).or_default() += 1;
        }
    }

    /// Gives back at most `size` of what a scope itself holds. How much it was; `None` if closed.
    pub(super) fn release_own(&mut self, target: &Target, size: u64) -> Option<u64> {
        let taken = match target {
            Target::Scope(id) => {
                let held = self.direct.get(id).copied().unwrap_or_default();
                let taken = size.min(held);
                if taken == held {
                    self.direct.remove(id);
                } else {
                    self.direct.insert(id.clone(), held - taken);
                }
                taken
            }
            Target::Holder(at) => {
                let holder = &mut self.holders[*at];
                if holder.closed {
                    return None;
                }
                let taken = size.min(holder.own);
                holder.own -= taken;
                taken
            }
        };
        self.take(target, taken);
        Some(taken)
    }

    /// Takes memory that is held out of a scope and out of all that it is charged on. An owner that is
    /// closed has given all back already.
    fn take(&mut self, target: &Target, size: u64) {
        match target {
            Target::Scope(_) => {
                let charged = self.charged(target);
                self.give_back_memory(&charged, size);
            }
            Target::Holder(at) => {
                let holder = &mut self.holders[*at];
                if holder.closed {
                    return;
                }
                holder.memory -= size;
                match holder.kind.clone() {
                    HolderKind::Leaf(leaf) => self.give_back_memory(&leaf.path(), size),
                    HolderKind::Span { owner, .. } => self.take(&owner, size),
                }
            }
        }
    }

    fn give_back_memory(&mut self, ids: &[ScopeId], size: u64) {
        // A scope that was never charged has no entry.
        if size > 0 {
            self.give_back(ids, memory(size));
        }
    }

    /// Begins a span. The index of its holder.
    pub(super) fn begin_span(&mut self, owner: Target) -> Result<usize> {
        let last = match &owner {
            Target::Scope(id) => self.last_span.entry(id.clone()).or_default(),
            Target::Holder(at) => {
                if self.holders[*at].closed {
                    let scope = self.name(&owner);
                    return Err(Error::ScopeClosed { scope });
                }
                &mut self.holders[*at].last_span
            }
        };
        *last += 1;
        let number = *last;
        self.holders
            .push(Holder::new(HolderKind::Span { owner, number }));
        Ok(self.holders.len() - 1)
    }

    /// Closes a connection, stream or span.
    pub(super) fn done(&mut self, at: usize) {
        let stat = self.stat(&Target::Holder(at));
        let holder = &mut self.holders[at];
        if holder.closed {
            return;
        }
        holder.closed = true;
        match holder.kind.clone() {
            HolderKind::Leaf(leaf) => {
                self.give_back(&leaf.path(), stat);
                if let Some(ip) = leaf.ip.filter(|_| leaf.has_permit) {
                    self.addresses.give_back(ip);
                }
                if let (Some(ip), Some(begun)) = (leaf.ip, leaf.dry_run_permit) {
                    self.dry_run.give_back(ip, begun);
                }
            }
            HolderKind::Span { owner, .. } => self.take(&owner, stat.memory),
        }
    }
}

/// A request for memory.
pub const fn for_memory(size: u64, priority: Priority, turn: Turn) -> Request {
    Request {
        stat: memory(size),
        moved: false,
        priority,
        memory: true,
        turn,
    }
}

/// This much memory and nothing else.
const fn memory(size: u64) -> ScopeStat {
    ScopeStat {
        memory: size,
        ..ScopeStat::ZERO
    }
}
