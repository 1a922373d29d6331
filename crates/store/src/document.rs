//! Configuration rows as both engines keep them: a kind, an id, a JSON document.

use crate::{Result, StoreError};
use dacapo_model::catalog::Change;
use dacapo_model::{Endpoint, Id, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Kinds in an order in which rows can be applied: what owns comes before what is owned.
const ORGANISATION: i64 = 1;
const USER: i64 = 2;
pub const PROJECT: i64 = 3;
pub const ENDPOINT: i64 = 4;
const SUBSCRIPTION: i64 = 5;
const EVENT_TYPE: i64 = 6;
const KEY: i64 = 7;
const HEALTH: i64 = 8;

pub fn encode(change: &Change) -> Result<(i64, Id, String)> {
    Ok(match change {
        Change::Organisation(row) => (ORGANISATION, row.id, text(row)?),
        Change::User(row) => (USER, row.id, text(row)?),
        Change::Project(row) => (PROJECT, row.id, text(row)?),
        Change::Endpoint(row) => (ENDPOINT, row.id, text(row)?),
        Change::Subscription(row) => (SUBSCRIPTION, row.id, text(row)?),
        Change::EventType(row) => (EVENT_TYPE, row.id, text(row)?),
        Change::Key(row) => (KEY, row.id, text(row)?),
        Change::Health(row) => (HEALTH, row.endpoint_id, text(row)?),
    })
}

pub fn decode(kind: i64, id: Id, doc: &str) -> Result<Change> {
    Ok(match kind {
        ORGANISATION => Change::Organisation(value(id, doc)?),
        USER => Change::User(value(id, doc)?),
        PROJECT => Change::Project(value(id, doc)?),
        ENDPOINT => Change::Endpoint(value(id, doc)?),
        SUBSCRIPTION => Change::Subscription(value(id, doc)?),
        EVENT_TYPE => Change::EventType(value(id, doc)?),
        KEY => Change::Key(value(id, doc)?),
        HEALTH => Change::Health(value(id, doc)?),
        _ => return Err(inconsistent("kind", id, "unknown kind")),
    })
}

/// Until when the state before this one was in force.
pub fn replaced_at(endpoint: &Endpoint) -> Timestamp {
    endpoint.deleted_at.unwrap_or(endpoint.updated_at)
}

/// An endpoint's document as it was at `at`: the state that was replaced first after that, or the one
/// in force.
pub fn endpoint_as_of(id: Id, doc: Option<&str>, at: Timestamp) -> Result<Option<Endpoint>> {
    let Some(doc) = doc else { return Ok(None) };
    let endpoint: Arc<Endpoint> = value(id, doc)?;
    Ok((endpoint.created_at <= at).then(|| Arc::unwrap_or_clone(endpoint)))
}

fn text<T: Serialize>(row: &Arc<T>) -> Result<String> {
    serde_json::to_string(row).map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn value<T: DeserializeOwned>(id: Id, doc: &str) -> Result<Arc<T>> {
    serde_json::from_str(doc).map(Arc::new).map_err(|cause| inconsistent("doc", id, &cause.to_string()))
}

fn inconsistent(column: &'static str, id: Id, detail: &str) -> StoreError {
    StoreError::Inconsistent { table: "catalog", column, row: id.to_string(), detail: detail.to_owned() }
}
