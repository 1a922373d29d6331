//! Along the project's events. SQL leaves out what it can, within a stretch of so many events.

use super::item::{self, columns};
use super::{CHUNK_EVENTS, Page, beyond, direction};
use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::query::events::REACHES;
use crate::postgres::session::{Step, Transaction};
use crate::postgres::sql::Conditions;
use crate::roles::{Place, ScanRequest};
use dacapo_model::{Id, SetMode};
use std::ops::RangeInclusive;
use tokio_postgres::types::Type;

pub async fn walk(transaction: &mut Transaction, page: &mut Page<'_>, bounds: RangeInclusive<u128>) -> Result<()> {
    let request = page.request;
    let (end, rows) = stretch(transaction, request, &bounds).await?;
    let mut left = match end {
        Some(end) if request.ascending => *bounds.start()..=end.as_u128(),
        Some(end) => end.as_u128()..=*bounds.end(),
        None => bounds.clone(),
    };
    while !left.is_empty() {
        let conditions = conditions(request, &left);
        let sql = format!(
            "SELECT {} FROM events e WHERE {} ORDER BY e.id {} LIMIT {CHUNK_EVENTS}",
            columns(request),
            conditions.sql(),
            direction(request)
        );
        let answers = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
        let ids = answers[0].iter().map(|row| codec::id(row, 0)).collect::<Result<Vec<Id>>>()?;
        let admitted = item::admitted(request, &answers[0])?;
        if page.look(transaction, &ids, admitted).await? {
            if let Some(next) = page.next {
                page.rows += count(transaction, request, &bounds, next.event()).await?;
            }
            return Ok(());
        }
        let Some(last) = ids.last().filter(|_| ids.len() == CHUNK_EVENTS) else { break };
        left = beyond(&left, *last, request.ascending);
    }
    page.next = end.map(Place::Behind);
    page.rows += rows;
    Ok(())
}

/// The last event of as many as may be looked at (`None`: there are not more), and how many those are.
async fn stretch(
    transaction: &mut Transaction,
    request: &ScanRequest,
    bounds: &RangeInclusive<u128>,
) -> Result<(Option<Id>, u64)> {
    let conditions = in_project(request, bounds);
    let most = request.rows_max.max(1);
    let sql = format!(
        "SELECT (SELECT id FROM walked ORDER BY id {reverse} LIMIT 1), (SELECT count(*) FROM walked) \
         FROM (SELECT 1) one",
        reverse = if request.ascending { "DESC" } else { "ASC" }
    );
    let sql = format!(
        "WITH walked AS MATERIALIZED (SELECT e.id FROM events e WHERE {} ORDER BY e.id {} LIMIT {most}) {sql}",
        conditions.sql(),
        direction(request)
    );
    let answers = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
    let Some(row) = answers[0].first() else { return Ok((None, 0)) };
    let rows: i64 = codec::column(row, 1)?;
    let rows = rows.cast_unsigned();
    if rows < most as u64 {
        return Ok((None, rows));
    }
    Ok((Some(codec::id(row, 0)?), rows))
}

/// Up to this event.
async fn count(
    transaction: &mut Transaction,
    request: &ScanRequest,
    bounds: &RangeInclusive<u128>,
    upto: Id,
) -> Result<u64> {
    let looked = if request.ascending { *bounds.start()..=upto.as_u128() } else { upto.as_u128()..=*bounds.end() };
    let conditions = in_project(request, &looked);
    let sql = format!("SELECT count(*) FROM events e WHERE {}", conditions.sql());
    let answers = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
    let rows: i64 = answers[0].first().map_or(Ok(0), |row| codec::column(row, 0))?;
    Ok(rows.cast_unsigned())
}

fn in_project(request: &ScanRequest, bounds: &RangeInclusive<u128>) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.with("e.project = {}", uuid(request.project), Type::UUID);
    conditions.between("e.id", bounds);
    conditions
}

/// What SQL can leave out; the item decides.
pub fn conditions(request: &ScanRequest, bounds: &RangeInclusive<u128>) -> Conditions {
    let (selector, parts) = (&request.selector, request.selector.parts());
    let mut conditions = in_project(request, bounds);
    conditions.any_id("e.source", &parts.sources);
    if let Some(key) = &parts.idempotency_key {
        conditions.with("e.idem = {}", key.clone().into_bytes(), Type::BYTEA);
    }
    if !parts.event_types.is_empty() {
        let patterns = parts.event_types.patterns().iter().map(|pattern| String::from(pattern.clone()).into_bytes());
        conditions.with(OF_TYPE, patterns.collect::<Vec<_>>(), Type::BYTEA_ARRAY);
    }
    if selector.needs_routing() && selector.reads_deliveries() && parts.mode != SetMode::Missing {
        let endpoints = parts.endpoints.iter().flatten().copied();
        conditions.with(REACHES, uuids(endpoints), Type::UUID_ARRAY);
    }
    conditions
}

/// A pattern is a name, or its beginning and a `*`, which is byte 42.
const OF_TYPE: &str = "EXISTS (SELECT FROM unnest({}) p (name) WHERE e.type = p.name \
     OR get_byte(p.name, octet_length(p.name) - 1) = 42 \
     AND substr(e.type, 1, octet_length(p.name) - 1) = substr(p.name, 1, octet_length(p.name) - 1))";
