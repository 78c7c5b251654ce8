//! The stages of the demo. Each task watches the current stage to start and to end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The time that a stage waits for its effect, beyond its own time. A busy machine may need it.
const EFFECT_WITHIN: Duration = Duration::from_secs(2);
/// The time between two looks for the effect.
const LOOK_EVERY: Duration = Duration::from_millis(10);

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

/// The clients, for the director of the stages.
pub struct Arrivals {
    /// The number of honest clients that were admitted at least once.
    pub came: watch::Receiver<u64>,
    /// The number of honest clients.
    pub all: u64,
}

impl Arrivals {
    /// Waits until all have come, or until no further one comes for a while.
    async fn complete(&mut self) {
        while *self.came.borrow_and_update() < self.all {
            match timeout(EFFECT_WITHIN, self.came.changed()).await {
                Ok(Ok(())) => {}
                // All clients have ended, or limits refuse the others.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Announces the stages one after the other, once the honest clients have come. The stages in
/// `flooded` share `length`, or the clients just stay for that time. A stage takes a little longer
/// until `has_effect` says that the flood did what it is for.
pub async fn direct(
    now: &watch::Sender<Stage>,
    flooded: &[Stage],
    mut arrivals: Arrivals,
    length: Duration,
    has_effect: impl Fn(Stage) -> bool,
) {
    arrivals.complete().await;
    if flooded.is_empty() {
        sleep(length).await;
    }
    for &stage in flooded {
        now.send_replace(stage);
        sleep(length / flooded.len() as u32).await;
        let effect = async {
            while !has_effect(stage) {
                sleep(LOOK_EVERY).await;
            }
        };
        // Continue in any case: limits may be too high for this flood.
        let _ = timeout(EFFECT_WITHIN, effect).await;
    }
}
