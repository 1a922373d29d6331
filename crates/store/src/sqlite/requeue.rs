//! The doors back into the queue, written by the writer thread.

use super::SqliteStore;
use super::codec::{self, encode_ids, ids, ord};
use super::endpoint_log;
use super::replays::calls;
use super::writer::Session;
use crate::roles::{Idempotency, NewReplay, NewResend, ReplayWritten, Requeue, Resend, ResendKind};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::event::FanOut;
use dacapo_model::{Attempt, Delivery, Event, Id, Timestamp, Trigger};
use rusqlite::{Connection, OptionalExtension, params};

#[async_trait]
impl Requeue for SqliteStore {
    async fn replay(&self, replay: NewReplay) -> Result<ReplayWritten> {
        self.writer.run(move |session| write_replay(session, &replay)).await
    }

    async fn resend(&self, resend: NewResend) -> Result<Vec<Resend>> {
        self.writer.run(move |session| write_resend(session, &resend)).await
    }
}

fn write_resend(session: &mut Session<'_>, resend: &NewResend) -> Result<Vec<Resend>> {
    let NewResend { project_id, deliveries, kind, at, .. } = resend;
    let each = deliveries.iter().map(|id| resend_one(session, *project_id, *id, *kind, *at));
    let answers = each.collect::<Result<Vec<_>>>()?;
    resend.call(&answers).map_or(Ok(()), |call| calls::keep(session.connection, &call))?;
    Ok(answers)
}

fn write_replay(session: &mut Session<'_>, replay: &NewReplay) -> Result<ReplayWritten> {
    if let Some(idempotency) = &replay.idempotency
        && let Some(answer) = earlier_call(session.connection, replay.project_id, idempotency)?
    {
        return Ok(answer);
    }
    let Some((event, flags)) = event_with_flags(session.connection, replay.project_id, replay.event_id)? else {
        return Ok(ReplayWritten::UnknownEvent);
    };
    let mut written = Vec::with_capacity(replay.targets.len());
    for (id, target) in &replay.targets {
        let delivery = target.delivery(&event, *id, Trigger::Replay, Some(replay.replay_id), replay.at);
        if delivery.status.is_settled() {
            if !session.record.settle.run(&delivery, None)? {
                return Err(StoreError::Refused(format!("the delivery id {id} is taken")));
            }
        } else {
            session.commit.park.run(&delivery)?;
        }
        endpoint_log::write(session.connection, delivery.endpoint_id, delivery.id.order())?;
        written.push(delivery);
    }
    if !written.is_empty() && event.fan_out == FanOut::NoMatch {
        let flags = codec::with_fan_out(flags, FanOut::Success);
        session.connection.execute("UPDATE events SET flags = ?2 WHERE ord = ?1", params![ord(event.id), flags])?;
    }
    if let Some(idempotency) = replay.idempotency.as_ref().filter(|_| !written.is_empty()) {
        let made: Vec<Id> = written.iter().map(|delivery| delivery.id).collect();
        remember_call(session.connection, replay, idempotency, &made)?;
    }
    replay.call.as_ref().map_or(Ok(()), |call| calls::keep(session.connection, call))?;
    Ok(ReplayWritten::New(written))
}

fn earlier_call(connection: &Connection, project: Id, idempotency: &Idempotency) -> Result<Option<ReplayWritten>> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, deliveries FROM replay_keys WHERE project = ?1 AND key = ?2 AND at > ?3",
    )?;
    let found = statement
        .query_row(params![project.to_bytes(), idempotency.key, idempotency.forget_before.micros()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    Ok(found.map(|(fingerprint, deliveries)| {
        if fingerprint == idempotency.fingerprint {
            ReplayWritten::Before(ids(&deliveries))
        } else {
            ReplayWritten::Conflict
        }
    }))
}

fn remember_call(connection: &Connection, replay: &NewReplay, idempotency: &Idempotency, made: &[Id]) -> Result<()> {
    connection.execute("DELETE FROM replay_keys WHERE at <= ?1", [idempotency.forget_before.micros()])?;
    connection.execute(
        "INSERT INTO replay_keys (project, key, fingerprint, deliveries, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            replay.project_id.to_bytes(),
            idempotency.key,
            &idempotency.fingerprint[..],
            encode_ids(made),
            replay.at.micros()
        ],
    )?;
    Ok(())
}

fn event_with_flags(connection: &Connection, project: Id, id: Id) -> Result<Option<(Event, i64)>> {
    let sql = format!("SELECT {} FROM events e WHERE e.ord = ?1 AND e.project = ?2", codec::EVENT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![ord(id), project.to_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let event = codec::event(row)?;
    Ok((event.id == id).then_some((event, row.get(codec::EVENT_FLAGS_COLUMN)?)))
}

fn resend_one(session: &mut Session<'_>, project: Id, id: Id, kind: ResendKind, at: Timestamp) -> Result<Resend> {
    let Some((delivery, inline)) = settled(session.connection, id)? else {
        return Ok(match super::query::deliveries::unsettled(session.connection, session.fresh, project, id)? {
            Some(delivery) => Resend::WrongState(delivery),
            None => Resend::Unknown,
        });
    };
    if delivery.id != id || delivery.project_id != project {
        return Ok(Resend::Unknown);
    }
    let Some(waiting) = kind.again(&delivery, at) else {
        return Ok(Resend::WrongState(delivery));
    };
    if let Some(attempt) = inline {
        session.record.write_attempt(&attempt)?;
    }
    session.connection.prepare_cached("DELETE FROM settled WHERE ord = ?1")?.execute([ord(id)])?;
    session.record.count_item(&delivery, -1)?;
    session.commit.park.run(&waiting)?;
    Ok(Resend::Scheduled(waiting))
}

/// The settled delivery in this row, with the attempt kept in it.
fn settled(connection: &Connection, id: Id) -> Result<Option<(Delivery, Option<Attempt>)>> {
    let sql = format!("SELECT {} FROM settled d WHERE d.ord = ?1", codec::SETTLED_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([ord(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some((codec::settled(row, 0)?, codec::first_attempt(row, 0)?)))
}
