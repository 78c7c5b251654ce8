//! The signals that reload the file and end the proxy.

#[cfg(unix)]
pub use unix::Signals;

#[cfg(not(unix))]
pub use interrupt::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Read the file again.
    Reload,
    /// End, because of this signal.
    End(Ended),
}

/// A signal that ends the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub name: &'static str,
    /// The exit status of a program that the signal ended at once: 128 and its number.
    pub status: u8,
}

const INTERRUPT: Ended = Ended {
    name: "SIGINT",
    status: 130,
};

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Ended, INTERRUPT, Request};

    const TERMINATE: Ended = Ended {
        name: "SIGTERM",
        status: 143,
    };

    /// Receives signals.
    #[derive(Debug)]
    pub struct Signals {
        terminate: Signal,
        interrupt: Signal,
        hang_up: Signal,
    }

    impl Signals {
        /// Receives signals from now on. Needs a runtime.
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        }

        pub async fn next(&mut self) -> Request {
            tokio::select! {
                Some(()) = self.terminate.recv() => Request::End(TERMINATE),
                Some(()) = self.interrupt.recv() => Request::End(INTERRUPT),
                Some(()) = self.hang_up.recv() => Request::Reload,
                // Not reached: a stream of signals has no end.
                else => std::future::pending().await,
            }
        }
    }
}

#[cfg(not(unix))]
mod interrupt {
    use std::io;

    use super::{INTERRUPT, Request};

    /// Receives Ctrl-C.
    #[derive(Debug)]
    pub struct Signals(());

    impl Signals {
        pub fn listen() -> io::Result<Self> {
            Ok(Self(()))
        }

        pub async fn next(&mut self) -> Request {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Request::End(INTERRUPT),
                // The system has no such signal: then Ctrl-C ends the program as usual.
                Err(_) => std::future::pending().await,
            }
        }
    }
}
