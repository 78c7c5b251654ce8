//! Charges and releases of the path of a leaf, each with its record.

use rcmgr_core::{Error, Priority};

use super::state::Leaf;
use crate::charge::{Memory, Refused};
use crate::counters::Kind;
use crate::engine::{Operation, Path, Record};
use crate::lifetime::Shared;
use crate::limits::LimitsVersion;

impl Leaf {
    /// A record about the leaf on this path.
    pub(super) fn about(&self, operation: Operation, path: &Shared<Path>) -> Record {
        Record::of_leaf(operation, path, self.slot(), self.number())
    }

    /// Records that the leaf was opened. No other thread has it yet.
    #[cold]
    pub fn record_opened(&self) {
        let path = self.path();
        path.home().record(|| self.about(Operation::Open, path));
    }

    /// The same, and evaluates it in a dry run.
    #[cold]
    pub fn observe_opened(&self) {
        self.record_opened();
        let path = self.path();
        if path.home().has_dry_run() {
            path.home().evaluate_new(path, self.slot());
        }
    }

    /// Records that the leaf ends. Its charges are given back after this.
    #[inline]
    pub(super) fn record_end(&self, path: &Shared<Path>, memory: u64) {
        path.home()
            .record(|| self.about(Operation::End, path).memory(memory, 0));
    }

    /// Records a reservation that was refused.
    #[inline]
    pub(super) fn record_refused(&self, charge: Memory, refused: &Error) {
        self.engine()
            .record_refusal(refused, || self.reserve_record(charge));
    }

    /// The record of a reservation that was refused.
    pub fn reserve_record(&self, charge: Memory) -> Record {
        let (word, path) = self.staged.load();
        let record = self.about(Operation::Reserve, path);
        let record = record.memory(charge.size, word.memory());
        record.priority(charge.level)
    }

    /// Charges the path with memory. The leaf will hold `sum` with it.
    #[inline]
    pub(super) fn charge_memory<'a>(
        &self,
        path: &'a Shared<Path>,
        version: LimitsVersion,
        charge: Memory,
        sum: u64,
    ) -> Result<(), Refused<'a>> {
        path.home().charge_path(path, version, charge)?;
        self.record_memory(Operation::Reserve, path, charge, sum);
        Ok(())
    }

    /// Takes back a charge of memory that was never granted. The leaf holds `held` without it.
    #[inline]
    pub(super) fn cancel_memory(&self, path: &Shared<Path>, charge: Memory, held: u64) {
        self.record_memory(Operation::Release, path, charge, held);
        path.cancel(charge);
    }

    /// Gives memory back to the path. The leaf holds `held` without it.
    #[inline]
    pub(super) fn release_memory(&self, path: &Shared<Path>, size: u64, held: u64) {
        let charge = Memory::new(size, Priority::Level(0));
        path.release(Kind::Memory, size, || {
            self.record_memory(Operation::Release, path, charge, held);
        });
    }

    #[inline]
    fn record_memory(&self, operation: Operation, path: &Shared<Path>, charge: Memory, held: u64) {
        path.home().record(|| {
            let record = self.about(operation, path);
            record.memory(charge.size, held).priority(charge.level)
        });
    }
}
