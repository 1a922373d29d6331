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
mod error;
mod fresh;
mod lease;
mod query;
mod queue;
mod readers;
mod record;
mod recover;
mod requeue;
mod retention;
mod schema;
mod sql;
mod writer;

use crate::{Result, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The embedded store of one process.
pub struct SqliteStore {
    writer: writer::Writer,
    readers: Arc<readers::Readers>,
    fresh: Arc<fresh::Fresh>,
    lock: lease::DirectoryLock,
}

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
        let fresh = Arc::new(fresh::Fresh::default());
        let readers = Arc::new(readers::Readers::open(&file)?);
        let checkpointer = checkpoint::Checkpointer::start(&file, &mut connection)?;
        let writer = writer::Writer::start(connection, Arc::clone(&fresh), checkpointer)?;
        Ok(Self { writer, readers, fresh, lock })
    }
}
