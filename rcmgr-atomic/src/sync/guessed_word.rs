//! A word, and beside it a guess of what it holds.

use super::{AtomicU64, Ordering, cold_path};

/// A word that is changed by compare-and-swap, and beside it a guess of what it holds.
///
/// A read of a word that an atomic step has just changed waits until that step ends. A reservation swaps
/// two words and its release swaps them again, so these reads took a tenth of the time of both. The guess
/// is written by plain stores, and a read of it does not wait. (The gain is there only if the guess is
/// written before the swap, not after it.)
///
/// A guess is mostly right. It is wrong while another thread is between its note and its swap, if such a swap
/// failed, and if the word was changed by a step that is not noted. So a guess may only lead to a swap, which
/// fails if the guess is wrong. Whoever refuses must read the word.
#[derive(Debug)]
pub struct GuessedWord {
    word: AtomicU64,
    /// Zero while there is none.
    guess: AtomicU64,
}

impl GuessedWord {
    #[inline]
    pub fn new(word: u64) -> Self {
        Self {
            word: AtomicU64::new(word),
            guess: AtomicU64::new(0),
        }
    }

    #[inline]
    pub fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    /// What the word probably is: the word that a thread noted before it swapped, or read.
    #[inline]
    pub fn guess(&self) -> u64 {
        // Acquire: pairs with `note`. The thread that noted the guess knew the word before.
        match self.guess.load(Ordering::Acquire) {
            0 => {
                cold_path();
                // Acquire: pairs with the swaps.
                self.word.load(Ordering::Acquire)
            }
            guess => guess,
        }
    }

    #[inline]
    fn note(&self, next: u64) {
        // Release: pairs with `guess`.
        self.guess.store(next, Ordering::Release);
    }

    /// Swaps the word for `next`, if it is still `current`: for a caller that guessed. From then on there
    /// is a guess. Other threads may see `next` as a guess even if the swap fails.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    #[inline]
    pub fn swap_guessed(&self, current: u64, next: u64) -> Result<(), u64> {
        self.note(next);
        self.swap_unnoted(current, next)
    }

    /// The same for a caller that did not guess. It keeps a guess right, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`swap_guessed`](Self::swap_guessed).
    #[inline]
    pub fn swap(&self, current: u64, next: u64) -> Result<(), u64> {
        // Relaxed: a thread that misses the first guess leaves it wrong.
        if self.guess.load(Ordering::Relaxed) != 0 {
            self.note(next);
        }
        self.swap_unnoted(current, next)
    }

    /// The same for a word that no other thread may see before the swap.
    ///
    /// # Errors
    ///
    /// As for [`swap_guessed`](Self::swap_guessed).
    #[inline]
    pub fn swap_unnoted(&self, current: u64, next: u64) -> Result<(), u64> {
        // SeqCst, here and below: the users of the word say why.
        self.word
            .compare_exchange(current, next, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
    }

    /// Sets bits of the word, and does not note it. Returns the word before.
    #[inline]
    pub fn set_bits(&self, bits: u64) -> u64 {
        // SeqCst: as in `swap_unnoted`.
        self.word.fetch_or(bits, Ordering::SeqCst)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_guess_follows_the_swaps() {
        let word = GuessedWord::new(1);
        word.swap(1, 2).expect("it is 1");
        assert_eq!(word.guess(), 2, "nothing was noted, so it is read");
        word.swap_guessed(2, 3).expect("it is 2");
        assert_eq!(word.guess(), 3);
        word.swap(3, 4).expect("it is 3");
        assert_eq!(word.guess(), 4);
    }

    #[test]
    fn a_wrong_guess_fails_and_leads_to_the_word() {
        let word = GuessedWord::new(0);
        word.swap_guessed(0, 1).expect("it is 0");
        word.swap_unnoted(1, 2).expect("it is 1");
        assert_eq!(word.set_bits(8), 2);
        assert_eq!(word.guess(), 1, "neither step was noted");
        assert_eq!(word.swap_guessed(word.guess(), 3), Err(10));
        assert_eq!(word.load(Ordering::Relaxed), 10);
        word.swap(10, 4).expect("it is 10");
        assert_eq!(word.guess(), 4);
    }
}
