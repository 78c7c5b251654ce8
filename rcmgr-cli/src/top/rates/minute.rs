//! The last minute of a scope.

use std::time::{Duration, Instant};

/// The moments of a minute.
pub const MOMENTS: usize = 20;
/// The length of a moment.
const MOMENT: Duration = Duration::from_secs(3);

/// A part of the minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moment {
    /// The highest utilisation; `None` for a scope without limits.
    pub part: Option<f64>,
    /// Whether the scope refused something.
    pub refused: bool,
}

/// The moments of the last minute. A moment without an update is as the one before it.
#[derive(Debug, Clone)]
pub struct Minute {
    begin: Instant,
    /// The number of the last moment.
    last: u64,
    /// Each moment at its number modulo [`MOMENTS`]; `None` before the first update.
    moments: [Option<Moment>; MOMENTS],
}

impl Minute {
    pub const fn new(now: Instant) -> Self {
        Self {
            begin: now,
            last: 0,
            moments: [None; MOMENTS],
        }
    }

    /// Adds an update.
    pub fn add(&mut self, now: Instant, moment: Moment) {
        let is_new = self.advance(now);
        let last = &mut self.moments[place(self.last)];
        *last = Some(match *last {
            _ if is_new => moment,
            Some(earlier) if earlier.part > moment.part => Moment {
                refused: earlier.refused || moment.refused,
                ..earlier
            },
            Some(earlier) => Moment {
                refused: earlier.refused || moment.refused,
                ..moment
            },
            None => moment,
        });
    }

    /// Goes on to the moment that is now. Returns whether it is another one.
    fn advance(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.begin);
        let number = since.as_secs() / MOMENT.as_secs();
        let passed = number.saturating_sub(self.last).min(MOMENTS as u64);
        let before = self.moments[place(self.last)];
        for moment in number - passed + 1..=number {
            self.moments[place(moment)] = before.map(|before| Moment {
                refused: false,
                ..before
            });
        }
        self.last = self.last.max(number);
        passed > 0
    }

    /// The moments, the oldest first.
    pub fn moments(&self) -> impl Iterator<Item = Option<Moment>> + use<'_> {
        let next = self.last + 1;
        (0..MOMENTS as u64).map(move |more| self.moments[place(next + more)])
    }
}

const fn place(moment: u64) -> usize {
    (moment % MOMENTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(part: f64) -> Moment {
        Moment {
            part: Some(part),
            refused: false,
        }
    }

    fn last(minute: &Minute, count: usize) -> Vec<Option<Moment>> {
        minute.moments().skip(MOMENTS - count).collect()
    }

    #[test]
    fn a_moment_has_the_highest_utilisation_and_whether_anything_was_refused() {
        let begin = Instant::now();
        let mut minute = Minute::new(begin);
        let refused = Moment {
            part: Some(0.2),
            refused: true,
        };
        for moment in [at(0.1), at(0.5), refused] {
            minute.add(begin, moment);
        }
        let expected = Moment {
            part: Some(0.5),
            refused: true,
        };
        assert_eq!(last(&minute, 2), [None, Some(expected)]);
    }

    #[test]
    fn a_moment_without_an_update_is_as_the_one_before_but_refused_nothing() {
        let begin = Instant::now();
        let mut minute = Minute::new(begin);
        let refused = Moment {
            part: Some(0.5),
            refused: true,
        };
        minute.add(begin, refused);
        minute.add(begin + 3 * MOMENT, at(0.7));
        let expected = [Some(refused), Some(at(0.5)), Some(at(0.5)), Some(at(0.7))];
        assert_eq!(last(&minute, 4), expected);
        assert_eq!(minute.moments().next(), Some(None));
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let begin = Instant::now();
        let mut minute = Minute::new(begin);
        minute.add(begin, at(0.9));
        for number in 1..=MOMENTS as u32 {
            minute.add(begin + number * MOMENT, at(0.1));
        }
        assert!(minute.moments().all(|moment| moment == Some(at(0.1))));
        // A long pause is no long loop.
        minute.add(begin + Duration::from_secs(u32::MAX.into()), at(0.3));
        assert_eq!(last(&minute, 2), [Some(at(0.1)), Some(at(0.3))]);
    }
}
