//! Signals: the first one asks for a clean end, the second one ends at once.

#[cfg(unix)]
mod signals {
    use std::io::Result;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub struct Signals {
        interrupt: Signal,
        terminate: Signal,
    }

    impl Signals {
        pub fn listen() -> Result<Self> {
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }

        /// The exit code by which shells know the signal.
        pub async fn next(&mut self) -> i32 {
            tokio::select! {
                _ = self.interrupt.recv() => 130,
                _ = self.terminate.recv() => 143,
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    use std::io::Result;

    pub struct Signals;

    impl Signals {
        pub fn listen() -> Result<Self> {
            Ok(Self)
        }

        pub async fn next(&mut self) -> i32 {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            130
        }
    }
}

pub use signals::Signals;

/// Returns at the first signal. From then on a second one ends the process.
pub async fn requested(mut signals: Signals) {
    signals.next().await;
    tokio::spawn(async move {
        let code = signals.next().await;
        crate::terminal::error("ended at once, at the second signal");
        std::process::exit(code);
    });
}
