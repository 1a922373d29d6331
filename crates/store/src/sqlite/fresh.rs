//! Fresh deliveries: born, held in memory by dispatch, not yet recorded.
//!
//! Most deliveries succeed within milliseconds. Writing a `waiting` row for each and deleting it
//! again would double the row operations of an event. Instead the event's `targets` imply its
//! deliveries, and `meta.fresh_floor` says from which event on an implied delivery may be nowhere
//! else. After a crash [`super::recover`] looks at the events from there on.
//!
//! Invariant: every delivery implied by a committed event is in `settled`, in `waiting` or in this
//! set; and `fresh_floor` is at most the order of every delivery in this set. Around a COMMIT the set
//! holds too much rather than too little (orders [`Fresh::enter`] before it and [`Fresh::leave`]
//! after it), so a reader trusts the tables first and this set last.

use super::codec;
use crate::Result;
use dacapo_model::Event;
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The orders of all fresh deliveries. Changed by the writer around each commit; read by queries.
#[derive(Default)]
pub struct Fresh(Mutex<BTreeSet<u64>>);

impl Fresh {
    pub fn contains(&self, order: u64) -> bool {
        self.lock().contains(&order)
    }

    pub fn first(&self) -> Option<u64> {
        self.lock().first().copied()
    }

    /// Before the COMMIT that makes their events visible.
    pub fn enter(&self, born: &[u64]) {
        self.lock().extend(born);
    }

    /// After the COMMIT that gave them a row, or after a COMMIT failed that would have borne them.
    pub fn leave<'a>(&self, gone: impl IntoIterator<Item = &'a u64>) {
        let mut set = self.lock();
        for order in gone {
            set.remove(order);
        }
    }

    /// The oldest orders up to `until`, at most `limit`.
    pub fn oldest(&self, until: u64, limit: usize) -> Vec<u64> {
        self.lock().range(..=until).take(limit).copied().collect()
    }

    /// Looks at the set at the very moment the connection's read transaction gets its snapshot:
    /// whatever that shows of an event, `read` sees of its fresh deliveries. Must be the
    /// transaction's first statement.
    pub fn look<T>(&self, connection: &Connection, read: impl FnOnce(&BTreeSet<u64>) -> T) -> Result<T> {
        let set = self.lock();
        connection.prepare_cached("SELECT 1 FROM meta LIMIT 1")?.query_row([], |_| Ok(()))?;
        Ok(read(&set))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the events that imply deliveries. Keeps the last one: neighbours often share it.
pub struct Parents<'c> {
    before: CachedStatement<'c>,
    last: Option<Arc<Event>>,
}

impl<'c> Parents<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = format!("SELECT {} FROM events e WHERE e.ord < ?1 ORDER BY e.ord DESC LIMIT 1", codec::EVENT_COLUMNS);
        Ok(Self { before: connection.prepare_cached(&sql)?, last: None })
    }

    /// The event that implies the delivery of this order, and the delivery's index in it.
    pub fn of(&mut self, order: u64) -> Result<Option<(Arc<Event>, u32)>> {
        if let Some(found) = self.last.as_ref().and_then(|event| with_index(event, order)) {
            return Ok(Some(found));
        }
        let found =
            self.before.query_row([order.cast_signed()], |row| Ok(codec::event(row))).optional()?.transpose()?;
        self.last = found.map(Arc::new);
        Ok(self.last.as_ref().and_then(|event| with_index(event, order)))
    }
}

/// `None` unless the order is that of a delivery the event was born with.
fn with_index(event: &Arc<Event>, order: u64) -> Option<(Arc<Event>, u32)> {
    let index = order.checked_sub(event.id.order())?.checked_sub(1)?;
    let index = u32::try_from(index).ok().filter(|index| (*index as usize) < event.targets.len())?;
    Some((Arc::clone(event), index))
}
