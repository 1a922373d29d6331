//! The items of replays: written a page at a time, held, released, counted.

use super::json;
use crate::Result;
use crate::postgres::codec::{column, fan_out, id, uuid, uuids, with_fan_out};
use crate::postgres::rows::{SettledRows, WaitingRows, endpoints_of};
use crate::postgres::session::{Purpose, Sql, Step};
use crate::postgres::{Inner, listen, retention};
use crate::roles::{HELD_UNTIL, ItemPage, OpenItems, Release, Released, Scheduled};
use dacapo_model::event::FanOut;
use dacapo_model::replay::State;
use dacapo_model::{Delivery, Event, Id, Status, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Rows a replay's counts are spread over.
const SLOTS: u64 = 8;

/// Held until the page is written: what stops the replay waits for it, and what comes later finds it
/// stopped.
static NAMED: Sql = Sql {
    text: "SELECT true FROM replays WHERE id = $1 AND page = $2 AND state = $3 FOR UPDATE",
    types: &[Type::UUID, Type::INT8, Type::INT2],
};
static EVENTS: Sql = Sql { text: "SELECT id, flags FROM events WHERE id = ANY ($1)", types: &[Type::UUID_ARRAY] };
static MATCHED: Sql = Sql {
    text: "UPDATE events e SET flags = i.flags FROM unnest($1, $2) i (id, flags) WHERE e.id = i.id",
    types: &[Type::UUID_ARRAY, Type::INT2_ARRAY],
};
static MOVE_ON: Sql =
    Sql { text: "UPDATE replays SET progress = $2, page = page + 1 WHERE id = $1", types: &[Type::UUID, Type::TEXT] };
static COUNT: Sql = Sql {
    text: "INSERT INTO replay_counts (replay, slot, status, reason, count) \
           SELECT i.replay, i.slot, i.status, i.reason, i.count FROM unnest($1, $2, $3, $4, $5) \
           i (replay, slot, status, reason, count) WHERE EXISTS (SELECT FROM replays r WHERE r.id = i.replay) \
           ORDER BY 1, 2, 3, 4 \
           ON CONFLICT (replay, slot, status, reason) DO UPDATE SET count = replay_counts.count + excluded.count",
    types: &[Type::UUID_ARRAY, Type::INT2_ARRAY, Type::INT2_ARRAY, Type::INT2_ARRAY, Type::INT8_ARRAY],
};
static OPEN: Sql = Sql {
    text: "SELECT count(*), count(*) FILTER (WHERE attempts = 0 AND due_at < $2), count(*) FILTER (WHERE due_at >= $2) \
           FROM waiting WHERE class = 2 AND substring(detail FROM 19 FOR 16) = $1",
    types: &[Type::BYTEA, Type::INT8],
};
/// Not those resent by hand: how `manual` is found says [`Facts`](crate::postgres::detail::Facts).
static HOLD: Sql = Sql {
    text: "UPDATE waiting w SET due_at = $3 FROM (SELECT id FROM waiting WHERE class = 2 \
           AND substring(detail FROM 19 FOR 16) = $1 AND due_at <= $2 AND \
           (SELECT get_byte(detail, n + 1) FROM generate_series(37, length(detail) - 2) n WHERE get_byte(detail, n) < 128 \
            ORDER BY n OFFSET 2 LIMIT 1) = 0 LIMIT $4 FOR UPDATE SKIP LOCKED) c \
           WHERE w.id = c.id RETURNING w.id",
    types: &[Type::BYTEA, Type::INT8, Type::INT8, Type::INT8],
};
/// The oldest of an endpoint that is not settled, whatever it waits for: what follows it waits too.
static RELEASE_HEADS: Sql = Sql {
    text: "UPDATE waiting w SET due_at = $3 FROM (SELECT DISTINCT ON (endpoint) id, due_at FROM waiting WHERE class = 2 \
           AND substring(detail FROM 19 FOR 16) = $1 ORDER BY endpoint, id) c \
           WHERE w.id = c.id AND c.due_at >= $2 AND w.due_at >= $2 RETURNING w.endpoint",
    types: &[Type::BYTEA, Type::INT8, Type::INT8],
};
static RELEASE_HELD: Sql = Sql {
    text: "UPDATE waiting w SET due_at = $3 FROM (SELECT id FROM waiting WHERE class = 2 \
           AND substring(detail FROM 19 FOR 16) = $1 AND due_at >= $2 ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED) c \
           WHERE w.id = c.id RETURNING w.endpoint",
    types: &[Type::BYTEA, Type::INT8, Type::INT8, Type::INT8],
};
/// `LIMIT 1` keeps each look at the indexes it names: the planner makes no join of it.
static HAVE_REACHED: Sql = Sql {
    text: "SELECT b.n FROM unnest($1, $2) b (id, n) \
            WHERE (SELECT true FROM settled s WHERE s.id = b.id AND s.status = $6 LIMIT 1) \
           UNION \
           SELECT a.n::int4 FROM unnest($3, $4, $5) WITH ORDINALITY a (event, endpoint, near, n) \
            WHERE (SELECT true FROM settled s WHERE s.trigger = 1 AND s.event = a.event AND s.endpoint = a.endpoint \
                     AND s.status = $6 LIMIT 1) \
               OR CASE WHEN (SELECT e.more IS NOT NULL FROM events e WHERE e.id = a.event) \
                  THEN (SELECT true FROM settled s WHERE s.endpoint = a.endpoint AND s.id > a.event AND s.id <= a.near \
                           AND s.event = a.event AND s.status = $6 LIMIT 1) END",
    types: &[Type::UUID_ARRAY, Type::INT4_ARRAY, Type::UUID_ARRAY, Type::UUID_ARRAY, Type::UUID_ARRAY, Type::INT2],
};

pub async fn schedule(inner: &Inner, page: ItemPage) -> Result<Scheduled> {
    let _under_way = inner.lease.commits.read().await;
    let mut transaction = inner.work.transaction(Purpose::Work).await?;
    let (replay, after, running) = (uuid(page.replay), page.after.cast_signed(), i16::from(State::Running.code()));
    let events = uuids(page.items.iter().map(|item| item.event_id).collect::<BTreeSet<_>>());
    let looks = vec![
        retention::stay(),
        Step::Known(&NAMED, vec![&replay, &after, &running]),
        Step::Known(&EVENTS, vec![&events]),
    ];
    let answers = transaction.run(looks).await?;
    if answers[1].is_empty() {
        return Ok(Scheduled::Void);
    }
    let (mut there, mut matched, mut flags) = (HashSet::new(), Vec::new(), Vec::new());
    for row in &answers[2] {
        let event = id(row, 0)?;
        there.insert(event);
        let before: i16 = column(row, 1)?;
        if fan_out(before) == Some(FanOut::NoMatch) {
            matched.push(uuid(event));
            flags.push(with_fan_out(before, FanOut::Success));
        }
    }
    let (items, gone): (Vec<&Delivery>, Vec<&Delivery>) =
        page.items.iter().partition(|item| there.contains(&item.event_id));
    let (mut waiting, mut settled, mut counted) = (WaitingRows::default(), SettledRows::default(), Counted::default());
    for item in &items {
        if item.status.is_settled() {
            settled.push(item, None)?;
            counted.add(item, 1);
        } else {
            waiting.push(item)?;
        }
    }
    let mut progress = page.progress;
    progress.items += items.len() as u64;
    progress.gone += gone.len() as u64;
    let written = Scheduled::Written { items: items.len() as u64, gone: gone.len() as u64 };
    let progress = json(&progress)?;
    let told = listen::notice(&inner.lease, endpoints_of(items.iter().copied()));
    let counts = counted.columns(page.after);
    let mut steps = vec![Step::Known(&MOVE_ON, vec![&replay, &progress])];
    if !matched.is_empty() {
        steps.push(Step::Known(&MATCHED, vec![&matched, &flags]));
    }
    steps.extend(waiting.insert());
    steps.extend(settled.insert());
    steps.extend(counts.step());
    steps.extend(told.as_ref().map(listen::notify_arrivals));
    transaction.commit(steps).await?;
    Ok(written)
}

pub async fn open(inner: &Inner, replay: Id) -> Result<OpenItems> {
    let (named, held) = (replay.to_bytes(), HELD_UNTIL.micros());
    let named = &named[..];
    let rows = inner.reads.once(Purpose::Work, Step::Known(&OPEN, vec![&named, &held])).await?;
    let count = |at| column::<i64>(&rows[0], at).map(i64::cast_unsigned);
    Ok(OpenItems { all: count(0)?, fresh: count(1)?, held: count(2)? })
}

pub async fn hold(inner: &Inner, replay: Id, now: Timestamp, limit: usize) -> Result<u64> {
    let (named, held, now) = (replay.to_bytes(), HELD_UNTIL.micros(), now.micros());
    let (named, limit) = (&named[..], i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = inner.work.once(Purpose::Work, Step::Known(&HOLD, vec![&named, &now, &held, &limit])).await?;
    Ok(rows.len() as u64)
}

pub async fn release(inner: &Inner, replay: Id, which: Release, at: Timestamp, limit: usize) -> Result<Released> {
    let _under_way = inner.lease.commits.read().await;
    let mut transaction = inner.work.transaction(Purpose::Work).await?;
    let (named, at) = (replay.to_bytes(), at.micros());
    let (named, limit) = (&named[..], i64::try_from(limit).unwrap_or(i64::MAX));
    // What is due later than now, or only what is held.
    let from = if which == Release::Everything { at.saturating_add(1) } else { HELD_UNTIL.micros() };
    let step = match which {
        Release::Heads => Step::Known(&RELEASE_HEADS, vec![&named, &from, &at]),
        Release::Held | Release::Everything => Step::Known(&RELEASE_HELD, vec![&named, &from, &at, &limit]),
    };
    let rows = transaction.run(vec![step]).await?;
    let mut endpoints = BTreeSet::new();
    for row in &rows[0] {
        endpoints.insert(id(row, 0)?);
    }
    let told = listen::notice(&inner.lease, endpoints.clone());
    transaction.commit(told.as_ref().map(listen::notify_arrivals).into_iter().collect()).await?;
    Ok(Released { items: rows[0].len() as u64, endpoints: endpoints.into_iter().collect() })
}

/// Those the event was born with have ids that follow from its own, its replays lie anywhere; those of
/// later targets lie near it, and are looked for by endpoint.
pub async fn have_reached(inner: &Inner, asked: &[(Arc<Event>, Id)]) -> Result<Vec<bool>> {
    let (mut born, mut places) = (Vec::new(), Vec::new());
    for (place, (event, endpoint)) in (1_i32..).zip(asked) {
        born.extend(uuids(event.born_for(*endpoint)));
        places.resize(born.len(), place);
    }
    let events = uuids(asked.iter().map(|(event, _)| event.id));
    let endpoints = uuids(asked.iter().map(|(_, endpoint)| *endpoint));
    let near = uuids(asked.iter().map(|(event, _)| retention::born_before(event.id)));
    let success = i16::from(Status::Success.code());
    let look = Step::Known(&HAVE_REACHED, vec![&born, &places, &events, &endpoints, &near, &success]);
    let rows = inner.reads.once(Purpose::Work, look).await?;
    let mut reached = vec![false; asked.len()];
    for row in &rows {
        let place: i32 = column(row, 0)?;
        if let Some(reached) = usize::try_from(place - 1).ok().and_then(|place| reached.get_mut(place)) {
            *reached = true;
        }
    }
    Ok(reached)
}

/// Items that settled, on their way into the counts.
#[derive(Default)]
pub struct Counted(BTreeMap<(Id, i16, i16), i64>);

impl Counted {
    /// A delivery settled as it is (`by` 1), or is not any more (-1).
    pub fn add(&mut self, delivery: &Delivery, by: i64) {
        let Some(replay) = delivery.replay_id else { return };
        let reason = delivery.reason.map_or(-1, |reason| reason.code().into());
        *self.0.entry((replay, delivery.status.code().into(), reason)).or_default() += by;
    }

    /// `spread`: any number; transactions side by side have different ones.
    pub fn columns(&self, spread: u64) -> CountColumns {
        let slot = i16::try_from(spread % SLOTS).unwrap_or_default();
        let mut columns = CountColumns::default();
        for ((replay, status, reason), count) in &self.0 {
            columns.replays.push(uuid(*replay));
            columns.slots.push(slot);
            columns.statuses.push(*status);
            columns.reasons.push(*reason);
            columns.counts.push(*count);
        }
        columns
    }
}

#[derive(Default)]
pub struct CountColumns {
    replays: Vec<Uuid>,
    slots: Vec<i16>,
    statuses: Vec<i16>,
    reasons: Vec<i16>,
    counts: Vec<i64>,
}

impl CountColumns {
    pub fn step(&self) -> Option<Step<'_>> {
        let values: Vec<crate::postgres::session::Value<'_>> =
            vec![&self.replays, &self.slots, &self.statuses, &self.reasons, &self.counts];
        (!self.replays.is_empty()).then_some(Step::Known(&COUNT, values))
    }
}
