//! A set of resources, and the word of a node that says what requests wait for there.

use rcmgr_core::{Direction, Resource, UsesFd};

use super::field::Field;

/// A set of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources(u8);

impl Resources {
    pub const MEMORY: Self = Self::one(Resource::Memory);
    const STREAMS: [Self; 2] = [
        Self::one(Resource::StreamsInbound).with(Resource::Streams),
        Self::one(Resource::StreamsOutbound).with(Resource::Streams),
    ];
    const CONNS: [Self; 2] = [
        Self::one(Resource::ConnsInbound).with(Resource::Conns),
        Self::one(Resource::ConnsOutbound).with(Resource::Conns),
    ];

    pub const ALL_OF_CONNECTIONS: Self =
        Self::of_connection(Direction::Inbound, UsesFd::Yes).with(Resource::ConnsOutbound);

    const fn one(resource: Resource) -> Self {
        Self(1 << resource as u8)
    }

    #[must_use]
    pub const fn with(self, resource: Resource) -> Self {
        Self(self.0 | Self::one(resource).0)
    }

    /// The limits that a stream counts in.
    pub const fn of_stream(direction: Direction) -> Self {
        Self::STREAMS[direction as usize]
    }

    /// The limits that a connection counts in.
    pub const fn of_connection(direction: Direction, uses_fd: UsesFd) -> Self {
        let conns = Self::CONNS[direction as usize];
        match uses_fd {
            UsesFd::Yes => conns.with(Resource::Fd),
            UsesFd::No => conns,
        }
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn contains(self, resource: Resource) -> bool {
        self.0 & Self::one(resource).0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Resource> {
        let all = Resource::ALL.into_iter();
        all.filter(move |&resource| self.contains(resource))
    }
}

/// The resources of a node that requests wait for: `[level: 8][resources: 8]`. The level is the
/// highest priority among those that wait for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitedWord(pub u32);

impl WaitedWord {
    const RESOURCES: Field = Field::right_of_all(8);
    const LEVEL: Field = Self::RESOURCES.left_of(8);

    pub const NOTHING: Self = Self(0);

    pub fn resources(self) -> Resources {
        Resources(Self::RESOURCES.get(self.0.into()) as u8)
    }

    /// The highest priority level among those that wait for memory.
    pub fn level(self) -> u8 {
        Self::LEVEL.get(self.0.into()) as u8
    }

    /// The word if requests wait for this resource, the first of them with this priority level; or
    /// if none waits for it.
    #[must_use]
    pub fn with(self, resource: Resource, first: Option<u8>) -> Self {
        let (mut resources, mut level) = (self.resources(), self.level());
        match first {
            Some(_) => resources = resources.with(resource),
            None => resources.0 &= !Resources::one(resource).0,
        }
        if resource == Resource::Memory {
            level = first.unwrap_or(0);
        }
        let resources = Self::RESOURCES.of(resources.0.into());
        Self((resources | Self::LEVEL.of(level.into())) as u32)
    }
}

const _: () = assert!(WaitedWord::LEVEL.end() <= u32::BITS);
const _: () = assert!(Resource::ALL.len() <= u8::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_in_its_direction_the_total_and_the_descriptors() {
        let set = Resources::of_connection(Direction::Inbound, UsesFd::Yes);
        let members: Vec<_> = set.iter().collect();
        assert_eq!(
            members,
            [Resource::Fd, Resource::Conns, Resource::ConnsInbound]
        );
        let streams = Resources::of_stream(Direction::Outbound);
        assert!(set.intersection(streams).is_empty());
        assert!(streams.contains(Resource::StreamsOutbound));
    }

    #[test]
    fn the_level_is_that_of_the_first_that_waits_for_memory() {
        let word = WaitedWord::NOTHING
            .with(Resource::Memory, Some(152))
            .with(Resource::ConnsOutbound, Some(255));
        assert_eq!(word.level(), 152);
        assert!(word.resources().contains(Resource::ConnsOutbound));
        let word = word.with(Resource::Memory, None);
        assert_eq!(word.level(), 0);
        assert!(!word.resources().contains(Resource::Memory));
        assert_eq!(
            word.with(Resource::ConnsOutbound, None),
            WaitedWord::NOTHING
        );
    }
}
