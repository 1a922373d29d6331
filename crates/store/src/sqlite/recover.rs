//! After a crash: deliveries that only dispatch's memory held wait in the table again.

use super::codec;
use super::floor;
use crate::Result;
use crate::targets::TARGET_BYTES;
use rusqlite::{Connection, params};

/// Makes every fresh delivery (see [`super::fresh`]) a waiting one. One transaction: a crash in the
/// middle leaves everything as it was. Bounded by what dispatch may hold in memory.
pub fn park_fresh(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    let floor: i64 = transaction.query_row(floor::READ, [], |row| row.get(0))?;
    // The floor is a delivery's order; its event lies at or before it.
    let start: Option<i64> =
        transaction.query_row("SELECT max(ord) FROM events WHERE ord <= ?1", [floor], |row| row.get(0))?;
    let mut parked = 0u64;
    {
        let sql = format!("SELECT {} FROM events e WHERE e.ord >= ?1 ORDER BY e.ord", codec::EVENT_COLUMNS);
        let mut events = transaction.prepare(&sql)?;
        let mut park = super::commit::ParkStatement::prepare(&transaction)?;
        let mut known = transaction.prepare(
            "SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1) OR EXISTS (SELECT 1 FROM waiting WHERE ord = ?1)",
        )?;
        let mut rows = events.query([start.unwrap_or(0)])?;
        while let Some(row) = rows.next()? {
            let event = codec::event(row)?;
            if event.is_duplicate {
                continue;
            }
            let count = u32::try_from(event.targets.len()).unwrap_or(u32::MAX);
            for delivery in (0..count).filter_map(|index| event.delivery(index)) {
                let held: bool = known.query_row([codec::ord(delivery.id)], |row| row.get(0))?;
                if !held {
                    park.run(&delivery)?;
                    parked += 1;
                }
            }
        }
    }
    let newest = newest(&transaction)?;
    transaction.execute(floor::WRITE, params![newest.unwrap_or(0).saturating_add(1)])?;
    transaction.commit()?;
    if parked > 0 {
        tracing::info!(deliveries = parked, "took up deliveries that were under way when the last run ended");
    }
    Ok(())
}

/// The newest order in any history table, or kept free for deliveries that are not written yet.
pub fn newest(connection: &Connection) -> Result<Option<i64>> {
    let sql = format!(
        "SELECT max(o) FROM (SELECT max(ord) AS o FROM events UNION ALL \
         SELECT max(ord) FROM waiting UNION ALL SELECT max(ord) FROM settled UNION ALL \
         SELECT max(ord) FROM meta_events UNION ALL \
         SELECT max(e.ord + (length(e.targets) + length(e.more)) / {TARGET_BYTES}) \
         FROM fan_outs f CROSS JOIN events e ON e.ord = f.event_ord)"
    );
    Ok(connection.query_row(&sql, [], |row| row.get(0))?)
}
