//! Moving the log (WAL) into the database file, beside the commits rather than inside them.
//!
//! A thread with a connection of its own copies most of the log while the writer goes on; then the
//! writer does the short last step, which finds only what came meanwhile and lets the log start
//! over. Without that step a busy writer's log would grow without end. When readers keep that from
//! working for long, they are held off for a moment (see [`Gate`]).

use super::gate::Gate;
use super::schema;
use super::writer::JoinOnDrop;
use crate::{Result, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The log is moved when it holds more pages than this (4 MiB at 4 KiB a page). Commits share the disk
/// with what is moved and wait behind it: a large piece at once would hold them up for long.
const LOG_PAGES: i32 = 1_024;
/// When it holds more than this all the same, lists are held off.
const LOG_PAGES_CROWDED: i32 = 8 * LOG_PAGES;
/// From here on (48 MiB) the writer waits for the thread: a disk that cannot keep up slows commits
/// down instead of filling up.
const LOG_PAGES_FULL: i32 = 12 * LOG_PAGES;
/// For how long lists under way are waited for; the longest takes as long as a list may.
const READERS_WAIT_MAX: Duration = super::LIST_TIME_MAX;
/// For how long the writer's next commit is waited for; without one the log does not grow.
const LAST_STEP_WAIT_MAX: Duration = Duration::from_millis(200);

pub struct Checkpointer {
    /// Full while the thread is asked or at work.
    wake: SyncSender<()>,
    shared: Arc<Shared>,
    /// Tells the thread of a last step done.
    stepped: SyncSender<()>,
    /// After `wake`, whose end ends the thread.
    _thread: JoinOnDrop,
}

#[derive(Default)]
struct Shared {
    /// Set by the thread, cleared by the writer when it does the last step.
    last_step_due: AtomicBool,
    /// After the writer's last commit.
    pages_in_log: AtomicI32,
    /// Held by the thread while it moves pages.
    moving: Mutex<()>,
}

impl Checkpointer {
    /// Watches the commits of `writer`.
    pub fn start(file: &Path, writer: &mut Connection, gate: Arc<Gate>) -> Result<Self> {
        let connection = schema::open_writer(file)?;
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            watched.pages_in_log.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        let (wake, woken) = sync_channel(0);
        let (stepped, last_step) = sync_channel(1);
        let round = Round { connection, shared: Arc::clone(&shared), gate, last_step };
        let thread = std::thread::Builder::new()
            .name("dacapo-checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(cause) = round.run() {
                        tracing::warn!(%cause, "checkpoint put off");
                    }
                }
            })
            .map_err(|cause| StoreError::Unavailable(format!("cannot start a thread: {cause}")))?;
        Ok(Self { wake, shared, stepped, _thread: JoinOnDrop(Some(thread)) })
    }

    /// Called by the writing thread after each transaction.
    pub fn after_commit(&self, connection: &Connection) {
        if self.shared.last_step_due.swap(false, Ordering::AcqRel) {
            if let Err(cause) = passive(connection) {
                tracing::debug!(%cause, "checkpoint's last step put off");
            }
            // Full when nobody waits for it.
            let _ = self.stepped.try_send(());
            return;
        }
        if self.shared.pages_in_log.load(Ordering::Relaxed) > LOG_PAGES {
            // Not taken when the thread is at work already: it comes round again.
            let _ = self.wake.try_send(());
        }
        if self.shared.pages_in_log.load(Ordering::Relaxed) > LOG_PAGES_FULL {
            let _moved = self.shared.move_alone();
            if let Err(cause) = passive(connection) {
                tracing::debug!(%cause, "checkpoint by the writer put off");
            }
        }
    }
}

/// What the thread works with.
struct Round {
    connection: Connection,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    last_step: Receiver<()>,
}

impl Round {
    fn run(&self) -> rusqlite::Result<()> {
        self.move_pages()?;
        let is_crowded = self.shared.pages_in_log.load(Ordering::Relaxed) > LOG_PAGES_CROWDED;
        if !is_crowded {
            self.shared.last_step_due.store(true, Ordering::Release);
            return Ok(());
        }
        let _nobody_reads = self.gate.close(READERS_WAIT_MAX);
        // What was out of reach behind a reader; so that the last step is short again.
        self.move_pages()?;
        let _ = self.last_step.try_recv();
        self.shared.last_step_due.store(true, Ordering::Release);
        let _ = self.last_step.recv_timeout(LAST_STEP_WAIT_MAX);
        Ok(())
    }

    fn move_pages(&self) -> rusqlite::Result<()> {
        let _alone = self.shared.move_alone();
        passive(&self.connection)
    }
}

impl Shared {
    fn move_alone(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn passive(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
