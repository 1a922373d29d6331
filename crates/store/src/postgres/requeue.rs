//! The doors back into the queue.

use super::PostgresStore;
use super::codec::{self, column, id_of, uuid, uuids};
use super::listen;
use super::replays::{Counted, Kept};
use super::retention;
use super::rows::{AttemptRows, SettledRows, WaitingRows, endpoints_of};
use super::session::{Purpose, Sql, Step, Transaction};
use crate::Result;
use crate::roles::{Idempotency, NewReplay, NewResend, ReplayWritten, Requeue, Resend, ResendKind};
use async_trait::async_trait;
use dacapo_model::event::FanOut;
use dacapo_model::{Attempt, Delivery, Event, Id, Timestamp, Trigger};
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// One that another call put back in the queue, and that was tried and settled again while that call was waited for, is in
/// neither table when it is first looked for.
const LOOKS_MAX: usize = 2;
/// Forgotten keys one call tidies away.
static FORGET: Sql = Sql {
    text: "DELETE FROM replay_keys WHERE ctid = ANY (ARRAY \
           (SELECT ctid FROM replay_keys WHERE at <= $1 LIMIT 100 FOR UPDATE SKIP LOCKED))",
    types: &[Type::INT8],
};
static EVENT: Sql = Sql {
    text: "SELECT e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data \
           FROM events e WHERE e.id = $1 AND e.project = $2",
    types: &[Type::UUID, Type::UUID],
};
static KEY: Sql = Sql {
    text: "SELECT fingerprint, deliveries FROM replay_keys WHERE project = $1 AND key = $2 AND at > $3",
    types: &[Type::UUID, Type::BYTEA, Type::INT8],
};
/// Waits for a call that is writing the same key. Gives a row to the one that may go on.
static TAKE_KEY: Sql = Sql {
    text: "INSERT INTO replay_keys (project, key, fingerprint, deliveries, at) VALUES ($1, $2, $3, $4, $5) \
           ON CONFLICT (project, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
           deliveries = excluded.deliveries, at = excluded.at WHERE replay_keys.at <= $6 RETURNING true",
    types: &[Type::UUID, Type::BYTEA, Type::BYTEA, Type::UUID_ARRAY, Type::INT8, Type::INT8],
};
static SET_FLAGS: Sql = Sql { text: "UPDATE events SET flags = $2 WHERE id = $1", types: &[Type::UUID, Type::INT2] };
static SETTLED: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM settled d \
           WHERE d.id = ANY ($1) AND d.project = $2 ORDER BY d.id FOR UPDATE",
    types: &[Type::UUID_ARRAY, Type::UUID],
};
static WAITING: Sql = Sql {
    text: "SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM waiting d WHERE d.id = ANY ($1) AND d.project = $2",
    types: &[Type::UUID_ARRAY, Type::UUID],
};
static LEAVE_SETTLED: Sql = Sql { text: "DELETE FROM settled WHERE id = ANY ($1)", types: &[Type::UUID_ARRAY] };

#[async_trait]
impl Requeue for PostgresStore {
    async fn replay(&self, replay: NewReplay) -> Result<ReplayWritten> {
        let _under_way = self.inner.lease.commits.read().await;
        let mut transaction = self.inner.work.transaction(Purpose::Work).await?;
        let (event, project) = (uuid(replay.event_id), uuid(replay.project_id));
        let steps = vec![retention::stay(), Step::Known(&EVENT, vec![&event, &project])];
        let answers = transaction.run(steps).await?;
        if let Some(idempotency) = &replay.idempotency
            && let Some(answer) = earlier_call(&mut transaction, &replay, idempotency).await?
        {
            return Ok(answer);
        }
        let Some(row) = answers[1].first() else {
            return Ok(ReplayWritten::UnknownEvent);
        };
        self.write_replay(transaction, &replay, &codec::event(row)?, column(row, 6)?).await
    }

    async fn resend(&self, resend: NewResend) -> Result<Vec<Resend>> {
        let NewResend { project_id, ref deliveries, kind, at, .. } = resend;
        let _under_way = self.inner.lease.commits.read().await;
        let mut transaction = self.inner.work.transaction(Purpose::Work).await?;
        let (ids, of) = (uuids(deliveries.iter().copied()), uuid(project_id));
        transaction.run(vec![retention::stay()]).await?;
        let mut found = HashMap::new();
        for _ in 0..LOOKS_MAX {
            let missing = ids.iter().copied().filter(|id| !found.contains_key(&id_of(*id))).collect::<Vec<Uuid>>();
            if missing.is_empty() {
                break;
            }
            look(&mut transaction, &missing, &of, &mut found).await?;
        }
        let mut moved = Moved::default();
        let answers = deliveries.iter().map(|id| moved.one(&mut found, *id, kind, at)).collect::<Result<Vec<_>>>()?;
        let scheduled = answers.iter().filter_map(|answer| match answer {
            Resend::Scheduled(delivery) => Some(delivery),
            Resend::WrongState(_) | Resend::Unknown => None,
        });
        let told = listen::notice(&self.inner.lease, endpoints_of(scheduled));
        let kept = resend.call(&answers).as_ref().map(Kept::of).transpose()?;
        let mut steps = vec![Step::Known(&LEAVE_SETTLED, vec![&moved.ids])];
        steps.extend(moved.attempts.insert());
        steps.extend(moved.waiting.insert());
        let counts = moved.counted.columns(moved.ids.len() as u64);
        steps.extend(counts.step());
        steps.extend(kept.as_ref().map(Kept::step));
        steps.extend(told.as_ref().map(listen::notify_arrivals));
        transaction.commit(steps).await?;
        Ok(answers)
    }
}

