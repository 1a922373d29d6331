//! An event's deliveries, from the four places where they lie.

use crate::Result;
use crate::sqlite::codec;
use dacapo_model::{Delivery, Event};
use rusqlite::{CachedStatement, Connection, Row};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Rows of one place that are in memory before the event is there that they belong to.
const ROWS_AHEAD_MAX: usize = 128;

pub struct Deliveries<'c> {
    settled: Rows<'c>,
    waiting: Rows<'c>,
    settled_replays: Rows<'c>,
    waiting_replays: Rows<'c>,
}

impl<'c> Deliveries<'c> {
    /// `ascending`: events are asked for oldest first.
    pub fn prepare(connection: &'c Connection, ascending: bool) -> Result<Self> {
        let prepare = |place: &Place| Rows::prepare(connection, place, ascending);
        Ok(Self {
            settled: prepare(&Place {
                columns: codec::SETTLED_COLUMNS,
                table: "settled d NOT INDEXED",
                condition: "1",
                number: Number::Own,
                read: codec::settled_front,
            })?,
            waiting: prepare(&Place {
                columns: codec::WAITING_COLUMNS,
                table: "waiting d NOT INDEXED",
                condition: "1",
                number: Number::Own,
                read: codec::waiting,
            })?,
            settled_replays: prepare(&Place {
                columns: codec::SETTLED_COLUMNS,
                table: "settled d INDEXED BY settled_by_event",
                condition: "trigger = 1",
                number: Number::OfEvent,
                read: codec::settled_front,
            })?,
            waiting_replays: prepare(&Place {
                columns: codec::WAITING_COLUMNS,
                table: "waiting d INDEXED BY waiting_by_event",
                condition: "trigger = 1",
                number: Number::OfEvent,
                read: codec::waiting,
            })?,
        })
    }

    /// By id. Those an event was born with are its neighbours; one without a row is fresh, or still to be
    /// written. `None` when they are more than `most`.
    pub fn of(&mut self, event: &Event, later_targets: usize, most: usize) -> Result<Option<Vec<Delivery>>> {
        let mut found: Vec<Delivery> = Vec::new();
        let order = event.id.order();
        let count = u32::try_from(event.targets.len()).unwrap_or(u32::MAX);
        if count > 0 {
            let all = event.targets.len() + later_targets;
            let (first, last) = (order.saturating_add(1), order.saturating_add(all as u64));
            let born = first.cast_signed()..=last.cast_signed();
            self.settled.collect(born.clone(), usize::MAX, &mut found)?;
            self.waiting.collect(born, usize::MAX, &mut found)?;
            found.sort_by_key(|delivery| delivery.id);
            let written = found.len();
            for fresh in (0..count).filter_map(|index| event.delivery(index)) {
                let is_written = found.get(..written).unwrap_or_default();
                if is_written.binary_search_by_key(&fresh.id.order(), |delivery| delivery.id.order()).is_err() {
                    found.push(fresh);
                }
            }
        }
        let of_event = order.cast_signed()..=order.cast_signed();
        self.settled_replays.collect(of_event.clone(), most, &mut found)?;
        self.waiting_replays.collect(of_event, most, &mut found)?;
        found.sort_by_key(|delivery| delivery.id);
        Ok((found.len() <= most).then_some(found))
    }
}

/// One of the places.
struct Place {
    columns: &'static str,
    table: &'static str,
    condition: &'static str,
    number: Number,
    read: fn(&Row<'_>, usize) -> Result<Delivery>,
}

/// What leads to a delivery.
#[derive(Clone, Copy)]
enum Number {
    Own,
    OfEvent,
}

impl Number {
    const fn column(self) -> &'static str {
        match self {
            Self::Own => "ord",
            Self::OfEvent => "event_ord",
        }
    }

    fn of(self, delivery: &Delivery) -> i64 {
        match self {
            Self::Own => codec::ord(delivery.id),
            Self::OfEvent => codec::ord(delivery.event_id),
        }
    }
}

