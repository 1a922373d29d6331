//! Deliveries by id and as lists.

use super::Walk;
use crate::Result;
use crate::postgres::codec::{self, uuid};
use crate::postgres::session::{Sql, Step, Transaction};
use crate::postgres::sql::{Conditions, id_bounds, overlap};
use crate::roles::{DeliveryFilter, DeliveryView, Page};
use dacapo_model::{Attempt, Event, Id, Status};
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio_postgres::types::Type;

macro_rules! one {
    ($($table:literal),+) => {
        concat!($(
            "SELECT e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data, \
             d.id, d.project, d.endpoint, d.event, d.detail FROM ", $table, " d JOIN events e ON e.id = d.event \
             WHERE d.id = $1 AND d.project = $2", " UNION ALL "
        ),+, "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE false")
    };
}

pub static ONE: Sql = Sql { text: one!("settled", "waiting"), types: &[Type::UUID, Type::UUID] };

pub async fn one(transaction: &mut Transaction, project: Id, id: Id) -> Result<Option<DeliveryView>> {
    Ok(with_first(transaction, project, id).await?.map(|(view, _)| view))
}

/// With the attempt that lies in its row.
pub async fn with_first(
    transaction: &mut Transaction,
    project: Id,
    id: Id,
) -> Result<Option<(DeliveryView, Option<Attempt>)>> {
    let (id, project) = (uuid(id), uuid(project));
    let rows = transaction.run(vec![Step::Known(&ONE, vec![&id, &project])]).await?;
    rows[0].first().map(|row| view(row, "settled or waiting")).transpose()
}

fn view(row: &tokio_postgres::Row, table: &'static str) -> Result<(DeliveryView, Option<Attempt>)> {
    let (delivery, first) = codec::delivery(row, codec::EVENT_COLUMN_COUNT, table)?;
    Ok((DeliveryView { delivery, event: Arc::new(codec::event(row)?) }, first))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Settled,
    Waiting,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting => "waiting",
        }
    }

    /// As its partial index asks for it.
    const fn replays(self) -> &'static str {
        match self {
            Self::Settled => "d.trigger = 1",
            Self::Waiting => "d.class = 2",
        }
    }

    fn holds(self, status: Status) -> bool {
        status.is_settled() == (self == Self::Settled)
    }

    pub fn select(self) -> String {
        format!(
            "SELECT {}, {} FROM {} d JOIN events e ON e.id = d.event",
            codec::EVENT_COLUMNS,
            codec::DELIVERY_COLUMNS,
            self.name()
        )
    }
}

/// Which way through a table leads to the rows.
pub enum Way {
    /// By project or endpoint, whichever the planner finds shorter.
    Listed,
    /// The deliveries an event was born with lie right behind it.
    Born(Id, RangeInclusive<u128>),
    ReplaysOf(Id),
}

pub async fn list(
    transaction: &mut Transaction,
    project: Id,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Vec<DeliveryView>> {
    let bounds = id_bounds(page, filter.window);
    if bounds.is_empty() || page.limit == 0 {
        return Ok(Vec::new());
    }
    let ways = match filter.event {
        None => vec![Way::Listed],
        Some(event) => match super::events::one(transaction, project, event).await? {
            Some(found) => {
                let later = super::events::later(transaction, event).await?;
                vec![Way::Born(event, born_with(&found, later)), Way::ReplaysOf(event)]
            }
            None => return Ok(Vec::new()),
        },
    };
    let endpoints: HashSet<Id> = filter.endpoints.iter().copied().collect();
    let mut found = BTreeMap::new();
    for way in &ways {
        for table in [Table::Settled, Table::Waiting] {
            if !Status::ALL.into_iter().any(|status| table.holds(status) && wants(filter, status)) {
                continue;
            }
            let bounds = match way {
                Way::Born(_, born) => overlap(&bounds, born),
                Way::Listed | Way::ReplaysOf(_) => bounds.clone(),
            };
            let select = table.select();
            // Each gives its first `page.limit` rows in order, so the first of them all are among those.
            let walk = Walk { select: &select, column: "d.id", id_at: codec::EVENT_COLUMN_COUNT, page };
            let keep = |row: &tokio_postgres::Row| {
                let (view, _) = view(row, table.name())?;
                let wanted = admits(filter, &endpoints, &view);
                if wanted {
                    found.insert(view.delivery.id, view);
                }
                Ok(wanted)
            };
            walk.go(transaction, bounds, |bounds| conditions(project, filter, table, way, bounds), keep).await?;
        }
    }
    let found = found.into_values();
    Ok(if page.ascending { found.take(page.limit).collect() } else { found.rev().take(page.limit).collect() })
}

/// What SQL can leave out; [`admits`] decides.
pub fn conditions(
    project: Id,
    filter: &DeliveryFilter,
    table: Table,
    way: &Way,
    bounds: &RangeInclusive<u128>,
) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.with("d.project = {}", uuid(project), Type::UUID);
    conditions.between("d.id", bounds);
    conditions.any_id("d.endpoint", &filter.endpoints);
    match way {
        Way::Listed => {}
        Way::Born(event, _) => {
            conditions.with("d.event = {}", uuid(*event), Type::UUID);
            conditions.literal(match table {
                Table::Settled => "d.trigger <> 1",
                Table::Waiting => "d.class <> 2",
            });
        }
        Way::ReplaysOf(event) => {
            conditions.literal(table.replays());
            conditions.with("d.event = {}", uuid(*event), Type::UUID);
        }
    }
    if table == Table::Settled && !filter.statuses.is_empty() {
        let codes: Vec<i16> = filter.statuses.iter().map(|status| status.code().into()).collect();
        conditions.with("d.status = ANY ({})", codes, Type::INT2_ARRAY);
    }
    // The ids' bytes lie somewhere in the detail.
    if let Some(subscription) = filter.subscription {
        conditions.with("position({} IN d.detail) > 0", subscription.to_bytes().to_vec(), Type::BYTEA);
    }
    // As the index has it.
    if let Some(replay) = filter.replay {
        conditions.literal(table.replays());
        conditions.with("substring(d.detail FROM 19 FOR 16) = {}", replay.to_bytes().to_vec(), Type::BYTEA);
    }
    if let Some(event_type) = &filter.event_type {
        conditions.with("e.type = {}", event_type.clone().into_bytes(), Type::BYTEA);
    }
    conditions
}

fn wants(filter: &DeliveryFilter, status: Status) -> bool {
    filter.statuses.is_empty() || filter.statuses.contains(&status)
}

fn admits(filter: &DeliveryFilter, endpoints: &HashSet<Id>, view: &DeliveryView) -> bool {
    let delivery = &view.delivery;
    wants(filter, delivery.status)
        && (endpoints.is_empty() || endpoints.contains(&delivery.endpoint_id))
        && filter.event.is_none_or(|event| event == delivery.event_id)
        && filter.subscription.is_none_or(|subscription| subscription == delivery.subscription_id)
        && filter.event_type.as_ref().is_none_or(|event_type| *event_type == view.event.event_type)
        && filter.trigger.is_none_or(|trigger| trigger == delivery.trigger)
        && filter.replay.is_none_or(|replay| Some(replay) == delivery.replay_id)
}

/// `later`: targets outside of the event.
fn born_with(event: &Event, later: u64) -> RangeInclusive<u128> {
    let (first, count) = (event.id.order().saturating_add(1), (event.targets.len() as u64).saturating_add(later));
    Id::from_parts(first, 0).as_u128()..=Id::from_parts(first.saturating_add(count), 0).as_u128()
}
