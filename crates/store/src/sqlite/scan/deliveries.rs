//! An event's deliveries, from the four places where they lie.

use crate::Result;
use crate::sqlite::codec;
use dacapo_model::{Delivery, Event};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};
use std::collections::BTreeMap;

pub struct Deliveries<'c> {
    settled: Rows<'c>,
    waiting: Rows<'c>,
    settled_replays: Rows<'c>,
    waiting_replays: Rows<'c>,
}

impl<'c> Deliveries<'c> {
    /// `ascending`: events are asked for oldest first.
    pub fn prepare(connection: &'c Connection, ascending: bool) -> Result<Self> {
        let born = |table, columns, read| Rows::prepare(connection, ascending, columns, table, "1", "ord", read);
        let replays = |table, columns, read| {
            Rows::prepare(connection, ascending, columns, table, "trigger = 1", "event_ord", read)
        };
        Ok(Self {
            settled: born("settled d NOT INDEXED", codec::SETTLED_COLUMNS, codec::settled)?,
            waiting: born("waiting d NOT INDEXED", codec::WAITING_COLUMNS, codec::waiting)?,
            settled_replays: replays("settled d INDEXED BY settled_by_event", codec::SETTLED_COLUMNS, codec::settled)?,
            waiting_replays: replays("waiting d INDEXED BY waiting_by_event", codec::WAITING_COLUMNS, codec::waiting)?,
        })
    }

    /// Those an event was born with are its neighbours; one without a row is fresh, or still to be written.
    /// `None` when they are more than `most`.
    pub fn of(&mut self, event: &Event, later_targets: usize, most: usize) -> Result<Option<Vec<Delivery>>> {
        let mut found: BTreeMap<u64, Delivery> = BTreeMap::new();
        let order = event.id.order();
        let count = u32::try_from(event.targets.len()).unwrap_or(u32::MAX);
        if count > 0 {
            let all = event.targets.len() + later_targets;
            let (first, last) = (order.saturating_add(1), order.saturating_add(all as u64));
            let born = (first.cast_signed(), last.cast_signed());
            self.settled.collect(born, usize::MAX, &mut found)?;
            self.waiting.collect(born, usize::MAX, &mut found)?;
            for index in 0..count {
                if let Some(fresh) = event.delivery(index) {
                    found.entry(fresh.id.order()).or_insert(fresh);
                }
            }
        }
        let of_event = (order.cast_signed(), order.cast_signed());
        self.settled_replays.collect(of_event, most, &mut found)?;
        self.waiting_replays.collect(of_event, most, &mut found)?;
        Ok((found.len() <= most).then(|| found.into_values().collect()))
    }
}

/// Rows by a number, of which there may be few: stretches without any are looked at once.
struct Rows<'c> {
    rows: CachedStatement<'c>,
    /// The first number behind one; none when numbers do not rise.
    next: Option<CachedStatement<'c>>,
    /// No row has a number from the first of these to before the second.
    gap: (i64, i64),
    read: fn(&Row<'_>, usize) -> Result<Delivery>,
}

impl<'c> Rows<'c> {
    fn prepare(
        connection: &'c Connection,
        ascending: bool,
        columns: &str,
        table: &str,
        condition: &str,
        number: &str,
        read: fn(&Row<'_>, usize) -> Result<Delivery>,
    ) -> Result<Self> {
        let rows = format!("SELECT {columns} FROM {table} WHERE {condition} AND d.{number} BETWEEN ?1 AND ?2");
        let next =
            format!("SELECT d.{number} FROM {table} WHERE {condition} AND d.{number} > ?1 ORDER BY d.{number} LIMIT 1");
        let next = ascending.then(|| connection.prepare_cached(&next)).transpose()?;
        Ok(Self { rows: connection.prepare_cached(&rows)?, next, gap: (0, 0), read })
    }

    fn collect(&mut self, (first, last): (i64, i64), most: usize, found: &mut BTreeMap<u64, Delivery>) -> Result<()> {
        if self.gap.0 <= first && last < self.gap.1 {
            return Ok(());
        }
        let before = found.len();
        let mut rows = self.rows.query([first, last])?;
        while found.len() <= most
            && let Some(row) = rows.next()?
        {
            let delivery = (self.read)(row, 0)?;
            found.insert(delivery.id.order(), delivery);
        }
        drop(rows);
        let is_empty = found.len() == before && before <= most;
        if let Some(next) = self.next.as_mut().filter(|_| is_empty) {
            let number: Option<i64> = next.query_row([last], |row| row.get(0)).optional()?;
            self.gap = (first, number.unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
