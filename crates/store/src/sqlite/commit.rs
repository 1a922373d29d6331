//! Events and the deliveries they are born with, written by the writer thread.

use super::SqliteStore;
use super::codec::{encode_ids, event_flags, ord, tail, text_or_null};
use super::endpoint_log;
use super::fan_out;
use super::record::SettleStatement;
use super::writer::{Effects, Session};
use crate::Result;
use crate::roles::{Commit, Committed, NewEvent};
use crate::targets;
use async_trait::async_trait;
use dacapo_model::event::{Audience, FanOut, Target};
use dacapo_model::{Delivery, Event, Id};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::collections::HashSet;

#[async_trait]
impl Commit for SqliteStore {
    /// Nobody else writes the catalog, so `routed_at` cannot be behind it for long enough to matter.
    async fn commit(&self, batch: Vec<NewEvent>, _routed_at: u64) -> Result<Vec<Committed>> {
        self.writer.run(move |session| session.commit_batch(&batch)).await
    }

    async fn probe(&self) -> Result<()> {
        self.writer.run(|session| probe(session.connection)).await
    }
}

impl Session<'_> {
    fn commit_batch(&mut self, batch: &[NewEvent]) -> Result<Vec<Committed>> {
        self.commit.run(&mut self.record.settle, batch, &mut self.effects)
    }
}

/// The statements of this file, prepared once for the thread's lifetime.
pub struct CommitStatements<'c> {
    event: Statement<'c>,
    /// With the columns that few events have a value for.
    rare_event: Statement<'c>,
    key_owner: Statement<'c>,
    key: Statement<'c>,
    fan_out: Statement<'c>,
    pub park: ParkStatement<'c>,
}

