//! What attempts came to, written by the writer thread.

use super::SqliteStore;
use super::codec::{ord, tail};
use super::commit::ParkStatement;
use super::fresh::Fresh;
use super::writer::{Effects, Session};
use crate::Result;
use crate::roles::{Record, Report};
use async_trait::async_trait;
use dacapo_model::delivery::Reason;
use dacapo_model::{Attempt, Delivery, Id};
use rusqlite::{Connection, Statement, params};
use std::sync::Arc;

#[async_trait]
impl Record for SqliteStore {
    async fn record(&self, batch: Arc<[Report]>) -> Result<()> {
        self.writer.run(move |session| session.record_batch(&batch)).await
    }
}

impl Session<'_> {
    fn record_batch(&mut self, batch: &[Report]) -> Result<()> {
        self.record.run(&mut self.commit.park, self.fresh, batch, &mut self.effects)
    }
}

pub struct RecordStatements<'c> {
    pub settle: SettleStatement<'c>,
    attempt: Statement<'c>,
    leave_queue: Statement<'c>,
    postpone: Statement<'c>,
    has_inline: Statement<'c>,
}

impl<'c> RecordStatements<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            settle: SettleStatement::prepare(connection)?,
            attempt: connection.prepare(
                "INSERT OR IGNORE INTO attempts (delivery, number, id, url, ip, request, status, response, body, error, \
                 succeeded, at, us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?,
            leave_queue: connection.prepare("DELETE FROM waiting WHERE ord = ?1 AND attempts < ?2")?,
            postpone: connection.prepare(
                "UPDATE waiting SET class = ?2, due_at = ?3, attempts = ?4, manual = ?5, last_status = ?6, status = ?7, \
                 updated_at = ?8 WHERE ord = ?1 AND attempts <= ?4",
            )?,
            has_inline: connection
                .prepare("SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1 AND a_id IS NOT NULL)")?,
        })
    }

    pub fn run(
        &mut self,
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
                self.settle(report, was_fresh)?;
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
            ])?;
            if moved == 0 {
                return self.keep_late(report.attempt.as_ref());
            }
        }
        report.attempt.as_ref().map_or(Ok(()), |attempt| self.write_attempt(attempt))
    }

    fn settle(&mut self, report: &Report, was_fresh: bool) -> Result<()> {
        let delivery = &report.delivery;
        // A row that knows of this attempt has moved on since: see the contract on late reports.
        let attempts_before = report.attempt.as_ref().map_or(delivery.attempts.saturating_add(1), |made| made.number);
        let left_queue = was_fresh || self.leave_queue.execute(params![ord(delivery.id), attempts_before])? > 0;
        // An attempt that is the delivery's only one lives in its row.
        let inline = report.attempt.as_ref().filter(|attempt| attempt.number == 1 && delivery.attempts == 1);
        if !left_queue || !self.settle.run(delivery, inline)? {
            return self.keep_late(report.attempt.as_ref());
        }
        match &report.attempt {
            Some(attempt) if inline.is_none() => self.write_attempt(attempt),
            _ => Ok(()),
        }
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
        self.attempt.execute(params![
            ord(attempt.delivery_id),
            attempt.number,
            attempt.id.to_bytes(),
            attempt.url,
            attempt.ip.map(|ip| ip.to_string()),
            attempt.request_headers.as_text(),
            attempt.status,
            attempt.response_headers.as_text(),
            &attempt.response_body[..],
            attempt.error,
            attempt.succeeded,
            attempt.requested_at.micros(),
            attempt.duration_us.cast_signed(),
        ])?;
        Ok(())
    }
}

/// Writes a settled delivery, with the attempt that is its only one.
pub struct SettleStatement<'c>(Statement<'c>);

impl<'c> SettleStatement<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self(connection.prepare(
            "INSERT INTO settled (ord, tail, project, event_ord, event_tail, endpoint, subscription, trigger, replay, mode, strategy, \
             interval_s, retry_limit, attempts, manual, last_status, status, reason, due_at, created_at, updated_at, \
             latency_us, a_id, a_url, a_ip, a_request, a_status, a_response, a_body, a_error, a_succeeded, a_at, a_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33) ON CONFLICT (ord) DO NOTHING",
        )?))
    }

    /// `false` when it was settled already.
    pub fn run(&mut self, delivery: &Delivery, attempt: Option<&Attempt>) -> Result<bool> {
        let written = self.0.execute(params![
            ord(delivery.id),
            tail(delivery.id),
            delivery.project_id.to_bytes(),
            ord(delivery.event_id),
            tail(delivery.event_id),
            delivery.endpoint_id.to_bytes(),
            delivery.subscription_id.to_bytes(),
            delivery.trigger.code(),
            delivery.replay_id.map(Id::to_bytes),
            delivery.mode.code(),
            delivery.policy.kind.code(),
            delivery.policy.interval_s,
            delivery.policy.limit,
            delivery.attempts,
            delivery.manual,
            delivery.last_status,
            delivery.status.code(),
            delivery.reason.map(Reason::code),
            delivery.due_at.micros(),
            delivery.created_at.micros(),
            delivery.updated_at.micros(),
            delivery.latency_us.cast_signed(),
            attempt.map(|attempt| attempt.id.to_bytes()),
            attempt.map(|attempt| attempt.url.as_str()),
            attempt.and_then(|attempt| attempt.ip).map(|ip| ip.to_string()),
            attempt.map(|attempt| attempt.request_headers.as_text()),
            attempt.and_then(|attempt| attempt.status),
            attempt.map(|attempt| attempt.response_headers.as_text()),
            attempt.map(|attempt| &attempt.response_body[..]),
            attempt.and_then(|attempt| attempt.error.as_deref()),
            attempt.map(|attempt| attempt.succeeded),
            attempt.map(|attempt| attempt.requested_at.micros()),
            attempt.map(|attempt| attempt.duration_us.cast_signed()),
        ])?;
        Ok(written == 1)
    }
}
