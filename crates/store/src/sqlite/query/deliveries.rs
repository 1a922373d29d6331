//! Deliveries by id and as lists.

use super::{bytes, direction};
use crate::Result;
use crate::roles::{DeliveryFilter, DeliveryView, Page};
use crate::sqlite::codec::{self, ord};
use crate::sqlite::detail;
use crate::sqlite::endpoint_log;
use crate::sqlite::fan_out;
use crate::sqlite::fresh::{Fresh, Parents};
use crate::sqlite::sql::{Conditions, order_bounds, overlap};
use crate::targets::TARGET_BYTES;
use dacapo_model::{Delivery, Event, Id, Status, Trigger};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub fn one(connection: &Connection, fresh: &Fresh, project: Id, id: Id) -> Result<Option<DeliveryView>> {
    let maybe_fresh = fresh.look(connection, |orders| orders.contains(&id.order()))?;
    let found = match in_tables(connection, project, id)? {
        Some(found) => Some(found),
        None if maybe_fresh => implied(&mut Parents::prepare(connection)?, id.order())?,
        None => None,
    };
    Ok(found.filter(|found| found.delivery.id == id && found.delivery.project_id == project))
}

/// Another project's is not read: that would take longer than to find none.
fn in_tables(connection: &Connection, project: Id, id: Id) -> Result<Option<DeliveryView>> {
    for table in [&SETTLED, &WAITING] {
        let sql = format!("{} WHERE d.ord = ?1 AND d.project = ?2", table.select(&with_event(table.by_order)));
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![ord(id), project.to_bytes()])?;
        if let Some(row) = rows.next()? {
            return table.view(row).map(Some);
        }
    }
    Ok(None)
}

/// A delivery that only its event implies.
fn implied(parents: &mut Parents<'_>, order: u64) -> Result<Option<DeliveryView>> {
    let parent = parents.of(order)?;
    Ok(parent.and_then(|(event, index)| event.delivery(index).map(|delivery| DeliveryView { delivery, event })))
}

/// A delivery that is not settled, for the writer.
pub fn unsettled(connection: &Connection, fresh: &Fresh, project: Id, id: Id) -> Result<Option<Delivery>> {
    let sql = format!("SELECT {} FROM waiting d WHERE d.ord = ?1", codec::WAITING_COLUMNS);
    let waiting = connection.prepare_cached(&sql)?.query_row([ord(id)], |row| Ok(codec::waiting(row, 0))).optional()?;
    let found = match waiting {
        Some(delivery) => Some(delivery?),
        None if fresh.contains(id.order()) => {
            implied(&mut Parents::prepare(connection)?, id.order())?.map(|view| view.delivery)
        }
        None => None,
    };
    Ok(found.filter(|delivery| delivery.id == id && delivery.project_id == project))
}

/// Each place gives its first `page.limit` rows in order, so the first of them all are among those.
pub fn list(
    connection: &Connection,
    fresh: &Fresh,
    project: Id,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Vec<DeliveryView>> {
    let mut ask =
        Ask { connection, project, filter, page, bounds: order_bounds(page, filter.window), found: BTreeMap::new() };
    if ask.bounds.is_empty() || page.limit == 0 {
        return Ok(Vec::new());
    }
    let fresh_orders = fresh.look(connection, |orders| ask.fresh_orders(orders.range(ask.bounds.clone())))?;
    for walk in ask.walks()? {
        ask.take_from(&SETTLED, &walk)?;
        ask.take_from(&WAITING, &walk)?;
        ask.take_fresh(&fresh_orders, &walk)?;
    }
    let found = ask.found.into_values();
    Ok(if page.ascending { found.take(page.limit).collect() } else { found.rev().take(page.limit).collect() })
}

struct Ask<'a> {
    connection: &'a Connection,
    project: Id,
    filter: &'a DeliveryFilter,
    page: Page,
    bounds: RangeInclusive<u64>,
    found: BTreeMap<u64, DeliveryView>,
}

/// Which way through a table leads to the rows.
enum Walk {
    /// What its events were born with; of what waits, replays too.
    Project,
    ProjectReplays,
    /// By the endpoint log, as far as it is complete; replays are in it at once.
    Endpoint(Id),
    /// What the endpoint log may not hold yet.
    SinceLogged(u64),
    /// The deliveries an event was born with are neighbours.
    Born(RangeInclusive<u64>),
    ReplaysOf(Id),
    /// The items of the filter's replay.
    Items,
}

