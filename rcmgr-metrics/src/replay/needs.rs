//! The limits that a trace needs: at them, a replay refuses nothing.

use ahash::HashMap;
use rcmgr_core::ScopeStat;

use super::rules::memory_needed;
use super::tally::Peak;

/// The needs of each class of scopes, by its name.
///
/// A scope that is asked needs its usage at that time plus the request. This holds for each scope
/// that the replay asks, also for those that the trace does not show because a scope before them
/// refused. So under limits of at least these needs, the replay refuses nothing.
#[derive(Debug, Default)]
pub struct Needs {
    classes: HashMap<&'static str, Class>,
}

#[derive(Debug, Default)]
struct Class {
    needed: Peak,
    /// The highest usage of any of the scopes so far.
    most: Peak,
}

impl Needs {
    /// A scope of this class is asked for `amount` on top of `used`. The priority is that of the
    /// memory.
    pub fn ask(&mut self, class: &'static str, used: &Peak, amount: &Peak, priority: u8) {
        let class = self.classes.entry(class).or_default();
        class.needed.raise(&wanted(used, amount, priority));
    }

    /// A scope of this class has granted, and has this usage now.
    pub fn grant(&mut self, class: &'static str, usage: &ScopeStat) {
        let class = self.classes.entry(class).or_default();
        class.most.raise(&Peak::of(usage));
    }

    /// Any scope of this class may be asked: the trace does not show which one. The highest usage
    /// so far is the upper bound. A class that was never used has no need.
    pub fn may_ask(&mut self, class: &'static str, amount: &Peak, priority: u8) {
        if let Some(class) = self.classes.get_mut(class) {
            class.needed.raise(&wanted(&class.most, amount, priority));
        }
    }

    /// The highest usage of any scope of a class so far.
    pub fn most(&self, class: &str) -> Peak {
        let class = self.classes.get(class);
        class.map(|class| class.most).unwrap_or_default()
    }

    /// The needs of a class.
    pub fn of(&self, class: &str) -> Peak {
        let class = self.classes.get(class);
        class.map(|class| class.needed).unwrap_or_default()
    }
}

fn wanted(used: &Peak, amount: &Peak, priority: u8) -> Peak {
    let mut wanted = used.plus(amount);
    if amount.memory > 0 {
        wanted.memory = memory_needed(wanted.memory, priority);
    }
    wanted
}
