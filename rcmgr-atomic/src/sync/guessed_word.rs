//! A word, and beside it a guess of what it holds.

use super::{AtomicU64, Ordering, cold_path};

/// A word that is changed by compare-and-swap, and beside it a guess of what it holds.
///
/// A read of a word that an atomic step has just changed waits until that step ends. A reservation swaps
/// two words and its release swaps them again, so these reads took a tenth of the time of both. The guess
/// is written by plain stores, and a read of it does not wait. (The gain is there only if the guess is
/// written before the swap, not after it.)
///
/// A guess is wrong while another thread is between its note and its swap. It is wrong, too, if two threads
/// noted in another order than they swapped, or if a swap that failed was noted late.
///
/// So a guess may only lead to a swap. If the guess is wrong, the swap fails, and the guess is corrected. A
/// refusal may not rest on a guess: it must read the word.
#[derive(Debug)]
pub struct GuessedWord {
    word: AtomicU64,
    /// Zero while there is none: a word of zero is read.
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

    /// What the word probably is: a word that a thread noted, or else the word itself.
    #[inline]
    pub fn guess(&self) -> u64 {
        // Acquire: pairs with `note`.
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
    fn note(&self, word: u64) {
        // Release: pairs with `guess`.
        self.guess.store(word, Ordering::Release);
    }

    /// Notes the word if there is a guess.
    #[inline]
    fn correct(&self, word: u64) {
        // Relaxed: a thread that misses the first guess leaves it wrong until the next swap.
        if self.guess.load(Ordering::Relaxed) != 0 {
            self.note(word);
        }
    }

    /// Swaps the word for `next`, if it is still `current`. From then on there is a guess. Other threads may
    /// see `next` as a guess even if the swap fails.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    #[inline]
    pub fn swap_and_guess(&self, current: u64, next: u64) -> Result<(), u64> {
        self.note(next);
        self.compare_exchange(current, next).inspect_err(|&now| {
            cold_path();
            self.note(now);
        })
    }

    /// The same, but it notes only if there is a guess already.
    ///
    /// # Errors
    ///
    /// As for [`swap_and_guess`](Self::swap_and_guess).
    #[inline]
    pub fn swap(&self, current: u64, next: u64) -> Result<(), u64> {
        self.correct(next);
        self.compare_exchange(current, next).inspect_err(|&now| {
            cold_path();
            self.correct(now);
        })
    }

    /// The same for a word that no other thread may see as a guess before the swap.
    ///
    /// # Errors
    ///
    /// As for [`swap_and_guess`](Self::swap_and_guess).
    #[inline]
    pub fn swap_first(&self, current: u64, next: u64) -> Result<(), u64> {
        let swapped = self.compare_exchange(current, next);
        self.correct(swapped.err().unwrap_or(next));
        swapped
    }

    #[inline]
    fn compare_exchange(&self, current: u64, next: u64) -> Result<(), u64> {
        // SeqCst, here and below: the users of the word say why. The word on failure is noted, so it must
        // be acquired.
        self.word
            .compare_exchange(current, next, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
    }

    /// Sets bits of the word. Returns the word before.
    #[inline]
    pub fn set_bits(&self, bits: u64) -> u64 {
        // SeqCst: as above.
        let before = self.word.fetch_or(bits, Ordering::SeqCst);
        self.correct(before | bits);
        before
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_guess_follows_the_word_from_the_first_one_on() {
        let word = GuessedWord::new(1);
        word.swap(1, 2).expect("it is 1");
        assert_eq!(word.guess.load(Ordering::Relaxed), 0, "there is none yet");
        assert_eq!(word.guess(), 2, "it is read");
        word.swap_and_guess(2, 3).expect("it is 2");
        assert_eq!(word.guess(), 3);
        word.swap(3, 4).expect("it is 3");
        assert_eq!(word.guess(), 4);
        word.swap_first(4, 5).expect("it is 4");
        assert_eq!(word.guess(), 5);
        assert_eq!(word.set_bits(8), 5);
        assert_eq!(word.guess(), 13);
    }

    #[test]
    fn a_swap_that_fails_corrects_the_guess() {
        let word = GuessedWord::new(0);
        word.swap_and_guess(0, 1).expect("it is 0");
        let swaps = [
            GuessedWord::swap_and_guess,
            GuessedWord::swap,
            GuessedWord::swap_first,
        ];
        for swap in swaps {
            word.note(7);
            assert_eq!(swap(&word, word.guess(), 8), Err(1));
            assert_eq!((word.guess(), word.load(Ordering::Relaxed)), (1, 1));
        }
    }
}
