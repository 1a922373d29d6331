//! `POST ~/events/batchreplay` and `GET ~/events/countbatchreplayevents` (§2.3.10, §2.3.11): the events
//! a list with the same filters shows, all of them. Both honour every filter, which Convoy's count does not.

use super::filter;
use crate::convoy::error::Error;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_engine::batch::Tally;
use dacapo_model::selector::Moment;
use dacapo_model::{Frozen, Id, Selector};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// As lists (§1.13).
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Count {
    num: u64,
}

/// A body is not read.
pub async fn batch_replay(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    refuse_search(&query, "batch replay does not support search filters")?;
    let tally = match selector(&query, &caller, &shared)? {
        Some(selector) => shared.engine.replay_each(caller.project_id(), selector).await?,
        None => Tally::default(),
    };
    Ok(envelope::ok(&format!("{} successful, {} failed", tally.successful, tally.failed), ()))
}

pub async fn count_batch_replay(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    query: QueryString,
) -> Outcome {
    refuse_search(&query, "batch replay count does not support search filters")?;
    let num = match selector(&query, &caller, &shared)? {
        Some(selector) => shared.engine.searcher().tally(caller.project_id(), &selector, COUNT_TIME_MAX).await?,
        None => 0,
    };
    Ok(envelope::ok("Events count fetched successfully", Count { num }))
}

fn refuse_search(query: &QueryString, text: &'static str) -> Result<(), Error> {
    let asks = query.one("query").is_some() || query.one("body").is_some();
    if asks { Err(Error::bad(text)) } else { Ok(()) }
}

/// `None` when nothing can match. What an endpoint's name leads to nothing is no error here, as in lists.
fn selector(query: &QueryString, caller: &Caller, shared: &Shared) -> Result<Option<Arc<Frozen>>, Error> {
    let now = shared.now();
    let Some(filter) = filter::read(query, &caller.project, now)? else { return Ok(None) };
    let known = |id: &Id| caller.project.endpoints.contains_key(id);
    let endpoint_ids: Vec<Id> = filter.endpoints.iter().copied().filter(known).collect();
    let is_to_come = filter.window.from.is_some_and(|from| from > now);
    if (endpoint_ids.is_empty() && !filter.endpoints.is_empty()) || is_to_come {
        return Ok(None);
    }
    let selector = Selector {
        from: filter.window.from.map(Moment::At),
        to: filter.window.to.map(Moment::At),
        endpoint_ids,
        source_ids: filter.sources,
        idempotency_key: filter.idempotency_key,
        ..Selector::default()
    };
    super::search::freeze_now(shared, caller.project_id(), &selector).map(Some)
}
