//! Simulated time, in whole picoseconds, so that sums do not depend on their order.

use std::ops::{Add, AddAssign, Mul, Sub};

/// A time or a duration on a simulated machine.
///
/// ```
/// use rcmgr_machine::Time;
///
/// let time = Time::from_ns(1.5) + Time::from_ns(2.0);
/// assert_eq!(time.as_ns(), 3.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

const PS_PER_NS: f64 = 1000.0;

impl Time {
    /// The start of a run.
    pub const ZERO: Self = Self(0);

    /// The longest time.
    pub const MAX: Self = Self(u64::MAX);

    /// This number of nanoseconds, rounded to picoseconds. Less than zero is zero.
    pub fn from_ns(ns: f64) -> Self {
        Self((ns * PS_PER_NS).round() as u64)
    }

    /// In nanoseconds.
    pub fn as_ns(self) -> f64 {
        self.0 as f64 / PS_PER_NS
    }

    /// In whole picoseconds.
    pub const fn as_ps(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this one; zero if that is later.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Time {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Time {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Time {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<u64> for Time {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self(self.0 * times)
    }
}
