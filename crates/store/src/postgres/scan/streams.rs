//! Ways to events through their deliveries. Each gives events in order, with the place up to which it
//! gave them all; together they are complete up to the nearest of those.
//!
//! A delivery lies behind the event it was born with, at most [`SPAN`] orders away; the deliveries of
//! events of several nodes lie mixed. So who has read the deliveries upward to one of them knows the
//! events up to [`SPAN`] before it; read downward, those from it on.

use super::{ENDPOINTS_WALKED_MAX, Page, ROWS_AHEAD_MIN, beyond, direction, ordered};
use crate::Result;
use crate::postgres::codec::{self, uuid};
use crate::postgres::session::{Step, Transaction};
use crate::postgres::sql::Conditions;
use crate::roles::{Place, ScanRequest};
use dacapo_model::{Id, Status};
use std::ops::RangeInclusive;
use tokio_postgres::types::Type;

/// Orders, which are 65,536 a millisecond: more than any event has endpoints.
const SPAN: u64 = 1 << 20;
/// As the indexes name it.
const REPLAY_IS: &str = "substring(d.detail FROM 19 FOR 16) = {}";
/// What a batch grows by when all of its rows lie within [`SPAN`].
const BATCH_GROWTH: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// Settled deliveries that events were born with: to an endpoint, or all of the project's.
    Settled(Option<Id>),
    /// The same of what waits, which is few: always the project's.
    Waiting,
    /// Replays in order of their events.
    SettledReplays,
    WaitingReplays,
    /// What failed, or was discarded, in order of its event; replays too.
    GivenUp(Status),
    /// Of this replay, what ended so, in order of its event.
    SettledItems(Id, Status),
    /// What waits of it, which is no more than a queue holds.
    WaitingItems(Id),
}

/// `None`: the selector's events are found by walking the project.
pub fn of(request: &ScanRequest) -> Option<Vec<Stream>> {
    let (selector, parts) = (&request.selector, request.selector.parts());
    if selector.needs_routing() {
        return None;
    }
    let states = selector.delivery_states();
    if let Some(replay) = parts.replay_id {
        // Whatever else is asked.
        let (settled, waiting): (Vec<Status>, Vec<Status>) = states.into_iter().partition(|state| state.is_settled());
        let waiting = (!waiting.is_empty()).then_some(Stream::WaitingItems(replay));
        let settled = settled.into_iter().map(|status| Stream::SettledItems(replay, status));
        return Some(settled.chain(waiting).collect());
    }
    if states.iter().all(|state| matches!(state, Status::Failure | Status::Discarded)) {
        return Some(states.into_iter().map(Stream::GivenUp).collect());
    }
    let mut streams = Vec::new();
    if states.iter().any(|state| state.is_settled()) {
        match &parts.endpoints {
            Some(few) if few.len() <= ENDPOINTS_WALKED_MAX => {
                streams.extend(few.iter().map(|endpoint| Stream::Settled(Some(*endpoint))));
            }
            _ => streams.push(Stream::Settled(None)),
        }
        streams.push(Stream::SettledReplays);
    }
    if states.iter().any(|state| !state.is_settled()) {
        streams.extend([Stream::Waiting, Stream::WaitingReplays]);
    }
    Some(streams)
}

pub async fn walk(
    transaction: &mut Transaction,
    streams: &[Stream],
    page: &mut Page<'_>,
    mut bounds: RangeInclusive<u128>,
) -> Result<()> {
    let request = page.request;
    let mut limit_min = ROWS_AHEAD_MIN;
    while !bounds.is_empty() {
        let limit = page.rows_ahead().min(page.rows_left() / streams.len().max(1) as u64).max(limit_min);
        let round = round(transaction, streams, request, &bounds, limit).await?;
        page.rows += round.rows;
        if page.take(transaction, &round.events).await? {
            return Ok(());
        }
        let Some(upto) = round.complete_upto else { break };
        if bounds.contains(&upto.as_u128()) {
            page.next = Some(Place::Behind(upto));
            bounds = beyond(&bounds, upto, request.ascending);
        } else {
            limit_min = limit.saturating_mul(BATCH_GROWTH);
            continue;
        }
        if page.rows_left() == 0 {
            return Ok(());
        }
    }
    // To the end of the bounds, whatever the rounds before came to.
    page.next = None;
    Ok(())
}

struct Round {
    /// In the order asked for.
    events: Vec<Id>,
    /// `None`: to the end of the bounds.
    complete_upto: Option<Id>,
    rows: u64,
}