/// Rows by a number. Where the numbers asked for rise, the rows behind are read along: a look-up of its own
/// for each costs more than the row does.
struct Rows<'c> {
    exact: CachedStatement<'c>,
    /// None when numbers do not rise.
    onward: Option<CachedStatement<'c>>,
    ahead: Ahead,
    number: Number,
    read: fn(&Row<'_>, usize) -> Result<Delivery>,
}

struct Ahead {
    /// Whatever rows have numbers in here are in `rows`, as far as they were not asked for.
    known: Option<RangeInclusive<i64>>,
    /// By number.
    rows: VecDeque<Delivery>,
    /// Rows asked for since some were read along: a walk that leaves most events out reads few.
    used: usize,
}

impl<'c> Rows<'c> {
    fn prepare(connection: &'c Connection, place: &Place, ascending: bool) -> Result<Self> {
        let Place { columns, table, condition, number, read } = *place;
        let column = number.column();
        let exact = format!("SELECT {columns} FROM {table} WHERE {condition} AND d.{column} BETWEEN ?1 AND ?2");
        let onward = format!(
            "SELECT {columns} FROM {table} WHERE {condition} AND d.{column} >= ?1 ORDER BY d.{column} LIMIT ?2"
        );
        let onward = ascending.then(|| connection.prepare_cached(&onward)).transpose()?;
        let ahead = Ahead { known: None, rows: VecDeque::new(), used: 0 };
        Ok(Self { exact: connection.prepare_cached(&exact)?, onward, ahead, number, read })
    }

    /// Those with numbers within `wanted`, or so many that `found` holds more than `most`.
    fn collect(&mut self, wanted: RangeInclusive<i64>, most: usize, found: &mut Vec<Delivery>) -> Result<()> {
        if !self.is_known(&wanted) {
            self.read_along(*wanted.start())?;
        }
        let before = found.len();
        if self.is_known(&wanted) {
            self.take(&wanted, found);
        } else {
            self.look_up(&wanted, most, found)?;
        }
        self.ahead.used += found.len() - before;
        Ok(())
    }

    fn is_known(&self, wanted: &RangeInclusive<i64>) -> bool {
        let contains = |number| self.ahead.known.as_ref().is_some_and(|known| known.contains(number));
        contains(wanted.start()) && contains(wanted.end())
    }

    fn take(&mut self, wanted: &RangeInclusive<i64>, found: &mut Vec<Delivery>) {
        while let Some(next) = self.ahead.rows.pop_front() {
            let number = self.number.of(&next);
            if number > *wanted.end() {
                self.ahead.rows.push_front(next);
                return;
            }
            if number >= *wanted.start() {
                found.push(next);
            }
        }
    }

    fn look_up(&mut self, wanted: &RangeInclusive<i64>, most: usize, found: &mut Vec<Delivery>) -> Result<()> {
        let mut rows = self.exact.query([wanted.start(), wanted.end()])?;
        while found.len() <= most
            && let Some(row) = rows.next()?
        {
            found.push((self.read)(row, 0)?);
        }
        Ok(())
    }

    /// Twice as many as were of use the last time, and at least one, which tells where the next one is.
    fn read_along(&mut self, first: i64) -> Result<()> {
        let Some(onward) = &mut self.onward else { return Ok(()) };
        let ahead = &mut self.ahead;
        let limit = (ahead.used * 2).clamp(1, ROWS_AHEAD_MAX);
        ahead.used = 0;
        ahead.rows.clear();
        let mut rows = onward.query([first, limit as i64])?;
        while let Some(row) = rows.next()? {
            ahead.rows.push_back((self.read)(row, 0)?);
        }
        let last = match (ahead.rows.back(), self.number) {
            (Some(last), Number::Own) if ahead.rows.len() == limit => codec::ord(last.id),
            // The next row may have this number too.
            (Some(last), Number::OfEvent) if ahead.rows.len() == limit => codec::ord(last.event_id) - 1,
            _ => i64::MAX,
        };
        ahead.known = Some(first..=last);
        Ok(())
    }
}
