//! Rates over simulated time: what they let in, and what happens to a caller that waits as told.
//! The clock reads the time in steps, as the coarse clock of a machine does, or finely.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rcmgr_address::{Rate, RateLimiter, RateLimits, SubnetRate};
use rcmgr_core::{Clock, RateLimitExceeded};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const TICK: u64 = 4_000_000;
/// The steps of a fine clock, of a kernel with 1000 ticks a second, and of one with 250.
const STEPS: [u64; 3] = [1, 1_000_000, TICK];

/// A clock that reads the time in steps. It says nothing about its resolution.
#[derive(Debug)]
struct StepClock {
    now: AtomicU64,
    step: u64,
}

impl Clock for StepClock {
    fn now(&self) -> Duration {
        let now = self.now.load(Ordering::Relaxed);
        Duration::from_nanos(now - now % self.step)
    }
}

struct World {
    limiter: RateLimiter,
    clock: Arc<StepClock>,
}

impl World {
    /// The time at the start is not at a tick.
    fn new(limits: RateLimits, step: u64, start: u64) -> Self {
        let now = AtomicU64::new(start);
        let clock = Arc::new(StepClock { now, step });
        let limiter = RateLimiter::new(limits, clock.clone()).unwrap();
        Self { limiter, clock }
    }

    fn now(&self) -> u64 {
        self.clock.now.load(Ordering::Relaxed)
    }

    fn advance(&self, by: u64) {
        self.clock.now.fetch_add(by, Ordering::Relaxed);
    }

    fn allow(&self) -> Result<(), RateLimitExceeded> {
        self.limiter.allow(IpAddr::from([192, 0, 2, 7]))
    }

    /// Waits as told after a refusal; then the only caller must be let in.
    fn wait_and_allow(&self, refused: RateLimitExceeded) {
        self.advance(refused.retry_after.as_nanos() as u64);
        let again = self.allow();
        assert!(
            again.is_ok(),
            "refused after it waited as told: {refused}, then {again:?}"
        );
    }

    /// How many connections of a caller come in that tries again and again, without a pause but for
    /// what it is told to wait.
    fn comes_in_by_waiting(&self, duration: u64) -> u64 {
        let end = self.now() + duration;
        let mut allowed = 0;
        while self.now() < end {
            if let Err(refused) = self.allow() {
                self.wait_and_allow(refused);
            }
            allowed += 1;
        }
        allowed
    }

    /// How many connections come in of callers that try all the time, every `pause`.
    fn comes_in_by_trying(&self, duration: u64, pause: u64) -> u64 {
        let end = self.now() + duration;
        let mut allowed = 0;
        while self.now() < end {
            allowed += u64::from(self.allow().is_ok());
            self.advance(pause);
        }
        allowed
    }
}

fn per_address(per_second: f64, burst: u32) -> RateLimits {
    let rate = Rate { per_second, burst };
    RateLimits {
        v4: vec![SubnetRate {
            prefix_len: 32,
            rate,
        }],
        ..RateLimits::none()
    }
}

fn assert_within_2_percent(allowed: u64, rate: f64, burst: u32, duration: u64, what: &str) {
    let seconds = duration as f64 / 1e9;
    let expected = rate * seconds;
    // The burst comes in at the start, and a token of the end may still be missing.
    let (least, most) = (
        expected * 0.98 - 1.0,
        expected * 1.02 + f64::from(burst) + 1.0,
    );
    let allowed = allowed as f64;
    assert!(
        (least..=most).contains(&allowed),
        "{what}: {allowed} of {expected} came in"
    );
}

#[test]
fn a_rate_with_a_burst_of_one_lets_in_what_it_says_to_callers_that_try_all_the_time() {
    for step in STEPS {
        for rate in [3.0, 20.0, 200.0, 249.0, 250.0, 251.0, 997.0] {
            let world = World::new(per_address(rate, 1), step, 1_700_000);
            let pause = if rate < 500.0 { 1_013_000 } else { 371_000 };
            let allowed = world.comes_in_by_trying(MINUTE, pause);
            assert_within_2_percent(
                allowed,
                rate,
                1,
                MINUTE,
                &format!("{rate} at steps of {step}"),
            );
        }
    }
}

#[test]
fn a_rate_lets_in_what_it_says_to_a_caller_that_waits_as_told() {
    for step in STEPS {
        for start in [0, 1_700_000] {
            for rate in [3.0, 17.0, 20.0, 200.0, 250.0, 997.0] {
                for burst in [1, 16] {
                    let world = World::new(per_address(rate, burst), step, start);
                    let allowed = world.comes_in_by_waiting(MINUTE);
                    let what = format!("{rate}, burst {burst}, at steps of {step}");
                    assert_within_2_percent(allowed, rate, burst, MINUTE, &what);
                }
            }
        }
    }
}

