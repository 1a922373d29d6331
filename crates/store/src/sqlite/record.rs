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

#[async_trait]
impl Record for SqliteStore {
    async fn record(&self, batch: Vec<Report>) -> Result<()> {
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
    is_settled: Statement<'c>,
}

impl<'c> RecordStatements<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            settle: SettleStatement::prepare(connection)?,
            attempt: connection.prepare(
                "INSERT OR IGNORE INTO attempts (delivery, number, id, url, ip, request, status, response, body, error, \
                 succeeded, at, us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?,
            leave_queue: connection.prepare("DELETE FROM waiting WHERE ord = ?1")?,
            is_settled: connection.prepare("SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1)")?,
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
            self.run_one(park, fresh, report, effects)?;
        }
        Ok(())
    }

    fn run_one(
        &mut self,
        park: &mut ParkStatement<'_>,
        fresh: &Fresh,
        report: &Report,
        effects: &mut Effects,
    ) -> Result<()> {
        let delivery = &report.delivery;
        let order = delivery.id.order();
        // Still fresh, and not born in this very transaction: there is no row in the queue.
        let was_fresh = fresh.contains(order);
        if was_fresh {
            effects.gone.push(order);
        }
        if delivery.status.is_settled() {
            return self.settle(report, was_fresh);
        }
        if let Some(attempt) = &report.attempt {
            self.write_attempt(attempt)?;
        }
        let settled: bool = !was_fresh && self.is_settled.query_row([ord(delivery.id)], |row| row.get(0))?;
        if settled {
            return Ok(());
        }
        park.run(delivery)
    }

    fn settle(&mut self, report: &Report, was_fresh: bool) -> Result<()> {
        let delivery = &report.delivery;
        let left_queue = was_fresh || self.leave_queue.execute([ord(delivery.id)])? > 0;
        // An attempt that is the delivery's only one lives in its row.
        let inline = report.attempt.as_ref().filter(|attempt| attempt.number == 1 && delivery.attempts == 1);
        if left_queue && self.settle.run(delivery, inline)? && inline.is_some() {
            return Ok(());
        }
        match &report.attempt {
            Some(attempt) if !left_queue || inline.is_none() => self.write_attempt(attempt),
            _ => Ok(()),
        }
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