/// A batch of each stream, up to where all of them are complete.
async fn round(
    transaction: &mut Transaction,
    streams: &[Stream],
    request: &ScanRequest,
    bounds: &RangeInclusive<u128>,
    limit: u64,
) -> Result<Round> {
    let states = request.selector.delivery_states();
    let statements: Vec<(String, Conditions)> =
        streams.iter().map(|stream| stream.statement(request, bounds, limit)).collect();
    let steps = statements.iter().map(|(sql, conditions)| Step::Once(sql, conditions.values())).collect();
    let answers = transaction.run(steps).await?;
    let (mut events, mut complete_upto, mut rows) = (Vec::new(), None, 0);
    for (stream, answer) in streams.iter().zip(&answers) {
        rows += answer.len() as u64;
        for row in answer {
            events.extend(stream.event(row, request, &states)?.filter(|event| bounds.contains(&event.as_u128())));
        }
        let last = answer.last().filter(|_| answer.len() as u64 == limit);
        let upto = last.map(|row| stream.complete_at(row, request.ascending)).transpose()?;
        // Of the last replay's event others may lie beyond: it is looked at whatever this one came to.
        events.extend(upto.filter(|_| stream.is_by_event()));
        complete_upto = match (complete_upto, upto) {
            (None, one) | (one, None) => one,
            (Some(one), Some(other)) if request.ascending => Some(Id::min(one, other)),
            (Some(one), Some(other)) => Some(Id::max(one, other)),
        };
    }
    events.retain(|event| match (complete_upto, request.ascending) {
        (None, _) => true,
        (Some(upto), true) => *event <= upto,
        (Some(upto), false) => *event >= upto,
    });
    Ok(Round { events: ordered(events, request), complete_upto, rows })
}

impl Stream {
    fn table(self) -> &'static str {
        match self {
            Self::Settled(_) | Self::SettledReplays | Self::GivenUp(_) | Self::SettledItems(..) => "settled",
            Self::Waiting | Self::WaitingReplays | Self::WaitingItems(_) => "waiting",
        }
    }

    const fn is_by_event(self) -> bool {
        !matches!(self, Self::Settled(_) | Self::Waiting)
    }

    /// Columns: event, delivery, endpoint, project, whether it is a replay, of settled ones the status.
    pub fn statement(self, request: &ScanRequest, bounds: &RangeInclusive<u128>, limit: u64) -> (String, Conditions) {
        let mut conditions = Conditions::default();
        let order_by = match self {
            Self::Settled(Some(endpoint)) => {
                conditions.with("d.endpoint = {}", uuid(endpoint), Type::UUID);
                conditions.between("d.id", &born_within(bounds));
                "d.id"
            }
            Self::Settled(None) | Self::Waiting => {
                conditions.with("d.project = {}", uuid(request.project), Type::UUID);
                conditions.between("d.id", &born_within(bounds));
                "d.id"
            }
            Self::SettledReplays | Self::WaitingReplays => {
                conditions.literal(if self.table() == "settled" { "d.trigger = 1" } else { "d.class = 2" });
                conditions.between("d.event", bounds);
                "d.event"
            }
            Self::GivenUp(status) => {
                conditions.with("d.project = {}", uuid(request.project), Type::UUID);
                // What the partial index asks for must stand there as it is.
                conditions.literal("d.status IN (4, 5)");
                conditions.literal(if status == Status::Failure { "d.status = 4" } else { "d.status = 5" });
                conditions.between("d.event", bounds);
                "d.event"
            }
            Self::SettledItems(replay, status) => {
                conditions.literal("d.trigger = 1");
                conditions.with(REPLAY_IS, replay.to_bytes().to_vec(), Type::BYTEA);
                conditions.with("d.status = {}", i16::from(status.code()), Type::INT2);
                conditions.between("d.event", bounds);
                "d.event"
            }
            Self::WaitingItems(replay) => {
                conditions.literal("d.class = 2");
                conditions.with(REPLAY_IS, replay.to_bytes().to_vec(), Type::BYTEA);
                conditions.between("d.event", bounds);
                "d.event"
            }
        };
        let (is_replay, status) = match self.table() {
            "settled" => ("d.trigger = 1", "d.status"),
            _ => ("d.class = 2", "NULL::smallint"),
        };
        let sql = format!(
            "SELECT d.event, d.id, d.endpoint, d.project, {is_replay}, {status} FROM {} d \
             WHERE {} ORDER BY {order_by} {} LIMIT {limit}",
            self.table(),
            conditions.sql(),
            direction(request)
        );
        (sql, conditions)
    }

    /// The event, when this delivery may make it one that is meant.
    fn event(self, row: &tokio_postgres::Row, request: &ScanRequest, states: &[Status]) -> Result<Option<Id>> {
        let is_replay: bool = codec::column(row, 4)?;
        let status: Option<i16> = codec::column(row, 5)?;
        let in_state = status.is_none_or(|code| states.iter().any(|state| i16::from(state.code()) == code));
        let of_stream = matches!(self, Self::GivenUp(_)) || is_replay == self.is_by_event();
        let wanted = of_stream
            && in_state
            && codec::id(row, 3)? == request.project
            && request.selector.wants_endpoint(codec::id(row, 2)?);
        if wanted { codec::id(row, 0).map(Some) } else { Ok(None) }
    }

    fn complete_at(self, last: &tokio_postgres::Row, ascending: bool) -> Result<Id> {
        if self.is_by_event() {
            return codec::id(last, 0);
        }
        let delivery = codec::id(last, 1)?;
        if !ascending {
            return Ok(delivery);
        }
        Ok(Id::from_parts(delivery.order().saturating_sub(SPAN), 0))
    }
}

/// Where the deliveries lie that events within bounds were born with.
fn born_within(bounds: &RangeInclusive<u128>) -> RangeInclusive<u128> {
    let last = Id::from_u128(*bounds.end());
    *bounds.start()..=Id::from_parts(last.order().saturating_add(SPAN), u64::MAX).as_u128()
}
