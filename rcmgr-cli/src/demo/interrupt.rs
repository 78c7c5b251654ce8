//! Ctrl-C ends the flood early, and a second one ends the program.

use tokio::sync::watch;

/// The exit status of a program that an interrupt ended: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Whether the user has pressed Ctrl-C.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Handles Ctrl-C from now on. Needs a runtime.
    pub fn listen() -> Self {
        let (pressed, interrupt) = watch::channel(false);
        tokio::spawn(async move {
            // Fails if the system has no such signal: then Ctrl-C ends the program as usual.
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            pressed.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
        Self(interrupt)
    }

    /// Whether it was pressed.
    pub fn is_pressed(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is pressed.
    pub async fn pressed(&mut self) {
        if self.0.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending().await
        }
    }
}
