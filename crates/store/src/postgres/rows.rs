//! Rows on their way into the tables, a column an array: one statement writes any number of them.

mod whole;

use super::codec::{event_flags, uuid};
use super::detail::{self, Facts, TargetPart};
use super::session::{Sql, Step, Value};
use crate::Result;
use crate::packed::Made;
use dacapo_model::event::{Audience, FanOut};
use dacapo_model::{Attempt, Delivery, Event, Id, Shard};
use tokio_postgres::types::Type;
use uuid::Uuid;
#[cfg(test)]
pub use whole::SETTLE_FIRST_ATTEMPTS;
pub use whole::commit_events;

#[derive(Default)]
pub struct EventRows<'a> {
    ids: Vec<Uuid>,
    projects: Vec<Uuid>,
    types: Vec<&'a [u8]>,
    sources: Vec<Option<Uuid>>,
    keys: Vec<Option<&'a [u8]>>,
    related: Vec<Option<Uuid>>,
    flags: Vec<i16>,
    details: Vec<Vec<u8>>,
    data: Vec<&'a [u8]>,
    /// Empty until one of them has some: see `fan_outs.sql`.
    more: Vec<Option<Vec<u8>>>,
}

static INSERT_EVENTS: Sql = Sql {
    text: "INSERT INTO events (id, project, type, source, idem, related_to, flags, detail, data) \
           SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9)",
    types: &[
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

/// Where large fan-outs are among them.
static INSERT_LARGE_EVENTS: Sql = Sql {
    text: "INSERT INTO events (id, project, type, source, idem, related_to, flags, detail, data, more) \
           SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9), unnest($10)",
    types: &[
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

impl<'a> EventRows<'a> {
    /// `more`: targets outside of the event, in the layout of `targets.rs`.
    pub fn push(&mut self, event: &'a Event, is_duplicate: bool, more: Option<Vec<u8>>) -> Result<()> {
        if more.is_some() {
            self.more.resize(self.ids.len(), None);
            self.more.push(more);
        }
        let fan_out = if is_duplicate { FanOut::Skipped } else { event.fan_out };
        let targets = if is_duplicate { &[][..] } else { &event.targets };
        let related = event.connect.related.as_ref();
        self.details.push(detail::encode(&detail::Event {
            headers: event.headers.as_text(),
            url_query: &event.url_query,
            url_path: &event.url_path,
            related_kind: related.map_or("", |related| &related.kind),
            created_at: event.created_at.micros(),
            audience: match &event.audience {
                Audience::Endpoints(ids) => ids.iter().map(|id| id.to_bytes()).collect(),
                Audience::Project | Audience::Source => Vec::new(),
            },
            targets: targets.iter().map(TargetPart::of).collect(),
        })?);
        self.ids.push(uuid(event.id));
        self.projects.push(uuid(event.project_id));
        self.types.push(event.event_type.as_bytes());
        self.sources.push(event.source_id.map(uuid));
        self.keys.push((!event.idempotency_key.is_empty()).then_some(event.idempotency_key.as_bytes()));
        self.related.push(related.map(|related| uuid(related.to)));
        self.flags.push(event_flags(event, fan_out, is_duplicate));
        self.data.push(&event.data);
        Ok(())
    }

    pub fn insert(&mut self) -> Step<'_> {
        if self.more.is_empty() {
            return Step::Known(&INSERT_EVENTS, self.values());
        }
        self.more.resize(self.ids.len(), None);
        let mut values = self.values();
        values.push(&self.more);
        Step::Known(&INSERT_LARGE_EVENTS, values)
    }

    /// None of them goes on in parts.
    pub const fn are_whole(&self) -> bool {
        self.more.is_empty()
    }

    /// But `more`.
    fn values(&self) -> Vec<Value<'_>> {
        vec![
            &self.ids,
            &self.projects,
            &self.types,
            &self.sources,
            &self.keys,
            &self.related,
            &self.flags,
            &self.details,
            &self.data,
        ]
    }
}

#[derive(Default)]
pub struct WaitingRows {
    ids: Vec<Uuid>,
    shards: Vec<i16>,
    endpoints: Vec<Uuid>,
    classes: Vec<i16>,
    due: Vec<i64>,
    projects: Vec<Uuid>,
    events: Vec<Uuid>,
    attempts: Vec<i32>,
    details: Vec<Vec<u8>>,
}

static INSERT_WAITING: Sql = Sql {
    text: "INSERT INTO waiting (id, shard, endpoint, class, due_at, project, event, attempts, detail) \
           SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9)",
    types: &[
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT4_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

/// Gives the ids of the rows that were there and knew of fewer attempts.
static POSTPONE: Sql = Sql {
    text: "UPDATE waiting w SET class = i.class, due_at = i.due_at, attempts = i.attempts, detail = i.detail \
           FROM unnest($1, $2, $3, $4, $5, $6) i (id, class, due_at, attempts, detail, before) \
           WHERE w.id = i.id AND w.attempts < i.before RETURNING w.id",
    types: &[
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::INT4_ARRAY,
        Type::BYTEA_ARRAY,
        Type::INT4_ARRAY,
    ],
};

impl WaitingRows {
    pub fn push(&mut self, delivery: &Delivery) -> Result<()> {
        self.details.push(detail::encode(&Facts::of(delivery, None))?);
        self.ids.push(uuid(delivery.id));
        self.shards.push(i16::from(Shard::of(delivery.endpoint_id).number()));
        self.endpoints.push(uuid(delivery.endpoint_id));
        self.classes.push(delivery.class().code().into());
        self.due.push(delivery.due_at.micros());
        self.projects.push(uuid(delivery.project_id));
        self.events.push(uuid(delivery.event_id));
        self.attempts.push(delivery.attempts.cast_signed());
        Ok(())
    }

    pub fn insert(&self) -> Option<Step<'_>> {
        (!self.ids.is_empty()).then_some(Step::Known(&INSERT_WAITING, self.values()))
    }

    fn values(&self) -> Vec<Value<'_>> {
        vec![
            &self.ids,
            &self.shards,
            &self.endpoints,
            &self.classes,
            &self.due,
            &self.projects,
            &self.events,
            &self.attempts,
            &self.details,
        ]
    }

    /// Those that know of fewer than these attempts.
    pub fn postpone<'a>(&'a self, before: &'a Vec<i32>) -> Step<'a> {
        Step::Known(&POSTPONE, vec![&self.ids, &self.classes, &self.due, &self.attempts, &self.details, before])
    }
}

#[derive(Default)]
pub struct SettledRows {
    ids: Vec<Uuid>,
    projects: Vec<Uuid>,
    endpoints: Vec<Uuid>,
    events: Vec<Uuid>,
    triggers: Vec<i16>,
    statuses: Vec<i16>,
    inline: Vec<bool>,
    details: Vec<Vec<u8>>,
}

static INSERT_SETTLED: Sql = Sql {
    text: "INSERT INTO settled (id, project, endpoint, event, trigger, status, inline, detail) \
           SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8)",
    types: &[
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT2_ARRAY,
        Type::BOOL_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

impl SettledRows {
    /// `first`: the attempt it settled on, when that is its only one.
    pub fn push(&mut self, delivery: &Delivery, first: Option<&Attempt>) -> Result<()> {
        self.details.push(detail::encode(&Facts::of(delivery, first))?);
        self.ids.push(uuid(delivery.id));
        self.projects.push(uuid(delivery.project_id));
        self.endpoints.push(uuid(delivery.endpoint_id));
        self.events.push(uuid(delivery.event_id));
        self.triggers.push(delivery.trigger.code().into());
        self.statuses.push(delivery.status.code().into());
        self.inline.push(first.is_some());
        Ok(())
    }

    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn insert(&self) -> Option<Step<'_>> {
        let values: Vec<Value<'_>> = vec![
            &self.ids,
            &self.projects,
            &self.endpoints,
            &self.events,
            &self.triggers,
            &self.statuses,
            &self.inline,
            &self.details,
        ];
        (!self.ids.is_empty()).then_some(Step::Known(&INSERT_SETTLED, values))
    }
}

#[derive(Default)]
pub struct AttemptRows {
    deliveries: Vec<Uuid>,
    numbers: Vec<i32>,
    details: Vec<Vec<u8>>,
}

static INSERT_ATTEMPTS: Sql = Sql {
    text: "INSERT INTO attempts (delivery, number, detail) SELECT unnest($1), unnest($2), unnest($3) ON CONFLICT DO NOTHING",
    types: &[Type::UUID_ARRAY, Type::INT4_ARRAY, Type::BYTEA_ARRAY],
};

impl AttemptRows {
    pub fn push(&mut self, attempt: &Attempt) -> Result<()> {
        self.details.push(detail::encode(&Made::of(attempt))?);
        self.deliveries.push(uuid(attempt.delivery_id));
        self.numbers.push(attempt.number.cast_signed());
        Ok(())
    }

    /// Those that are known already are left as they are.
    pub fn insert(&self) -> Option<Step<'_>> {
        let values: Vec<Value<'_>> = vec![&self.deliveries, &self.numbers, &self.details];
        (!self.deliveries.is_empty()).then_some(Step::Known(&INSERT_ATTEMPTS, values))
    }
}

/// The lanes a transaction put something into, for those who own them.
pub fn endpoints_of<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> std::collections::BTreeSet<Id> {
    deliveries.into_iter().filter(|one| !one.status.is_settled()).map(|one| one.endpoint_id).collect()
}
