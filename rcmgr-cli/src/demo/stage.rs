//! The stages of the demo. Each task watches the current stage to start and to end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// A stage. Later stages are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Honest clients connect and stay.
    Connecting,
    /// One address hoards: its peer scope refuses.
    OneHoards,
    /// Another address opens connections and sends nothing: the transient scope refuses.
    OneIsSilent,
    /// All other addresses hoard: the system scope refuses.
    AllHoard,
    /// Clients disconnect.
    Leaving,
    /// No client is left, and the server accepts no further connections.
    Closing,
}

impl Stage {
    /// A short description for the progress line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Connecting => "honest clients connect",
            Self::OneHoards => "one address hoards",
            Self::OneIsSilent => "one is silent",
            Self::AllHoard => "several hoard",
            Self::Leaving | Self::Closing => "all leave",
        }
    }
}

/// Waits for `stage` or a later one.
pub async fn reached(now: &mut watch::Receiver<Stage>, stage: Stage) {
    // Fails if the sender is dropped: then the demo is over.
    let _ = now.wait_for(|now| *now >= stage).await;
}

/// Announces the stages one after the other; clients leave `length` from now. Honest clients have
/// up to two fifths of the time to connect, and the stages in `flooded` share the rest.
pub async fn direct(
    now: &watch::Sender<Stage>,
    flooded: &[Stage],
    all_came: impl Future<Output = ()>,
    length: Duration,
) {
    let begin = Instant::now();
    let end = begin + length;
    // Continue, whether all clients have connected or not.
    let _ = timeout(length * 2 / 5, all_came).await;
    let rest = end.saturating_duration_since(Instant::now());
    for (at, stage) in (0..).zip(flooded) {
        now.send_replace(*stage);
        sleep_until(end - rest + rest * (at + 1) / flooded.len() as u32).await;
    }
    sleep_until(end).await;
    now.send_replace(Stage::Leaving);
}
