//! A leaf: a connection or a stream, and how it is closed.

use rcmgr_core::{Error, Limit, Result, ScopeName, ScopeStat};

use crate::counters::{ConnMemoryBucket, LazyNumber, Numbers, OwnMemory, Slot};
use crate::engine::{Engine, Path};
use crate::lifetime::{Shared, Staged, Use};
use crate::limits::{LimitOverride, LimitsVersion};
use crate::path::PathKind;
use crate::words::LeafWord;

/// A connection or a stream.
// The fields that start as zero come first. Behind the padding of `staged`, the compiler would
// build them elsewhere and copy them, which stalls the processor.
pub struct Leaf {
    number: LazyNumber,
    spans: Numbers,
    pub(super) own_memory: OwnMemory,
    limit_override: LimitOverride,
    /// With its slot, which takes space that the alignment leaves free.
    pub(super) staged: Staged<Use<Path>, Slot>,
}

impl Leaf {
    /// A new leaf on a path that is charged with it already.
    #[inline(always)]
    pub fn charged(path: Use<Path>, slot: Slot) -> Self {
        Self {
            staged: Staged::new(LeafWord::OPENED, path, slot),
            number: LazyNumber::none(),
            spans: Numbers::new(),
            own_memory: OwnMemory::new(),
            limit_override: LimitOverride::none(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        let numbers = &self.engine().leaf_class(self.slot()).numbers;
        self.number.get(numbers)
    }

    /// The path on which a stream begins that is opened through this connection.
    ///
    /// # Errors
    ///
    /// If the manager or the connection is closed, or the connection has no peer yet.
    #[inline]
    pub fn streams(&self) -> Result<&Shared<Path>> {
        let (word, path) = self.staged.load();
        match path.streams() {
            Some(streams) if !word.is_closed() && path.home().is_open() => Ok(streams),
            _ => self.streams_in_general(),
        }
    }

    /// The same in all other cases: the path is not known yet, or it is known to the path before that of a
    /// service; or there is an error.
    #[inline(never)]
    fn streams_in_general(&self) -> Result<&Shared<Path>> {
        let (word, path) = self.staged.load();
        let engine = path.shared_home();
        engine.check_open()?;
        if word.is_closed() || path.kind() == PathKind::StrandedConnection {
            return Err(self.closed());
        }
        if path.peer().is_none() {
            return Err(Error::NoPeer { scope: self.name() });
        }
        // The path has a peer, so there is no result only if the connection was closed meanwhile.
        engine.streams_of(path).ok_or_else(|| self.closed())
    }

    #[inline]
    pub fn slot(&self) -> Slot {
        self.staged.fixed
    }

    /// The path that it is charged on, or was charged on when it was closed.
    #[inline]
    pub fn path(&self) -> &Shared<Path> {
        self.staged.load().1
    }

    pub fn is_closed(&self) -> bool {
        self.staged.load().0.is_closed()
    }

    pub fn name(&self) -> ScopeName {
        self.slot().name(self.number())
    }

    pub fn closed(&self) -> Error {
        Error::ScopeClosed { scope: self.name() }
    }

    pub fn stat(&self) -> ScopeStat {
        let (word, _) = self.staged.load();
        if word.is_closed() {
            ScopeStat::ZERO
        } else {
            self.slot().stat(word.memory())
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        self.path().home()
    }

    pub fn limit(&self) -> Limit {
        let engine = self.engine();
        engine.versions().read(|version| {
            let own = self.limit_override.get(version);
            own.unwrap_or_else(|| engine.leaf_class(self.slot()).limit.get(version))
        })
    }

    /// The limit that was set on the leaf itself, if one was.
    pub(super) fn limit_override(&self, version: LimitsVersion) -> Option<Limit> {
        self.limit_override.get(version)
    }

    pub fn set_limit(&self, limit: Option<Limit>) {
        self.engine()
            .change_limits(|version| self.limit_override.set(version, limit));
    }

    /// The limit of memory, as the number in a slot of limits.
    #[inline]
    pub fn memory_limit(&self, engine: &Engine, version: LimitsVersion) -> u64 {
        let own = self.limit_override.memory(version);
        own.unwrap_or_else(|| engine.leaf_class(self.slot()).limit.memory(version))
    }

    /// Prepares for a span: from now on the own memory of the leaf is counted apart.
    ///
    /// # Errors
    ///
    /// If the leaf is closed.
    pub fn prepare_for_spans(&self) -> Result<()> {
        if !self.staged.load().0.has_spans() {
            // This is the first span. One thread at a time, and not while the leaf moves: start the
            // count of own memory with all that the word holds, then mark the word. If the word
            // changed in between, start again.
            let _claim = self.staged.claim();
            let (mut word, _) = self.staged.load();
            while !word.is_closed() && !word.has_spans() {
                self.own_memory.begin(word.memory());
                match self.staged.set_has_spans(word) {
                    Ok(()) => break,
                    Err(now) => word = now,
                }
            }
        }
        if self.is_closed() {
            return Err(self.closed());
        }
        Ok(())
    }

    /// Gives back all that the leaf holds, once.
    pub fn close(&self) {
        if let Some(closed) = self.staged.close() {
            // Release the charge before `closed` drops the use of the path.
            self.give_back(closed.last(), closed.word());
            self.wake_waiting(closed.last(), closed.word());
        }
    }

    /// Wakes requests of the leaf that wait: it is closed, or has moved to another path. `word` is a
    /// word of the leaf as it was: a leaf with such requests is marked like one with spans.
    #[inline]
    pub(super) fn wake_waiting(&self, path: &Path, word: LeafWord) {
        let waiters = path.home().waiters();
        if word.has_spans() && waiters.any() {
            waiters.wake_those_of(&self.name());
        }
    }

    /// Gives back all that the leaf held, by its last word, to the path that the word names.
    #[inline]
    fn give_back(&self, path: &Shared<Path>, word: LeafWord) {
        self.record_end(path, word.memory());
        if self.slot().is_connection() && word.memory() > 0 {
            count_memory(path, word, 0);
        }
        path.release_leaf(self.slot(), word.memory());
    }

    /// Swaps the word for one that differs in memory, if it is still `word`. `path` is the path
    /// that the word names.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    #[inline]
    pub(super) fn set_memory(
        &self,
        path: &Path,
        word: LeafWord,
        next: LeafWord,
    ) -> Result<(), LeafWord> {
        self.staged.set_memory(word, next)?;
        if self.slot().is_connection() {
            count_memory(path, word, next.memory());
        }
        Ok(())
    }

    /// The numbers of its spans.
    pub fn span_numbers(&self) -> &Numbers {
        &self.spans
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // No other thread can close it any longer, so no atomic step on the word is needed. The
        // uses of paths are dropped after this.
        let (word, path) = self.staged.load();
        if !word.is_closed() {
            self.give_back(path, word);
        }
    }
}

/// Counts a connection in another bucket if its memory changed enough. Not inlined, so that a
/// stream pays only for the branch.
#[cold]
#[inline(never)]
pub(super) fn count_memory(path: &Path, before: LeafWord, after: u64) {
    let (from, to) = (
        ConnMemoryBucket::of(before.memory()),
        ConnMemoryBucket::of(after),
    );
    if from != to {
        path.home().conn_memory().moved(from, to);
    }
}