struct Table {
    by_order: &'static str,
    columns: &'static str,
    by_project: ByProject,
    by_event: &'static str,
    by_replay: &'static str,
    /// What waits is few beside what is settled: for one endpoint the project's is walked instead.
    by_endpoint_log: Option<&'static str>,
    subscription: &'static str,
    replay: &'static str,
    holds: fn(Status) -> bool,
    /// Reads `columns`.
    read: fn(&Row<'_>, usize) -> Result<Delivery>,
}

enum ByProject {
    Index(&'static str),
    /// Through the events they were born with; replays, which lie elsewhere, by an index of theirs.
    ThroughEvents {
        replays: &'static str,
    },
}

static SETTLED: Table = Table {
    by_order: "settled d NOT INDEXED",
    columns: codec::SETTLED_COLUMNS,
    by_project: ByProject::ThroughEvents { replays: "settled d INDEXED BY settled_replays" },
    by_event: "settled d INDEXED BY settled_by_event",
    by_replay: "settled d INDEXED BY settled_by_replay",
    by_endpoint_log: Some("endpoint_log l CROSS JOIN settled d ON d.ord = l.ord"),
    subscription: detail::SUBSCRIPTION,
    replay: detail::REPLAY,
    holds: Status::is_settled,
    read: codec::settled,
};

static WAITING: Table = Table {
    by_order: "waiting d NOT INDEXED",
    columns: codec::WAITING_COLUMNS,
    by_project: ByProject::Index("waiting d INDEXED BY waiting_by_project"),
    by_event: "waiting d INDEXED BY waiting_by_event",
    by_replay: "waiting d INDEXED BY waiting_by_replay",
    by_endpoint_log: None,
    subscription: "d.subscription",
    replay: "d.replay",
    holds: |status| !status.is_settled(),
    read: codec::waiting,
};

impl Table {
    /// `from` names the table as `d` and the events as `e`, in the order they are walked.
    fn select(&self, from: &str) -> String {
        format!("SELECT {}, {} FROM {from}", codec::EVENT_COLUMNS, self.columns)
    }

    /// Reads what [`Self::select`] asked for.
    fn view(&self, row: &Row<'_>) -> Result<DeliveryView> {
        let delivery = (self.read)(row, codec::EVENT_COLUMN_COUNT)?;
        Ok(DeliveryView { event: Arc::new(codec::event(row)?), delivery })
    }
}

/// A way through a table of deliveries, and to each one's event.
fn with_event(way: &str) -> String {
    format!("{way} CROSS JOIN events e ON e.ord = d.event_ord")
}

impl Ask<'_> {
    fn walks(&self) -> Result<Vec<Walk>> {
        let Some(event) = self.filter.event else {
            if self.filter.replay.is_some() {
                return Ok(vec![Walk::Items]);
            }
            let [endpoint] = self.filter.endpoints.as_slice() else {
                return Ok(vec![Walk::Project, Walk::ProjectReplays]);
            };
            let upto = endpoint_log::complete_upto(self.connection)?;
            return Ok(vec![Walk::Endpoint(*endpoint), Walk::SinceLogged(upto)]);
        };
        let found = super::events::one(self.connection, self.project, event)?;
        let Some(found) = found else { return Ok(Vec::new()) };
        let later = fan_out::count(self.connection, ord(event))?;
        Ok(vec![Walk::Born(born_with(&found, later)), Walk::ReplaysOf(event)])
    }

