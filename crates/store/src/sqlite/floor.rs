//! `meta.fresh_floor`: from which delivery on recovery must look (see [`super::fresh`]).
//!
//! What is written may be lower than the oldest fresh delivery, never higher. So it falls in the
//! transaction that bears an older delivery (an event may be committed after one whose id is later),
//! and rises only now and then: recovery looks at so many events more.

use super::writer::Effects;
use crate::Result;
use rusqlite::{Connection, Statement};

/// Events that are stored before the floor is written again.
const EVENTS_BEHIND_MAX: usize = 2_048;
/// Transactions, for when they store few events: what is fresh settles without any.
const TRANSACTIONS_BEHIND_MAX: usize = 64;

pub const READ: &str = "SELECT value FROM meta WHERE key = 'fresh_floor'";
pub const WRITE: &str = "UPDATE meta SET value = ?1 WHERE key = 'fresh_floor'";

pub struct Floor<'c> {
    write: Statement<'c>,
    /// What the last transaction that wrote it left behind.
    written: u64,
    /// Stored since then, and transactions.
    events: usize,
    transactions: usize,
}

impl<'c> Floor<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let written: i64 = connection.query_row(READ, [], |row| row.get(0))?;
        let write = connection.prepare(WRITE)?;
        Ok(Self { write, written: written.cast_unsigned(), events: 0, transactions: 0 })
    }

    /// Before a COMMIT, with all that it bears in `oldest_fresh`. What it wrote, if anything.
    pub fn keep(&mut self, oldest_fresh: Option<u64>, effects: &Effects) -> Result<Option<u64>> {
        let Some(floor) = oldest_fresh.or(effects.newest_event) else {
            return Ok(None);
        };
        let is_far_behind = self.events.saturating_add(effects.events) >= EVENTS_BEHIND_MAX
            || self.transactions >= TRANSACTIONS_BEHIND_MAX;
        if floor < self.written || is_far_behind && floor > self.written {
            self.write.execute([floor.cast_signed()])?;
            return Ok(Some(floor));
        }
        Ok(None)
    }

    /// After the COMMIT.
    pub fn committed(&mut self, effects: &Effects) {
        match effects.floor_written {
            Some(floor) => (self.written, self.events, self.transactions) = (floor, 0, 0),
            None => {
                self.events = self.events.saturating_add(effects.events);
                self.transactions = self.transactions.saturating_add(1);
            }
        }
    }

    /// When no transaction follows: the next start then looks at no more than it must.
    pub fn catch_up(&mut self, connection: &Connection, oldest_fresh: Option<u64>) {
        if let Err(cause) = self.try_catch_up(connection, oldest_fresh) {
            tracing::debug!(%cause, "the next start looks at more events than it must");
        }
    }

    fn try_catch_up(&mut self, connection: &Connection, oldest_fresh: Option<u64>) -> Result<()> {
        let newest = || connection.query_row("SELECT max(ord) FROM events", [], |row| row.get::<_, Option<i64>>(0));
        let floor = match oldest_fresh {
            Some(floor) => Some(floor),
            None => newest()?.map(i64::cast_unsigned),
        };
        if let Some(floor) = floor.filter(|floor| *floor > self.written) {
            self.write.execute([floor.cast_signed()])?;
        }
        Ok(())
    }
}
