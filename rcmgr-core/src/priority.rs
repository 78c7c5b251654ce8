//! The priority of a memory reservation.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// How full a scope may become through a memory reservation.
///
/// A reservation at priority `p` is granted if the scope's usage, including the reservation, is at
/// most `floor((1 + p) * limit / 256)` bytes. Less important work is therefore refused first, and
/// essential work still finds room. The levels are those of go-libp2p's resource manager.
///
/// ```
/// use rcmgr_core::Priority;
///
/// assert_eq!(Priority::Low.level(), 101);
/// assert_eq!(Priority::Level(203), Priority::High);
/// assert_eq!(Priority::Medium.to_string(), "medium");
/// assert_eq!(Priority::Level(7).to_string(), "7");
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Priority {
    /// Level 101: up to 40 % of the limit.
    Low,
    /// Level 152: up to 60 % of the limit.
    Medium,
    /// Level 203: up to 80 % of the limit.
    High,
    /// Level 255: the whole limit.
    Always,
    /// Any other level.
    Level(u8),
}

impl Priority {
    /// The level, from 0 (1/256 of the limit) to 255 (all of it).
    #[inline]
    pub const fn level(self) -> u8 {
        match self {
            Self::Low => 101,
            Self::Medium => 152,
            Self::High => 203,
            Self::Always => 255,
            Self::Level(level) => level,
        }
    }
}

impl fmt::Display for Priority {
    /// The name, or the level as a number if it has no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            _ if *self == Self::Low => "low",
            _ if *self == Self::Medium => "medium",
            _ if *self == Self::High => "high",
            _ if *self == Self::Always => "always",
            other => return fmt::Display::fmt(&other.level(), f),
        };
        f.pad(name)
    }
}

impl From<u8> for Priority {
    fn from(level: u8) -> Self {
        Self::Level(level)
    }
}

impl PartialEq for Priority {
    fn eq(&self, other: &Self) -> bool {
        self.level() == other.level()
    }
}

impl Eq for Priority {}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> Ordering {
        self.level().cmp(&other.level())
    }
}

impl Hash for Priority {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.level().hash(state);
    }
}