    fn take_from(&mut self, table: &Table, walk: &Walk) -> Result<()> {
        if !Status::ALL.into_iter().any(|status| (table.holds)(status) && self.wants(status)) {
            return Ok(());
        }
        let mut conditions = Conditions::default();
        let mut bounds = self.bounds.clone();
        let mut ordered_by = "d.ord";
        let from = match (walk, table.by_endpoint_log) {
            (Walk::Endpoint(endpoint), Some(log)) => {
                conditions.equals("l.endpoint", endpoint.to_bytes().to_vec());
                conditions.between("l.ord", &bounds);
                ordered_by = "l.ord";
                with_event(log)
            }
            (Walk::SinceLogged(_), None) => return Ok(()),
            (Walk::Project | Walk::Endpoint(_) | Walk::SinceLogged(_), _) => {
                if let Walk::SinceLogged(upto) = walk {
                    bounds = overlap(&bounds, &(upto.saturating_add(1)..=u64::MAX));
                }
                if bounds.is_empty() {
                    return Ok(());
                }
                match table.by_project {
                    ByProject::Index(way) => with_event(way),
                    ByProject::ThroughEvents { .. } => {
                        ordered_by = "e.ord";
                        self.through_events(&bounds, &mut conditions)?
                    }
                }
            }
            (Walk::ProjectReplays, _) => {
                let ByProject::ThroughEvents { replays } = table.by_project else { return Ok(()) };
                conditions.literal("d.trigger = 1");
                with_event(replays)
            }
            (Walk::Born(born), _) => {
                bounds = overlap(&bounds, born);
                with_event(table.by_order)
            }
            (Walk::ReplaysOf(event), _) => {
                conditions.literal("d.trigger = 1");
                conditions.equals("d.event_ord", ord(*event));
                with_event(table.by_event)
            }
            (Walk::Items, _) => {
                // Which replay is among the conditions anyway; these let the index be used.
                conditions.literal("d.trigger = 1");
                with_event(table.by_replay)
            }
        };
        conditions.equals("d.project", self.project.to_bytes().to_vec());
        conditions.between("d.ord", &bounds);
        self.narrow(table, &mut conditions);
        let order = direction(self.page);
        let then = if ordered_by == "e.ord" { format!(", d.ord {order}") } else { String::new() };
        let sql = format!("{} WHERE {} ORDER BY {ordered_by} {order}{then}", table.select(&from), conditions.sql());
        // Not kept: its text depends on the filter, and would drive the short statements out.
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.values()))?;
        let mut taken = 0;
        while taken < self.page.limit
            && let Some(row) = rows.next()?
        {
            let view = table.view(row)?;
            if self.admits(&view) {
                self.found.insert(view.delivery.id.order(), view);
                taken += 1;
            }
        }
        Ok(())
    }

    /// The settled deliveries that the project's events were born with lie right behind each of them.
    fn through_events(&self, bounds: &RangeInclusive<u64>, conditions: &mut Conditions) -> Result<String> {
        // The event before the bounds may have its deliveries within them.
        let before = "SELECT coalesce(max(ord), 0) FROM events WHERE ord < ?1";
        let low = i64::try_from(*bounds.start()).unwrap_or(i64::MAX);
        let first: i64 = self.connection.prepare_cached(before)?.query_row([low], |row| row.get(0))?;
        conditions.equals("e.project", self.project.to_bytes().to_vec());
        conditions.between("e.ord", &(first.cast_unsigned()..=*bounds.end()));
        Ok(format!(
            "events e INDEXED BY events_by_project CROSS JOIN settled d \
             ON d.ord BETWEEN e.ord + 1 AND e.ord + (length(e.targets) + coalesce(length(e.more), 0)) / {TARGET_BYTES}"
        ))
    }

    /// What SQL can leave out; [`Self::admits`] decides.
    fn narrow(&self, table: &Table, conditions: &mut Conditions) {
        conditions.any_of("d.endpoint", bytes(&self.filter.endpoints));
        conditions.any_of("d.status", self.filter.statuses.iter().map(|status| i64::from(status.code())));
        if let Some(subscription) = self.filter.subscription {
            conditions.equals(table.subscription, subscription.to_bytes().to_vec());
        }
        if let Some(trigger) = self.filter.trigger {
            conditions.equals("d.trigger", i64::from(trigger.code()));
        }
        if let Some(replay) = self.filter.replay {
            conditions.equals(table.replay, replay.to_bytes().to_vec());
        }
        if let Some(event_type) = &self.filter.event_type {
            conditions.equals("e.type", event_type.clone());
        }
    }

    /// In the reading direction; none when no fresh delivery can be wanted.
    fn fresh_orders<'o>(&self, orders: impl DoubleEndedIterator<Item = &'o u64>) -> Vec<u64> {
        let wanted = self.wants(Status::Scheduled)
            && self.filter.replay.is_none()
            && self.filter.trigger.is_none_or(|trigger| trigger == Trigger::Event);
        match (wanted, self.page.ascending) {
            (false, _) => Vec::new(),
            (true, true) => orders.copied().collect(),
            (true, false) => orders.rev().copied().collect(),
        }
    }

    fn take_fresh(&mut self, orders: &[u64], walk: &Walk) -> Result<()> {
        let mut parents = Parents::prepare(self.connection)?;
        let mut taken = 0;
        for order in orders {
            let on_the_way = match walk {
                Walk::Born(born) => born.contains(order),
                Walk::ReplaysOf(_) | Walk::Items | Walk::SinceLogged(_) | Walk::ProjectReplays => false,
                Walk::Project | Walk::Endpoint(_) => true,
            };
            if !on_the_way {
                continue;
            }
            if taken == self.page.limit {
                return Ok(());
            }
            let Some(view) = implied(&mut parents, *order)? else { continue };
            if self.admits(&view) && !has_row(self.connection, *order)? {
                self.found.insert(*order, view);
                taken += 1;
            }
        }
        Ok(())
    }

    fn wants(&self, status: Status) -> bool {
        self.filter.statuses.is_empty() || self.filter.statuses.contains(&status)
    }

    fn admits(&self, view: &DeliveryView) -> bool {
        let (delivery, filter) = (&view.delivery, self.filter);
        delivery.project_id == self.project
            && self.page.reaches(delivery.id)
            && self.wants(delivery.status)
            && (filter.endpoints.is_empty() || filter.endpoints.contains(&delivery.endpoint_id))
            && filter.event.is_none_or(|event| event == delivery.event_id)
            && filter.subscription.is_none_or(|subscription| subscription == delivery.subscription_id)
            && filter.event_type.as_ref().is_none_or(|event_type| *event_type == view.event.event_type)
            && filter.trigger.is_none_or(|trigger| trigger == delivery.trigger)
            && filter.replay.is_none_or(|replay| Some(replay) == delivery.replay_id)
    }
}

/// `later`: targets outside of the event.
fn born_with(event: &Event, later: u64) -> RangeInclusive<u64> {
    let order = event.id.order();
    order.saturating_add(1)..=order.saturating_add((event.targets.len() as u64).saturating_add(later))
}

/// The set of fresh deliveries lets go of one only after the COMMIT that gave it a row.
fn has_row(connection: &Connection, order: u64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1) OR EXISTS (SELECT 1 FROM waiting WHERE ord = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([order.cast_signed()], |row| row.get(0))?)
}
