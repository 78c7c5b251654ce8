//! A shared scope in the trace, with the sums of its usage.

use std::io::{self, Write};

use rcmgr_atomic::record::{Change, KnownScope};
use rcmgr_core::ScopeStat;

use super::lines::{GROUPS, Verb, write_change};
use crate::counters::six;
use crate::trace::event::Event;

/// A shared scope in the trace, and its usage.
#[derive(Debug)]
pub struct Known {
    pub scope: KnownScope,
    /// A template with the name and labels of the scope. Its other fields are those of the event
    /// before.
    pub event: Event,
    pub held: Sums,
}

/// The six counters of a scope, summed up from records. A sum may be negative for a short time, if
/// the records of its charges are late or missed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums([i128; 6]);

impl Sums {
    pub fn add(&mut self, change: Change, amount: &ScopeStat) {
        let sign = match change {
            Change::More => 1,
            Change::Less => -1,
            Change::None => 0,
        };
        for (sum, amount) in self.0.iter_mut().zip(six(amount)) {
            *sum += sign * i128::from(amount);
        }
    }

    pub fn stat(&self) -> ScopeStat {
        let [
            streams_inbound,
            streams_outbound,
            conns_inbound,
            conns_outbound,
            fd,
            memory,
        ] = self
            .0
            .map(|sum| u64::try_from(sum.max(0)).unwrap_or(u64::MAX));
        ScopeStat {
            streams_inbound,
            streams_outbound,
            conns_inbound,
            conns_outbound,
            fd,
            memory,
        }
    }
}

impl Known {
    /// Writes the totals of the wanted groups, with a delta of zero.
    pub fn write_totals(&mut self, wanted: [bool; 3], to: &mut impl Write) -> io::Result<()> {
        let held = self.held.stat();
        for (group, _) in GROUPS.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            let nothing = ([0; 3], 0);
            write_change(&mut self.event, (Verb::Release, group), nothing, &held, to)?;
        }
        Ok(())
    }

    /// Adds the missed changes, and writes the totals that changed.
    pub fn add_missed(&mut self, to: &mut impl Write) -> io::Result<()> {
        let missed = self.scope.take_missed();
        for (sum, missed) in self.held.0.iter_mut().zip(missed) {
            *sum += i128::from(missed);
        }
        self.write_totals(groups(missed.map(|missed| missed != 0)), to)
    }
}

/// The groups of the counters that are set.
pub fn groups(six: [bool; 6]) -> [bool; 3] {
    let [streams_in, streams_out, conns_in, conns_out, fd, memory] = six;
    [
        memory,
        streams_in || streams_out,
        conns_in || conns_out || fd,
    ]
}
