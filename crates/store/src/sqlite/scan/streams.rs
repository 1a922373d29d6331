//! Ways to the events of some deliveries that do not walk the project. Each gives events in order, with
//! the place up to which it gave them all; together they are complete up to the nearest of those.

use super::item::Items;
use super::{ENDPOINTS_WALKED_MAX, Page, ROWS_AHEAD_MIN, direction, ordered};
use crate::Result;
use crate::roles::ScanRequest;
use crate::sqlite::codec;
use crate::sqlite::detail;
use crate::sqlite::endpoint_log;
use crate::targets::TARGET_BYTES;
use dacapo_model::{Id, Status};
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::RangeInclusive;

#[derive(Clone, Copy)]
pub enum Stream {
    /// What the endpoint got, as far as the log goes; its replays are in it too, but not at the place of
    /// their event.
    Log(Id),
    /// Events that the log may not know yet.
    SinceLogged(u64),
    /// Replays in order of their events.
    SettledReplays,
    WaitingReplays,
    /// What failed, or was discarded, in order of its event; replays too.
    GivenUp(Status),
    /// Of this replay, what ended so, in order of its event.
    SettledItems(Id, Status),
    /// What waits of it, which is no more than a queue holds.
    WaitingItems(Id),
}

struct Batch {
    /// Orders of events.
    events: Vec<u64>,
    /// `None`: to the end of the bounds.
    complete_upto: Option<u64>,
    rows: u64,
}

/// `None`: the selector's events are found by walking the project.
pub fn of(connection: &Connection, request: &ScanRequest) -> Result<Option<Vec<Stream>>> {
    let (selector, parts) = (&request.selector, request.selector.parts());
    if selector.needs_routing() {
        return Ok(None);
    }
    let states = selector.delivery_states();
    if let Some(replay) = parts.replay_id {
        // Whatever else is asked.
        let (settled, waiting): (Vec<Status>, Vec<Status>) = states.into_iter().partition(|state| state.is_settled());
        let waiting = (!waiting.is_empty()).then_some(Stream::WaitingItems(replay));
        let settled = settled.into_iter().map(|status| Stream::SettledItems(replay, status));
        return Ok(Some(settled.chain(waiting).collect()));
    }
    if states.iter().all(|state| matches!(state, Status::Failure | Status::Discarded)) {
        return Ok(Some(states.into_iter().map(Stream::GivenUp).collect()));
    }
    let mut streams: Vec<Stream> = match &parts.endpoints {
        Some(endpoints) if endpoints.len() <= ENDPOINTS_WALKED_MAX => {
            let upto = endpoint_log::complete_upto(connection)?;
            endpoints.iter().map(|id| Stream::Log(*id)).chain([Stream::SinceLogged(upto)]).collect()
        }
        _ => return Ok(None),
    };
    if states.iter().any(|state| state.is_settled()) {
        streams.push(Stream::SettledReplays);
    }
    if states.iter().any(|state| !state.is_settled()) {
        streams.push(Stream::WaitingReplays);
    }
    Ok(Some(streams))
}

pub fn walk(
    connection: &Connection,
    streams: &[Stream],
    page: &mut Page<'_>,
    items: &mut Items<'_>,
    mut bounds: RangeInclusive<u64>,
) -> Result<()> {
    let request = page.request;
    while !bounds.is_empty() {
        let (orders, complete_upto) = round(connection, streams, page, &bounds)?;
        page.looked_upto = complete_upto;
        for order in orders {
            let found = items.of(order)?;
            if page.push(found) {
                page.looked_upto = Some(order);
                return Ok(());
            }
        }
        bounds = match (complete_upto, request.ascending) {
            (None, _) => return Ok(()),
            (Some(upto), true) => upto.saturating_add(1)..=*bounds.end(),
            (Some(upto), false) => *bounds.start()..=upto.saturating_sub(1),
        };
        if page.rows_left() == 0 {
            return Ok(());
        }
    }
    // The last round ended at the very edge.
    page.looked_upto = None;
    Ok(())
}

