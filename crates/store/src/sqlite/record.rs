//! What attempts came to, written by the writer thread.

use super::SqliteStore;
use super::codec::ord;
use super::commit::ParkStatement;
use super::detail;
use super::fresh::Fresh;
use super::meta_events;
use super::writer::{Effects, Session};
use crate::Result;
use crate::packed;
use crate::roles::{Record, Report};
use async_trait::async_trait;
use dacapo_model::{Attempt, Delivery};
use rusqlite::{Connection, Statement, params};
use std::sync::Arc;

/// What an attempt with its headers takes; a longer body makes the buffer grow.
const DETAIL_BYTES_USUAL: usize = 4 * 1024;

#[async_trait]
impl Record for SqliteStore {
    async fn record(&self, batch: Arc<[Report]>) -> Result<()> {
        let told = batch.iter().filter(|report| report.meta_event.is_some()).count();
        self.writer.run(move |session| session.record_batch(&batch)).await?;
        self.told(told);
        Ok(())
    }
}

impl Session<'_> {
    fn record_batch(&mut self, batch: &[Report]) -> Result<()> {
        self.record.run(self.connection, &mut self.commit.park, self.fresh, batch, &mut self.effects)
    }
}

pub struct RecordStatements<'c> {
    pub settle: SettleStatement<'c>,
    attempt: Statement<'c>,
    leave_queue: Statement<'c>,
    postpone: Statement<'c>,
    has_inline: Statement<'c>,
    count: Statement<'c>,
    /// Used for row after row.
    detail: Vec<u8>,
}

impl<'c> RecordStatements<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            settle: SettleStatement::prepare(connection)?,
            attempt: connection.prepare(
                "INSERT OR IGNORE INTO attempts (delivery, number, detail) VALUES (?1, ?2, ?3)",
            )?,
            leave_queue: connection.prepare("DELETE FROM waiting WHERE ord = ?1 AND attempts < ?2")?,
            postpone: connection.prepare(
                "UPDATE waiting SET class = ?2, due_at = ?3, attempts = ?4, manual = ?5, last_status = ?6, status = ?7, \
                 updated_at = ?8 WHERE ord = ?1 AND attempts < ?9",
            )?,
            has_inline: connection
                .prepare("SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1 AND inline = 1)")?,
            // Only of replays that are resources: the deliveries of a single call count nowhere.
            count: connection.prepare(
                "INSERT INTO replay_counts (replay, status, reason, count) \
                 SELECT id, ?2, ?3, ?4 FROM replays WHERE id = ?1 \
                 ON CONFLICT (replay, status, reason) DO UPDATE SET count = count + excluded.count",
            )?,
            detail: Vec::with_capacity(DETAIL_BYTES_USUAL),
        })
    }

    pub fn run(
        &mut self,
        connection: &Connection,
        park: &mut ParkStatement<'_>,
        fresh: &Fresh,
        batch: &[Report],
        effects: &mut Effects,
    ) -> Result<()> {
        for report in batch {
            let order = report.delivery.id.order();
            // The first report about a fresh delivery: it has no row anywhere. Not so for a second
            // one in the same transaction.
            let was_fresh = fresh.contains(order) && effects.gone.insert(order);
            if report.delivery.status.is_settled() {
                self.settle(connection, report, was_fresh)?;
            } else {
                self.postpone(park, report, was_fresh)?;
            }
        }
        Ok(())
    }

    fn postpone(&mut self, park: &mut ParkStatement<'_>, report: &Report, was_fresh: bool) -> Result<()> {
        let delivery = &report.delivery;
        if was_fresh {
            park.run(delivery)?;
        } else {
            let moved = self.postpone.execute(params![
                ord(delivery.id),
                delivery.class().code(),
                delivery.due_at.micros(),
                delivery.attempts,
                delivery.manual,
                delivery.last_status,
                delivery.status.code(),
                delivery.updated_at.micros(),
                report.late_from(),
            ])?;
            if moved == 0 {
                return self.keep_late(report.attempt.as_ref());
            }
        }
        report.attempt.as_ref().map_or(Ok(()), |attempt| self.write_attempt(attempt))
    }

    fn settle(&mut self, connection: &Connection, report: &Report, was_fresh: bool) -> Result<()> {
        let delivery = &report.delivery;
        let left_queue = was_fresh || self.leave_queue.execute(params![ord(delivery.id), report.late_from()])? > 0;
        // An attempt that is the delivery's only one lives in its row.
        let inline = report.attempt.as_ref().filter(|attempt| attempt.number == 1 && delivery.attempts == 1);
        if !left_queue || !self.settle.run(delivery, inline)? {
            return self.keep_late(report.attempt.as_ref());
        }
        self.count_item(delivery, 1)?;
        if let Some(told) = &report.meta_event {
            meta_events::keep(connection, told)?;
        }
        match &report.attempt {
            Some(attempt) if inline.is_none() => self.write_attempt(attempt),
            _ => Ok(()),
        }
    }

    /// A delivery settled as it is (`by` 1), or is not any more (-1): its replay's counts follow.
    pub fn count_item(&mut self, delivery: &Delivery, by: i64) -> Result<()> {
        let Some(replay) = delivery.replay_id else { return Ok(()) };
        let reason = delivery.reason.map_or(-1, |reason| i64::from(reason.code()));
        self.count.execute(params![replay.to_bytes(), delivery.status.code(), reason, by])?;
        Ok(())
    }

    /// The attempt of a report that changes nothing else, unless it is known.
    fn keep_late(&mut self, attempt: Option<&Attempt>) -> Result<()> {
        let Some(attempt) = attempt else { return Ok(()) };
        if attempt.number == 1 && self.has_inline.query_row([ord(attempt.delivery_id)], |row| row.get(0))? {
            return Ok(());
        }
        self.write_attempt(attempt)
    }

    pub fn write_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        packed::encode(&packed::Made::of(attempt), &mut self.detail)?;
        self.attempt.execute(params![ord(attempt.delivery_id), attempt.number, self.detail.as_slice()])?;
        Ok(())
    }
}

/// Writes a settled delivery, with the attempt that is its only one.
pub struct SettleStatement<'c> {
    insert: Statement<'c>,
    /// Used for row after row.
    detail: Vec<u8>,
}

impl<'c> SettleStatement<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let insert = connection.prepare(
            "INSERT INTO settled (ord, project, event_ord, endpoint, trigger, status, inline, detail) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (ord) DO NOTHING",
        )?;
        Ok(Self { insert, detail: Vec::with_capacity(DETAIL_BYTES_USUAL) })
    }

    /// `false` when it was settled already.
    pub fn run(&mut self, delivery: &Delivery, attempt: Option<&Attempt>) -> Result<bool> {
        packed::encode(&detail::Settled::of(delivery, attempt), &mut self.detail)?;
        let written = self.insert.execute(params![
            ord(delivery.id),
            delivery.project_id.to_bytes(),
            ord(delivery.event_id),
            delivery.endpoint_id.to_bytes(),
            delivery.trigger.code(),
            delivery.status.code(),
            attempt.is_some(),
            self.detail.as_slice(),
        ])?;
        Ok(written == 1)
    }
}