impl<'c> CommitStatements<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            event: connection.prepare(
                "INSERT INTO events (ord, tail, project, type, headers, flags, targets, audience, created_at, data) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (ord) DO NOTHING",
            )?,
            rare_event: connection.prepare(
                "INSERT INTO events (ord, tail, project, type, headers, flags, targets, audience, created_at, data, \
                 idem, source, url_query, url_path, related_to, related_kind, more) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
                 ON CONFLICT (ord) DO NOTHING",
            )?,
            key_owner: connection.prepare("SELECT event FROM idempotency WHERE project = ?1 AND key = ?2")?,
            key: connection.prepare("INSERT INTO idempotency (project, key, event) VALUES (?1, ?2, ?3)")?,
            fan_out: connection.prepare(fan_out::BEGIN)?,
            park: ParkStatement::prepare(connection)?,
        })
    }

    /// The batch's rows. Nothing here fails for one item's sake: what an item does wrong is its answer.
    pub fn run(
        &mut self,
        settle: &mut SettleStatement<'_>,
        batch: &[NewEvent],
        effects: &mut Effects,
    ) -> Result<Vec<Committed>> {
        batch.iter().map(|item| self.run_one(settle, item, effects)).collect()
    }

    fn run_one(
        &mut self,
        settle: &mut SettleStatement<'_>,
        item: &NewEvent,
        effects: &mut Effects,
    ) -> Result<Committed> {
        let event = &item.event;
        let first = self.owner_of_key(event)?;
        if !self.insert_event(event, &item.later, first.is_some())? {
            return Ok(Committed::IdTaken);
        }
        effects.events += 1;
        effects.newest_event = effects.newest_event.max(Some(event.id.order()));
        if let Some(first) = first {
            return Ok(Committed::Duplicate { first });
        }
        if !event.idempotency_key.is_empty() {
            self.key.execute(params![event.project_id.to_bytes(), event.idempotency_key, event.id.to_bytes()])?;
        }
        if !item.later.is_empty() {
            self.fan_out.execute([ord(event.id)])?;
        }
        effects.endpoint_pairs.extend(endpoint_log::pairs(event));
        let parked: HashSet<u32> = item.parked.iter().copied().collect();
        for (index, target) in (0u32..).zip(&event.targets) {
            let Some(delivery) = event.delivery(index) else { continue };
            if target.discarded.is_some() {
                settle.run(&delivery, None)?;
            } else if parked.contains(&index) {
                self.park.run(&delivery)?;
            } else {
                effects.born.push(delivery.id.order());
            }
        }
        Ok(Committed::Stored)
    }

    fn owner_of_key(&mut self, event: &Event) -> Result<Option<Id>> {
        if event.idempotency_key.is_empty() {
            return Ok(None);
        }
        let owner: Option<Vec<u8>> = self
            .key_owner
            .query_row(params![event.project_id.to_bytes(), event.idempotency_key], |row| row.get(0))
            .optional()?;
        Ok(owner.and_then(|bytes| Id::from_slice(&bytes)))
    }

    /// `false` when the id is taken.
    fn insert_event(&mut self, event: &Event, later: &[Target], is_duplicate: bool) -> Result<bool> {
        let fan_out = if is_duplicate { FanOut::Skipped } else { event.fan_out };
        let targets = (!is_duplicate && !event.targets.is_empty()).then(|| targets::encode(&event.targets));
        let audience = match &event.audience {
            Audience::Endpoints(ids) => Some(encode_ids(ids)),
            Audience::Project | Audience::Source => None,
        };
        let (order, tail, project) = (ord(event.id), tail(event.id), event.project_id.to_bytes());
        let (headers, data) = (text_or_null(event.headers.as_text()), &event.data[..]);
        let (flags, created_at) = (event_flags(event, fan_out, is_duplicate), event.created_at.micros());
        let event_type = event.event_type.as_str();
        let inserted = if later.is_empty() && is_plain(event) {
            self.event.execute(params![
                order, tail, project, event_type, headers, flags, targets, audience, created_at, data
            ])?
        } else {
            let related = event.connect.related.as_ref();
            self.rare_event.execute(params![
                order,
                tail,
                project,
                event_type,
                headers,
                flags,
                targets,
                audience,
                created_at,
                data,
                text_or_null(&event.idempotency_key),
                event.source_id.map(Id::to_bytes),
                text_or_null(&event.url_query),
                text_or_null(&event.url_path),
                related.map(|related| related.to.to_bytes()),
                related.map(|related| related.kind.as_str()),
                (!is_duplicate && !later.is_empty()).then(|| targets::encode(later)),
            ])?
        };
        Ok(inserted == 1)
    }
}

/// Has no value for the columns that are seldom set.
fn is_plain(event: &Event) -> bool {
    event.idempotency_key.is_empty()
        && event.source_id.is_none()
        && event.url_query.is_empty()
        && event.url_path.is_empty()
        && event.connect.related.is_none()
}

/// Puts a delivery into the queue, where it must not be yet.
pub struct ParkStatement<'c>(Statement<'c>);

impl<'c> ParkStatement<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self(connection.prepare(
            "INSERT INTO waiting (ord, tail, project, event_ord, event_tail, endpoint, subscription, class, due_at, trigger, \
             replay, mode, strategy, interval_s, retry_limit, attempts, manual, last_status, status, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        )?))
    }

    pub fn run(&mut self, delivery: &Delivery) -> Result<()> {
        self.0.execute(params![
            ord(delivery.id),
            tail(delivery.id),
            delivery.project_id.to_bytes(),
            ord(delivery.event_id),
            tail(delivery.event_id),
            delivery.endpoint_id.to_bytes(),
            delivery.subscription_id.to_bytes(),
            delivery.class().code(),
            delivery.due_at.micros(),
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
            delivery.created_at.micros(),
            delivery.updated_at.micros(),
        ])?;
        Ok(())
    }
}

/// Writes and flushes a few bytes.
fn probe(connection: &Connection) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', 1)", [])?;
    Ok(())
}