/// A batch of each stream, up to where all of them are complete.
fn round(
    connection: &Connection,
    streams: &[Stream],
    page: &mut Page<'_>,
    bounds: &RangeInclusive<u64>,
) -> Result<(Vec<u64>, Option<u64>)> {
    let request = page.request;
    let limit = page.rows_ahead().min(page.rows_left() / streams.len().max(1) as u64).max(ROWS_AHEAD_MIN);
    let reader = Reader { connection, request, states: request.selector.delivery_states(), bounds, limit };
    let (mut events, mut complete_upto) = (Vec::new(), None);
    for stream in streams {
        let batch = reader.read(*stream)?;
        page.rows += batch.rows;
        events.extend(batch.events);
        complete_upto = match (complete_upto, batch.complete_upto) {
            (None, one) | (one, None) => one,
            (Some(one), Some(other)) if request.ascending => Some(u64::min(one, other)),
            (Some(one), Some(other)) => Some(u64::max(one, other)),
        };
    }
    events.retain(|order| match (complete_upto, request.ascending) {
        (None, _) => true,
        (Some(upto), true) => *order <= upto,
        (Some(upto), false) => *order >= upto,
    });
    Ok((ordered(events, request), complete_upto))
}

struct Reader<'a> {
    connection: &'a Connection,
    request: &'a ScanRequest,
    states: Vec<Status>,
    bounds: &'a RangeInclusive<u64>,
    limit: u64,
}

