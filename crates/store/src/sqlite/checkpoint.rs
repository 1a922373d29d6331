//! Moving the log (WAL) into the database file, beside the commits rather than inside them.
//!
//! A thread with a connection of its own copies most of the log while the writer goes on; then the
//! writer does the short last step, which finds only what came meanwhile and lets the log start
//! over. Without that step a busy writer's log would grow without end.

use super::schema;
use crate::{Result, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The log is moved when it holds more pages than this (16 MiB at 4 KiB a page).
const LOG_PAGES: i32 = 4_096;

pub struct Checkpointer {
    /// Full while the thread is asked or at work.
    wake: SyncSender<()>,
    /// Set by the thread, cleared by the writer when it has done the last step.
    last_step_due: Arc<AtomicBool>,
    /// After the writer's last commit.
    pages_in_log: Arc<AtomicI32>,
}

impl Checkpointer {
    /// Watches the commits of `writer`.
    pub fn start(file: &Path, writer: &mut Connection) -> Result<Self> {
        let connection = schema::open_writer(file)?;
        let pages_in_log = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&pages_in_log);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            pages.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        let last_step_due = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&last_step_due);
        let (wake, woken) = sync_channel(0);
        std::thread::Builder::new()
            .name("dacapo-checkpoint".to_owned())
            .spawn(move || run(&connection, &flag, &woken))
            .map_err(|cause| StoreError::Unavailable(format!("cannot start a thread: {cause}")))?;
        Ok(Self { wake, last_step_due, pages_in_log })
    }

    /// Called by the writing thread after each transaction.
    pub fn after_commit(&self, connection: &Connection) {
        if self.last_step_due.swap(false, Ordering::AcqRel) {
            if let Err(cause) = passive(connection) {
                tracing::debug!(%cause, "checkpoint's last step put off");
            }
            return;
        }
        if self.pages_in_log.load(Ordering::Relaxed) > LOG_PAGES {
            // Not taken when the thread is at work already: it comes round again.
            let _ = self.wake.try_send(());
        }
    }
}

fn run(connection: &Connection, last_step_due: &AtomicBool, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        match passive(connection) {
            Ok(()) => last_step_due.store(true, Ordering::Release),
            Err(cause) => tracing::warn!(%cause, "checkpoint put off"),
        }
    }
}

fn passive(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
