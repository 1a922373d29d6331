//! Which events a list shows (§2.3.7).

use crate::convoy::dates;
use crate::convoy::error::Error;
use crate::query_string::QueryString;
use dacapo_model::catalog::ProjectView;
use dacapo_model::{Id, Timestamp};
use dacapo_store::roles::EventFilter;

/// `None` when nothing can match: only unknown endpoints, owners or sources were named.
pub fn read(query: &QueryString, project: &ProjectView, now: Timestamp) -> Result<Option<EventFilter>, Error> {
    if query.one("query").is_some() || query.one("body").is_some() {
        return Err(Error::bad("event search is not available yet"));
    }
    let window = dates::window(query, now)?;
    // Only events from brokers have a message id, and there are no brokers yet.
    if query.one("brokerMessageId").is_some() {
        return Ok(None);
    }
    let (Some(named), Some(sources)) = (ids(query, "endpointId"), ids(query, "sourceId")) else {
        return Ok(None);
    };
    let endpoints = match query.one("ownerId") {
        None => named,
        Some(owner) => {
            let owned = project.endpoints.values().filter(|endpoint| endpoint.owner_id == owner);
            let owned: Vec<Id> =
                owned.map(|endpoint| endpoint.id).filter(|id| named.is_empty() || named.contains(id)).collect();
            if owned.is_empty() {
                return Ok(None);
            }
            owned
        }
    };
    Ok(Some(EventFilter {
        endpoints,
        sources,
        idempotency_key: query.one("idempotencyKey").map(str::to_owned),
        window,
        ..EventFilter::default()
    }))
}

/// The ids under a name; empty when there is none, `None` when there are values and none is an id.
pub fn ids(query: &QueryString, name: &str) -> Option<Vec<Id>> {
    let mut given = query.all(name).peekable();
    if given.peek().is_none() {
        return Some(Vec::new());
    }
    let ids: Vec<Id> = given.filter_map(|text| text.parse().ok()).collect();
    Some(ids).filter(|ids| !ids.is_empty())
}