#[test]
fn a_rate_of_one_per_hour_or_per_five_seconds_lets_in_what_it_says() {
    for step in STEPS {
        for (rate, duration) in [(1.0 / 3600.0, 100 * 3600 * SECOND), (0.2, 100 * MINUTE)] {
            let world = World::new(per_address(rate, 1), step, 1_700_000);
            let allowed = world.comes_in_by_waiting(duration);
            assert_within_2_percent(allowed, rate, 1, duration, &format!("{rate} per second"));
        }
    }
}

#[test]
fn a_caller_is_told_the_longest_wait_of_all_its_buckets() {
    let rate = |per_second, burst| Rate { per_second, burst };
    let limits = RateLimits {
        global: Some(rate(2.0, 2)),
        v4: vec![
            SubnetRate {
                prefix_len: 32,
                rate: rate(20.0, 3),
            },
            SubnetRate {
                prefix_len: 24,
                rate: rate(5.0, 1),
            },
        ],
        ..RateLimits::none()
    };
    for step in STEPS {
        let world = World::new(limits.clone(), step, 1_700_000);
        let allowed = world.comes_in_by_waiting(MINUTE);
        assert_within_2_percent(allowed, 2.0, 2, MINUTE, "the slowest rate");
    }
}

#[test]
fn a_caller_is_told_that_waiting_is_in_vain_where_no_token_will_come() {
    let never = [per_address(5.0, 0), per_address(0.0, 1)];
    let behind_the_first = never.clone().map(|limits| RateLimits {
        global: Some(Rate {
            per_second: 0.0,
            burst: 1,
        }),
        ..per_address(limits.v4[0].rate.per_second + 1.0, 1)
    });
    for limits in never.into_iter().chain(behind_the_first) {
        let world = World::new(limits, TICK, 0);
        let refused = [(); 2]
            .map(|()| world.allow())
            .into_iter()
            .find_map(Result::err);
        assert_eq!(refused.unwrap().retry_after, Duration::MAX);
        world.advance(1_000_000 * SECOND);
        assert!(world.allow().is_err());
    }
}

#[test]
fn an_error_shows_no_less_than_the_wait() {
    for rate in [3.0, 7.0, 997.0, 0.3] {
        let world = World::new(per_address(rate, 1), 1, 0);
        let refused = std::iter::repeat_with(|| world.allow())
            .find_map(Result::err)
            .unwrap();
        let shown = refused.to_string();
        let (_, shown) = shown.split_once("try again in ").unwrap();
        assert_eq!(seconds(shown), refused.retry_after, "{shown}");
    }
}

/// The duration of a text such as `1.5ms`.
fn seconds(text: &str) -> Duration {
    let at = text.find(char::is_alphabetic).unwrap();
    let (number, unit) = text.split_at(at);
    let nanos_per_unit = match unit {
        "s" => 1e9,
        "ms" => 1e6,
        "ns" => 1.0,
        _ => 1e3,
    };
    Duration::from_nanos((number.parse::<f64>().unwrap() * nanos_per_unit).round() as u64)
}

proptest! {
    #[test]
    fn never_more_than_burst_rate_and_one_tick_and_a_caller_that_waited_is_let_in(
        per_second in prop_oneof![0.1..10.0, 10.0..2000.0_f64],
        burst in prop_oneof![1..4_u32, 1..100_u32],
        step in prop_oneof![Just(1), Just(TICK), 1..TICK],
        start in 0..2 * TICK,
        // Pauses in parts of a token's period, and whether a refused caller waits as told.
        tries in proptest::collection::vec((0.0..2.5_f64, any::<bool>()), 1..400),
    ) {
        let world = World::new(per_address(per_second, burst), step, start);
        let mut allowed = 0;
        for (pause, waits) in tries {
            match world.allow() {
                Ok(()) => allowed += 1,
                Err(refused) if waits => {
                    world.wait_and_allow(refused);
                    allowed += 1;
                }
                Err(_) => {}
            }
            let time = (world.now() - start + TICK + step) as f64 / 1e9;
            let most = f64::from(burst) + per_second * time;
            prop_assert!(f64::from(allowed) <= most + 1e-3, "{allowed} of at most {most}");
            world.advance((pause * 1e9 / per_second) as u64);
        }
    }
}