impl Reader<'_> {
    fn read(&self, stream: Stream) -> Result<Batch> {
        match stream {
            Stream::Log(endpoint) => self.log(endpoint),
            Stream::SinceLogged(upto) => self.since_logged(upto),
            Stream::SettledReplays => {
                let any = "settled d INDEXED BY settled_by_event WHERE d.trigger = 1 AND ?4 IS NOT NULL";
                self.by_event(any, self.request.project)
            }
            Stream::WaitingReplays => {
                let any = "waiting d INDEXED BY waiting_by_event WHERE d.trigger = 1 AND ?4 IS NOT NULL";
                self.by_event(any, self.request.project)
            }
            // The index alone is read.
            Stream::GivenUp(status) => {
                let code = status.code();
                let of_project = format!(
                    "settled d INDEXED BY settled_given_up \
                     WHERE d.status IN (4, 5) AND d.status = {code} AND d.project = ?4"
                );
                self.by_event(&of_project, self.request.project)
            }
            Stream::SettledItems(replay, status) => {
                let (named, code) = (detail::REPLAY, status.code());
                let of_replay = format!(
                    "settled d INDEXED BY settled_items WHERE d.trigger = 1 AND {named} = ?4 AND d.status = {code}"
                );
                self.by_event(&of_replay, replay)
            }
            Stream::WaitingItems(replay) => {
                self.by_event("waiting d INDEXED BY waiting_by_replay WHERE d.replay = ?4", replay)
            }
        }
    }

    fn log(&self, endpoint: Id) -> Result<Batch> {
        let sql = format!(
            "SELECT l.ord, s.status FROM endpoint_log l LEFT JOIN settled s ON s.ord = l.ord \
             WHERE l.endpoint = ?1 AND l.ord BETWEEN ?2 AND ?3 ORDER BY l.ord {} LIMIT ?4",
            direction(self.request)
        );
        let high = self.last_born()?;
        let mut statement = self.connection.prepare_cached(&sql)?;
        let low = self.bounds.start().cast_signed();
        let mut rows = statement.query(params![endpoint.to_bytes(), low, high, self.limit.cast_signed()])?;
        let mut batch = Batch { events: Vec::new(), complete_upto: None, rows: 0 };
        let mut last = None;
        while let Some(row) = rows.next()? {
            let order: i64 = row.get(0)?;
            batch.rows += 1;
            last = Some(order);
            // One without a settled row waits or is fresh.
            let is_wanted = match row.get::<_, Option<u8>>(1)? {
                Some(code) => self.states.iter().any(|state| state.code() == code),
                None => self.states.iter().any(|state| !state.is_settled()),
            };
            if is_wanted && let Some(event) = self.event_of(order)? {
                batch.events.extend(Some(event).filter(|event| self.bounds.contains(event)));
            }
        }
        if let Some(order) = last.filter(|_| batch.rows == self.limit) {
            let own = self.event_of(order)?;
            // What else its event got may lie beyond: it is looked at whatever this one came to.
            batch.events.extend(own.filter(|event| self.bounds.contains(event)));
            batch.complete_upto = Some(self.complete_at(order, own));
        }
        Ok(batch)
    }

    /// Read upward, the events before a delivery are complete, its own apart; read downward, those
    /// behind its own, or behind itself when it is a replay.
    fn complete_at(&self, order: i64, own: Option<u64>) -> u64 {
        let downward = own.filter(|_| !self.request.ascending);
        downward.unwrap_or(order.cast_unsigned()).clamp(*self.bounds.start(), *self.bounds.end())
    }

    /// The order of the last delivery that events within bounds were born with. Behind it lie replays, as many as
    /// there are: read downward from them, a batch of nothing else would say nothing of the bounds.
    fn last_born(&self) -> Result<i64> {
        let newest = self.newest_event(self.bounds.end().cast_signed())?;
        Ok(newest.map_or(0, |(event, targets)| event + targets))
    }

    /// The event that was born with the delivery of this order; `None` for a replay.
    fn event_of(&self, order: i64) -> Result<Option<u64>> {
        let before = self.newest_event(order - 1)?;
        Ok(before.filter(|(event, targets)| order <= event + targets).map(|(event, _)| event.cast_unsigned()))
    }

    /// The newest event up to this order, whosever it is, and how many targets it has.
    fn newest_event(&self, upto: i64) -> Result<Option<(i64, i64)>> {
        let sql = format!(
            "SELECT ord, (coalesce(length(targets), 0) + coalesce(length(more), 0)) / {TARGET_BYTES} FROM events \
             WHERE ord <= ?1 ORDER BY ord DESC LIMIT 1"
        );
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.connection.prepare_cached(&sql)?.query_row([upto], read).optional()?)
    }

    fn since_logged(&self, upto: u64) -> Result<Batch> {
        let sql = format!(
            "SELECT ord FROM events INDEXED BY events_by_project WHERE project = ?1 AND ord BETWEEN ?2 AND ?3 \
             ORDER BY ord {} LIMIT ?4",
            direction(self.request)
        );
        let low = (*self.bounds.start()).max(upto.saturating_add(1)).cast_signed();
        let values =
            params![self.request.project.to_bytes(), low, self.bounds.end().cast_signed(), self.limit.cast_signed()];
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            events.push(row.get::<_, i64>(0)?.cast_unsigned());
        }
        let rows = events.len() as u64;
        let complete_upto = events.last().copied().filter(|_| rows == self.limit);
        Ok(Batch { events, complete_upto, rows })
    }

    /// `from`: deliveries `d`, of a project or a replay (`?4`).
    fn by_event(&self, from: &str, of: Id) -> Result<Batch> {
        let sql = format!(
            "SELECT d.event_ord, d.project, d.endpoint FROM {from} AND d.event_ord BETWEEN ?1 AND ?2 \
             ORDER BY d.event_ord {} LIMIT ?3",
            direction(self.request)
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (low, high) = (self.bounds.start().cast_signed(), self.bounds.end().cast_signed());
        let mut rows = statement.query(params![low, high, self.limit.cast_signed(), of.to_bytes()])?;
        let mut batch = Batch { events: Vec::new(), complete_upto: None, rows: 0 };
        let mut last = None;
        while let Some(row) = rows.next()? {
            batch.rows += 1;
            let event: i64 = row.get(0)?;
            last = Some(event.cast_unsigned());
            let (project, endpoint) = (codec::id_column(row, 1)?, codec::id_column(row, 2)?);
            if project == self.request.project && self.request.selector.wants_endpoint(endpoint) {
                batch.events.push(event.cast_unsigned());
            }
        }
        batch.events.dedup();
        if let Some(event) = last.filter(|_| batch.rows == self.limit) {
            // Others of it may lie beyond: it is looked at whatever this one came to.
            batch.events.push(event);
            batch.complete_upto = Some(event);
        }
        Ok(batch)
    }
}
