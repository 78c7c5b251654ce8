use rcmgr_core::{Limit, LimitValue, Resource};

use crate::edition::{Edition, LimitSlots, decode};
use crate::gauge::Over;
use crate::slot::Slot;
use crate::sync::OnceBox;

/// The whole limit of a class of leaves.
#[derive(Debug)]
pub struct LeafLimit(LimitSlots<8>);

const MEMORY: usize = Resource::Memory as usize;

fn fields(limit: &Limit) -> [LimitValue; 8] {
    Resource::ALL.map(|resource| limit.get(resource))
}

impl LeafLimit {
    /// The same limit for either edition's slot.
    pub fn new(limit: &Limit) -> Self {
        Self(LimitSlots::new([fields(limit); 2]))
    }

    pub fn get(&self, edition: Edition) -> Limit {
        let limits = self.0.get(edition).map(decode);
        let of = |resource| limits[resource as usize];
        Limit {
            memory: of(Resource::Memory),
            fd: of(Resource::Fd),
            streams: of(Resource::Streams),
            streams_inbound: of(Resource::StreamsInbound),
            streams_outbound: of(Resource::StreamsOutbound),
            conns: of(Resource::Conns),
            conns_inbound: of(Resource::ConnsInbound),
            conns_outbound: of(Resource::ConnsOutbound),
        }
    }

    /// The limit of memory, as a slot holds it.
    #[inline]
    pub fn memory(&self, edition: Edition) -> u64 {
        self.0.get_one(edition, MEMORY)
    }

    /// Whether it has room for a leaf's slot.
    #[inline]
    pub fn check(&self, edition: Edition, slot: Slot) -> Result<(), Over> {
        // The usual answer, without looking at all of it.
        let [one_way, total] = slot.resources();
        let has_room = |resource| self.0.get_one(edition, resource as usize) > 0;
        if has_room(one_way) && has_room(total) && (!slot.uses_fd() || has_room(Resource::Fd)) {
            return Ok(());
        }
        slot.check(&self.get(edition))
    }

    /// Only one writer at a time, from within [`Editions::change`](crate::edition::Editions).
    pub fn set(&self, edition: Edition, limit: &Limit) {
        self.0.set(edition, fields(limit));
    }
}

/// A limit set on one leaf or span by hand. Few have one, so it takes little room until then.
#[derive(Debug)]
pub struct OwnLimit(OnceBox<Set>);

#[derive(Debug)]
struct Set {
    /// Unlimited where the limit counts; else none is set.
    counts: LimitSlots<1>,
    limit: LeafLimit,
}

const COUNTS: LimitValue = LimitValue::Unlimited;
const NOT_SET: LimitValue = LimitValue::BLOCK_ALL;

impl OwnLimit {
    pub fn none() -> Self {
        Self(OnceBox::new())
    }

    #[inline]
    fn counting(&self, edition: Edition) -> Option<&LeafLimit> {
        let set = self.0.get()?;
        let counts = decode(set.counts.get_one(edition, 0)) == COUNTS;
        counts.then_some(&set.limit)
    }

    pub fn get(&self, edition: Edition) -> Option<Limit> {
        self.counting(edition).map(|limit| limit.get(edition))
    }

    /// The limit of memory, as a slot holds it.
    #[inline]
    pub fn memory(&self, edition: Edition) -> Option<u64> {
        self.counting(edition).map(|limit| limit.memory(edition))
    }

    /// Only one writer at a time, from within [`Editions::change`](crate::edition::Editions).
    pub fn set(&self, edition: Edition, limit: Option<Limit>) {
        let set = self.0.get_or_init(|| {
            Box::new(Set {
                counts: LimitSlots::new([[NOT_SET]; 2]),
                limit: LeafLimit::new(&Limit::UNLIMITED),
            })
        });
        if let Some(limit) = &limit {
            set.limit.set(edition, limit);
        }
        set.counts
            .set(edition, [if limit.is_some() { COUNTS } else { NOT_SET }]);
    }
}
