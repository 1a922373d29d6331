//! Some deliveries of an event that has more than a page takes: those to its next endpoints, by id.

use crate::Result;
use crate::roles::{ScanRequest, Slice};
use crate::sqlite::codec;
use crate::targets;
use dacapo_model::event::Audience;
use dacapo_model::{Delivery, Event, Id};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

pub struct Sliced {
    /// By id.
    pub deliveries: Vec<Delivery>,
    pub slice: Slice,
    /// Whether the whole event is one that the selector reaches.
    pub is_reached: bool,
}

/// Which of an event's deliveries are to whom, before any of them is read.
struct Addressees {
    /// Endpoint, and order where the delivery was born with the event: its place follows from it.
    born: Vec<(Id, u64)>,
    /// One for each replay.
    replayed: Vec<Id>,
    is_reached: bool,
}

pub struct Slicer<'a> {
    pub connection: &'a Connection,
    pub request: &'a ScanRequest,
    pub event: &'a Event,
}

impl Slicer<'_> {
    /// The next ones behind this endpoint: as many as the page takes.
    pub fn after(self, after: Option<Id>) -> Result<Sliced> {
        let Addressees { born, replayed, is_reached } = self.addressees()?;
        let mut slice = Slice { after, upto: None };
        let all = born.iter().map(|(endpoint, _)| *endpoint).chain(replayed);
        let mut endpoints: Vec<Id> = all.filter(|endpoint| slice.holds(*endpoint)).collect();
        let most = self.request.deliveries_max.max(1);
        if endpoints.len() > most {
            let (_, last, beyond) = endpoints.select_nth_unstable(most - 1);
            // None of the same endpoint is left for the next slice.
            let last = *last;
            slice.upto = beyond.iter().any(|endpoint| *endpoint > last).then_some(last);
        }
        let mut found = BTreeMap::new();
        for (_, order) in born.iter().filter(|(endpoint, _)| slice.holds(*endpoint)) {
            found.extend(self.born(*order)?.map(|delivery| (*order, delivery)));
        }
        self.replays(&slice, &mut found)?;
        Ok(Sliced { deliveries: found.into_values().collect(), slice, is_reached })
    }

    /// Of those the selector asks for.
    fn addressees(&self) -> Result<Addressees> {
        let (selector, event) = (&self.request.selector, self.event);
        let wanted = |endpoint: &Id| selector.wants_endpoint(*endpoint);
        let more = "SELECT more FROM events WHERE ord = ?1 AND more IS NOT NULL";
        let order = event.id.order();
        let more: Option<Vec<u8>> =
            self.connection.prepare_cached(more)?.query_row([order.cast_signed()], |row| row.get(0)).optional()?;
        let more = more.unwrap_or_default();
        let own = event.targets.iter().map(|target| target.endpoint_id);
        let places = own.chain(targets::endpoints(&more)).zip(order.saturating_add(1)..);
        let born: Vec<(Id, u64)> = places.filter(|(endpoint, _)| wanted(endpoint)).collect();
        let by_name = matches!(&event.audience, Audience::Endpoints(ids) if ids.iter().any(wanted));
        let mut is_reached = selector.parts().endpoints.is_none()
            || selector.parts().mode == dacapo_model::SetMode::Missing
            || by_name
            || !born.is_empty();
        let mut replayed = Vec::new();
        let mut statement = self.connection.prepare_cached(
            "SELECT endpoint, ord FROM settled INDEXED BY settled_replays_by_target WHERE trigger = 1 AND event_ord = ?1 \
             UNION ALL SELECT endpoint, ord FROM waiting INDEXED BY waiting_by_event WHERE trigger = 1 AND event_ord = ?1",
        )?;
        let mut rows = statement.query([order.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let endpoint = codec::id_column(row, 0)?;
            if wanted(&endpoint) {
                replayed.push(endpoint);
                is_reached |= row.get::<_, i64>(1)?.cast_unsigned() <= selector.parts().high_water.order();
            }
        }
        Ok(Addressees { born, replayed, is_reached })
    }

    /// `None`: it is still to be written.
    fn born(&self, order: u64) -> Result<Option<Delivery>> {
        let settled = format!("SELECT {} FROM settled d WHERE d.ord = ?1", codec::SETTLED_COLUMNS);
        let mut settled = self.connection.prepare_cached(&settled)?;
        let mut rows = settled.query([order.cast_signed()])?;
        if let Some(row) = rows.next()? {
            return codec::settled(row, 0).map(Some);
        }
        let waiting = format!("SELECT {} FROM waiting d WHERE d.ord = ?1", codec::WAITING_COLUMNS);
        let mut waiting = self.connection.prepare_cached(&waiting)?;
        let mut rows = waiting.query([order.cast_signed()])?;
        if let Some(row) = rows.next()? {
            return codec::waiting(row, 0).map(Some);
        }
        let index = order.saturating_sub(self.event.id.order().saturating_add(1));
        Ok(u32::try_from(index).ok().and_then(|index| self.event.delivery(index)))
    }

    fn replays(&self, slice: &Slice, found: &mut BTreeMap<u64, Delivery>) -> Result<()> {
        let settled = format!(
            "SELECT {} FROM settled d INDEXED BY settled_replays_by_target \
             WHERE d.trigger = 1 AND d.event_ord = ?1 AND d.endpoint > ?2 AND d.endpoint <= ?3",
            codec::SETTLED_COLUMNS
        );
        let waiting = format!(
            "SELECT {} FROM waiting d INDEXED BY waiting_by_event \
             WHERE d.trigger = 1 AND d.event_ord = ?1 AND d.endpoint > ?2 AND d.endpoint <= ?3",
            codec::WAITING_COLUMNS
        );
        // Shorter than any id, and so before all of them.
        let after = slice.after.map_or_else(Vec::new, |after| after.to_bytes().to_vec());
        let upto = slice.upto.unwrap_or(Id::MAX).to_bytes();
        for (sql, read) in
            [(settled, codec::settled as fn(&rusqlite::Row<'_>, usize) -> Result<Delivery>), (waiting, codec::waiting)]
        {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![self.event.id.order().cast_signed(), after, upto])?;
            while let Some(row) = rows.next()? {
                let delivery = read(row, 0)?;
                if self.request.selector.wants_endpoint(delivery.endpoint_id) {
                    found.insert(delivery.id.order(), delivery);
                }
            }
        }
        Ok(())
    }
}
