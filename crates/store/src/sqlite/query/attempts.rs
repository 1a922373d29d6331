//! The attempts of one delivery: the first may lie in the settled row, the others in their table.

use super::deliveries;
use crate::Result;
use crate::sqlite::codec::{self, ord};
use crate::sqlite::fresh::Fresh;
use dacapo_model::{Attempt, Id};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

pub fn list(connection: &Connection, fresh: &Fresh, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>> {
    if deliveries::one(connection, fresh, project, delivery)?.is_none() {
        return Ok(Vec::new());
    }
    let mut found = BTreeMap::new();
    let sql = format!("SELECT {} FROM settled d WHERE d.ord = ?1", codec::SETTLED_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([ord(delivery)])?;
    if let Some(row) = rows.next()?
        && let Some(attempt) = codec::first_attempt(row, 0)?
    {
        found.insert(attempt.number, attempt);
    }
    let sql =
        format!("SELECT {} FROM attempts WHERE delivery = ?1 ORDER BY number DESC LIMIT ?2", codec::ATTEMPT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![ord(delivery), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let attempt = codec::attempt(row, delivery)?;
        found.entry(attempt.number).or_insert(attempt);
    }
    let surplus = found.len().saturating_sub(limit);
    Ok(found.into_values().skip(surplus).collect())
}
