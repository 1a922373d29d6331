//! The reading side of a copy (see [`crate::copy`]): the whole store, a bounded batch at a time.

mod tables;

use super::lease::DirectoryLock;
use super::{FILE_NAME, fan_out, recover, schema};
use crate::copy::{Batch, CopyError, Counts, Position, Table};
use crate::{Result, StoreError};
use dacapo_model::clock::SystemClock;
use dacapo_model::id::SystemEntropy;
use dacapo_model::{Clock, Id, IdSource, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::sync::mpsc;

/// Names this state of the store to a target that holds a part of it. Gone as soon as the store is
/// opened for anything but a copy.
const READ_MARK: &str = "SELECT value FROM meta WHERE key = 'copy_mark'";
const WRITE_MARK: &str = "INSERT INTO meta (key, value) VALUES ('copy_mark', ?1)";
const FORGET_MARK: &str = "DELETE FROM meta WHERE key = 'copy_mark'";

/// A store that nobody else has open, for as long as this lives.
pub struct Source {
    connection: Connection,
    mark: i64,
    _lock: DirectoryLock,
}

impl Source {
    /// As opening it does: what was only implied waits in its table after this.
    pub fn open(data_dir: &Path) -> std::result::Result<Self, CopyError> {
        let file = data_dir.join(FILE_NAME);
        // Opening makes what is not there.
        if !file.is_file() {
            return Err(CopyError::NoSource(data_dir.to_owned()));
        }
        Self::try_open(data_dir, &file).map_err(|cause| match cause {
            StoreError::InUse(_) => CopyError::SourceInUse(data_dir.to_owned()),
            cause => CopyError::Source(cause),
        })
    }

    fn try_open(data_dir: &Path, file: &Path) -> Result<Self> {
        let lock = DirectoryLock::take(data_dir)?;
        let mut connection = schema::open_writer(file)?;
        schema::migrate(&mut connection)?;
        recover::park_fresh(&mut connection)?;
        fan_out::finish_all(&mut connection)?;
        let mark = match connection.query_row(READ_MARK, [], |row| row.get(0)).optional()? {
            Some(mark) => mark,
            None => {
                let mark = IdSource::new(SystemEntropy).mint(SystemClock.now()).0.tail().cast_signed();
                connection.execute(WRITE_MARK, [mark])?;
                mark
            }
        };
        Ok(Self { connection, mark, _lock: lock })
    }

    pub const fn mark(&self) -> i64 {
        self.mark
    }

    pub fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::default();
        for table in Table::ALL {
            counts[table] =
                self.connection.query_row(tables::count(table), [], |row| row.get::<_, i64>(0))?.cast_unsigned();
        }
        Ok(counts)
    }

    /// A moment of each day on which an id of history was made. Leaps from day to day by the primary key.
    pub fn days(&self) -> Result<BTreeSet<Timestamp>> {
        let mut days = BTreeSet::new();
        for table in ["events", "waiting", "settled"] {
            let sql = format!("SELECT min(ord) FROM {table} WHERE ord >= ?1");
            let mut next = self.connection.prepare(&sql)?;
            let mut from = 0i64;
            while let Some(ord) = next.query_row([from], |row| row.get::<_, Option<i64>>(0))? {
                let at = Id::from_parts(ord.cast_unsigned(), 0).time();
                days.insert(at);
                let Some(tomorrow) = tables::first_of_next_day(at) else { break };
                from = tomorrow;
            }
        }
        Ok(days)
    }

    /// Hands over all that lies behind `position`, until the end or until nobody takes it any more.
    pub fn read(&self, mut position: Position, batches: &mpsc::Sender<Batch>) -> Result<()> {
        loop {
            match tables::batch(&self.connection, &position)? {
                Some(batch) => {
                    position = batch.then.clone();
                    if batches.blocking_send(batch).is_err() {
                        return Ok(());
                    }
                }
                None => match position.table.next() {
                    Some(table) => position = Position { table, after: Vec::new() },
                    None => return Ok(()),
                },
            }
        }
    }
}

/// When the store is opened to be used: what was copied is no longer all there is.
pub fn forget(connection: &Connection) -> Result<()> {
    if connection.execute(FORGET_MARK, [])? > 0 {
        tracing::warn!(
            "this store was copied, whole or in part; what waits here is delivered from here, and from the copy too if \
             that is in use"
        );
    }
    Ok(())
}
