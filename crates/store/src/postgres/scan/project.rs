//! Along the project's events. SQL leaves out what it can, within a stretch of so many events.

use super::item::{self, Admitted, columns};
use super::{Page, beyond, direction};
use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::query::events::REACHES;
use crate::postgres::session::{Step, Transaction};
use crate::postgres::sql::Conditions;
use crate::roles::{Place, ScanRequest};
use dacapo_model::{Id, SetMode};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use tokio_postgres::types::Type;

pub async fn walk(transaction: &mut Transaction, page: &mut Page<'_>, bounds: RangeInclusive<u128>) -> Result<()> {
    let request = page.request;
    if conditions(request, &bounds).values().len() == in_project(request, &bounds).values().len() {
        return walk_all(transaction, page, bounds).await;
    }
    let mut left = bounds;
    while !left.is_empty() {
        let (end, rows) = stretch(transaction, request, &left, page.rows_ahead()).await?;
        let part = end.map_or_else(|| left.clone(), |end| upto(&left, end, request.ascending));
        if walk_stretch(transaction, page, part, rows).await? {
            return Ok(());
        }
        page.next = end.map(Place::Behind);
        let Some(end) = end.filter(|_| page.rows_left() > 0) else { return Ok(()) };
        left = beyond(&left, end, request.ascending);
    }
    page.next = None;
    Ok(())
}

/// SQL leaves nothing out, so each row it looks at is seen here.
async fn walk_all(transaction: &mut Transaction, page: &mut Page<'_>, bounds: RangeInclusive<u128>) -> Result<()> {
    let mut left = bounds;
    while !left.is_empty() {
        let limit = page.chunk().min(usize::try_from(page.rows_ahead()).unwrap_or(usize::MAX));
        let (ids, admitted) = chunk(transaction, page.request, &left, limit).await?;
        if page.look(transaction, &ids, admitted).await? {
            let last = page.next.map(Place::event);
            page.rows += ids.iter().position(|id| Some(*id) == last).map_or(0, |at| at as u64 + 1);
            return Ok(());
        }
        page.rows += ids.len() as u64;
        let last = ids.last().copied().filter(|_| ids.len() == limit);
        page.next = last.map(Place::Behind);
        let Some(last) = last.filter(|_| page.rows_left() > 0) else { return Ok(()) };
        left = beyond(&left, last, page.request.ascending);
    }
    page.next = None;
    Ok(())
}

/// `rows`: those that lie in it. `true`: there is room for no more.
async fn walk_stretch(
    transaction: &mut Transaction,
    page: &mut Page<'_>,
    stretch: RangeInclusive<u128>,
    rows: u64,
) -> Result<bool> {
    let (request, limit) = (page.request, page.chunk());
    let mut left = stretch.clone();
    while !left.is_empty() {
        let (ids, admitted) = chunk(transaction, request, &left, limit).await?;
        if page.look(transaction, &ids, admitted).await? {
            if let Some(next) = page.next {
                let looked = upto(&stretch, next.event(), request.ascending);
                page.rows += count(transaction, request, &looked).await?;
            }
            return Ok(true);
        }
        let Some(last) = ids.last().filter(|_| ids.len() == limit) else { break };
        left = beyond(&left, *last, request.ascending);
    }
    page.rows += rows;
    Ok(false)
}

/// The next events, and those of them that are admitted.
async fn chunk(
    transaction: &mut Transaction,
    request: &ScanRequest,
    bounds: &RangeInclusive<u128>,
    limit: usize,
) -> Result<(Vec<Id>, HashMap<Id, Admitted>)> {
    let conditions = conditions(request, bounds);
    let sql = format!(
        "SELECT {} FROM events e WHERE {} ORDER BY e.id {} LIMIT {limit}",
        columns(request),
        conditions.sql(),
        direction(request)
    );
    let answers = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
    let ids = answers[0].iter().map(|row| codec::id(row, 0)).collect::<Result<Vec<Id>>>()?;
    Ok((ids, item::admitted(request, &answers[0])?))
}

/// What lies up to there, in reading direction.
fn upto(of: &RangeInclusive<u128>, end: Id, ascending: bool) -> RangeInclusive<u128> {
    if ascending { *of.start()..=end.as_u128() } else { end.as_u128()..=*of.end() }
}

/// The last of so many events (`None`: there are not that many), and how many there are.
pub async fn stretch(
    transaction: &mut Transaction,
    request: &ScanRequest,
    bounds: &RangeInclusive<u128>,
    rows: u64,
) -> Result<(Option<Id>, u64)> {
    let conditions = in_project(request, bounds);
    let most = rows.max(1);
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
    if rows < most {
        return Ok((None, rows));
    }
    Ok((Some(codec::id(row, 0)?), rows))
}

async fn count(transaction: &mut Transaction, request: &ScanRequest, bounds: &RangeInclusive<u128>) -> Result<u64> {
    let conditions = in_project(request, bounds);
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
