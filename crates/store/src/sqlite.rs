//! The embedded engine: one SQLite file, one thread that writes it, a few connections that read it.
//!
//! ```text
//!  commit ─┐
//!  record ─┼─► writer thread: everything queued goes into one transaction, one fsync
//!  …      ─┘        │ WAL                      checkpointer: moves the WAL into the file beside it
//!  query, due ──► readers (WAL snapshots: never wait for the writer)
//! ```

mod catalog;
mod checkpoint;
mod codec;
mod commit;
pub(crate) mod copy;
mod detail;
mod endpoint_log;
mod error;
mod fan_out;
mod floor;
mod fresh;
mod gate;
mod lease;
mod meta_events;
mod query;
mod queue;
mod readers;
mod record;
mod recover;
mod replays;
mod requeue;
mod retention;
mod scan;
mod schema;
mod sql;
#[cfg(test)]
mod tests;
mod writer;

use crate::{Result, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The embedded store of one process. Dropping it without [`crate::roles::Lease::release`] finishes
/// what was queued and frees the directory too.
pub struct SqliteStore {
    /// For people's lists, which may be slow.
    history: Arc<readers::Readers>,
    /// For dispatch and start-up: never waits behind a slow list.
    work: Arc<readers::Readers>,
    writer: writer::Writer,
    fresh: Arc<fresh::Fresh>,
    /// Rises with each transaction that wrote some.
    meta_events_in: watch::Sender<u64>,
}

/// Lists read at the same time.
const HISTORY_READERS: u32 = 4;
/// Reads of the queue at the same time.
const WORK_READERS: u32 = 2;
/// Longer lists are cut off (contracts/convoy.md §1.13).
const LIST_TIME_MAX: Duration = Duration::from_secs(5);
/// The file inside the data directory.
const FILE_NAME: &str = "dacapo.sqlite";

impl SqliteStore {
    /// Opens (or makes) the store in `data_dir`: takes the directory's lock, migrates, and makes
    /// every delivery that a crash left in memory only wait again.
    pub fn open(data_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(data_dir)
            .map_err(|cause| StoreError::Unavailable(format!("cannot make {}: {cause}", data_dir.display())))?;
        let lock = lease::DirectoryLock::take(data_dir)?;
        let file: PathBuf = data_dir.join(FILE_NAME);
        let mut connection = schema::open_writer(&file)?;
        schema::migrate(&mut connection)?;
        recover::park_fresh(&mut connection)?;
        endpoint_log::catch_up(&mut connection)?;
        copy::forget(&connection)?;
        let fresh = Arc::new(fresh::Fresh::default());
        let lists = Arc::new(gate::Gate::default());
        let history = readers::Readers::open(&file, HISTORY_READERS, Some(LIST_TIME_MAX), Arc::clone(&lists))?;
        // Short reads, which nobody holds off.
        let work = readers::Readers::open(&file, WORK_READERS, None, Arc::default())?;
        let checkpointer = checkpoint::Checkpointer::start(&file, &mut connection, lists)?;
        let writer = writer::Writer::start(connection, Arc::clone(&fresh), checkpointer, lock)?;
        Ok(Self {
            history: Arc::new(history),
            work: Arc::new(work),
            writer,
            fresh,
            meta_events_in: watch::channel(0).0,
        })
    }
}
