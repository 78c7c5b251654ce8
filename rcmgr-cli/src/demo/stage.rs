//! What goes on in the demo, one thing after another. Whoever takes part watches the stage, and
//! begins and ends with one: that is how all are told to leave.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// What goes on. Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Honest clients connect, and stay.
    Connecting,
    /// One address hoards: its peer scope refuses.
    OneHoards,
    /// Another opens and says nothing: the transient scope refuses.
    OneIsSilent,
    /// All others hoard: the system scope refuses.
    AllHoard,
    /// Clients end what they do.
    Leaving,
    /// No client is left, and the server takes no more.
    Closing,
}

impl Stage {
    /// For the one who watches it run.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Connecting => "honest clients come",
            Self::OneHoards => "one address hoards",
            Self::OneIsSilent => "one is silent",
            Self::AllHoard => "several hoard",
            Self::Leaving | Self::Closing => "all leave",
        }
    }
}

/// Waits for `stage`, or a later one.
pub async fn reached(now: &mut watch::Receiver<Stage>, stage: Stage) {
    // Fails if nobody can announce a stage any more: then the demo is over.
    let _ = now.wait_for(|now| *now >= stage).await;
}

/// Announces one stage after the other, until clients are to leave `length` from now. Honest
/// clients have two fifths of the time to come, and `flooded` share the rest.
pub async fn direct(
    now: &watch::Sender<Stage>,
    flooded: &[Stage],
    all_came: impl Future<Output = ()>,
    length: Duration,
) {
    let begin = Instant::now();
    let end = begin + length;
    // Whether they came or not, it goes on.
    let _ = timeout(length * 2 / 5, all_came).await;
    let rest = end.saturating_duration_since(Instant::now());
    for (at, stage) in (0..).zip(flooded) {
        now.send_replace(*stage);
        sleep_until(end - rest + rest * (at + 1) / flooded.len() as u32).await;
    }
    sleep_until(end).await;
    now.send_replace(Stage::Leaving);
}