type Found = HashMap<Id, (Delivery, Option<Attempt>)>;

/// What waits is looked at last: one that another call moved there meanwhile is seen there.
async fn look(transaction: &mut Transaction, ids: &Vec<Uuid>, of: &Uuid, found: &mut Found) -> Result<()> {
    let steps = vec![Step::Known(&SETTLED, vec![ids, of]), Step::Known(&WAITING, vec![ids, of])];
    let answers = transaction.run(steps).await?;
    for (rows, table) in [(&answers[0], "settled"), (&answers[1], "waiting")] {
        for row in rows {
            let (delivery, first) = codec::delivery(row, 0, table)?;
            found.insert(delivery.id, (delivery, first));
        }
    }
    Ok(())
}

impl PostgresStore {
    async fn write_replay(
        &self,
        mut transaction: Transaction,
        replay: &NewReplay,
        event: &Event,
        flags: i16,
    ) -> Result<ReplayWritten> {
        let written: Vec<Delivery> = replay
            .targets
            .iter()
            .map(|(id, target)| target.delivery(event, *id, Trigger::Replay, Some(replay.replay_id), replay.at))
            .collect();
        if let Some(idempotency) = replay.idempotency.as_ref().filter(|_| !written.is_empty())
            && !take_key(&mut transaction, replay, idempotency, &written).await?
        {
            // Its holder has committed: it is there now.
            let answer = earlier_call(&mut transaction, replay, idempotency).await?;
            return answer.ok_or_else(|| crate::StoreError::Unavailable("a key was just forgotten".to_owned()));
        }
        let (mut waiting, mut settled) = (WaitingRows::default(), SettledRows::default());
        for delivery in &written {
            if delivery.status.is_settled() {
                settled.push(delivery, None)?;
            } else {
                waiting.push(delivery)?;
            }
        }
        let told = listen::notice(&self.inner.lease, endpoints_of(&written));
        let (event_id, matched) = (uuid(event.id), codec::with_fan_out(flags, FanOut::Success));
        let kept = replay.call.as_ref().map(Kept::of).transpose()?;
        let mut steps = Vec::new();
        if !written.is_empty() && event.fan_out == FanOut::NoMatch {
            steps.push(Step::Known(&SET_FLAGS, vec![&event_id, &matched]));
        }
        steps.extend(waiting.insert());
        steps.extend(settled.insert());
        steps.extend(kept.as_ref().map(Kept::step));
        steps.extend(told.as_ref().map(listen::notify_arrivals));
        transaction.commit(steps).await?;
        Ok(ReplayWritten::New(written))
    }
}

async fn earlier_call(
    transaction: &mut Transaction,
    replay: &NewReplay,
    idempotency: &Idempotency,
) -> Result<Option<ReplayWritten>> {
    let (project, key) = (uuid(replay.project_id), idempotency.key.as_bytes());
    let forget = idempotency.forget_before.micros();
    let rows = transaction.run(vec![Step::Known(&KEY, vec![&project, &key, &forget])]).await?;
    rows[0].first().map(|row| answer(row, idempotency)).transpose()
}

fn answer(row: &Row, idempotency: &Idempotency) -> Result<ReplayWritten> {
    if column::<&[u8]>(row, 0)? != idempotency.fingerprint {
        return Ok(ReplayWritten::Conflict);
    }
    let deliveries: Vec<Uuid> = column(row, 1)?;
    Ok(ReplayWritten::Before(deliveries.into_iter().map(id_of).collect()))
}

/// `false` when another call has it.
async fn take_key(
    transaction: &mut Transaction,
    replay: &NewReplay,
    idempotency: &Idempotency,
    written: &[Delivery],
) -> Result<bool> {
    let (project, key) = (uuid(replay.project_id), idempotency.key.as_bytes());
    let fingerprint = &idempotency.fingerprint[..];
    let made = uuids(written.iter().map(|delivery| delivery.id));
    let (at, forget) = (replay.at.micros(), idempotency.forget_before.micros());
    let steps = vec![
        Step::Known(&TAKE_KEY, vec![&project, &key, &fingerprint, &made, &at, &forget]),
        Step::Known(&FORGET, vec![&forget]),
    ];
    Ok(!transaction.run(steps).await?[0].is_empty())
}

/// What a resend takes out of the settled ones.
#[derive(Default)]
struct Moved {
    ids: Vec<Uuid>,
    attempts: AttemptRows,
    waiting: WaitingRows,
    counted: Counted,
}

impl Moved {
    fn one(&mut self, found: &mut Found, id: Id, kind: ResendKind, at: Timestamp) -> Result<Resend> {
        let Some((delivery, first)) = found.get_mut(&id) else {
            return Ok(Resend::Unknown);
        };
        let Some(again) = kind.again(delivery, at) else {
            return Ok(Resend::WrongState(delivery.clone()));
        };
        self.ids.push(uuid(id));
        if let Some(attempt) = first.take() {
            self.attempts.push(&attempt)?;
        }
        self.counted.add(delivery, -1);
        *delivery = again;
        self.waiting.push(delivery)?;
        Ok(Resend::Scheduled(delivery.clone()))
    }
}
