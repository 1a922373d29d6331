//! `POST ~/events/batchreplay` and `GET ~/events/countbatchreplayevents` (§2.3.10, §2.3.11): the events
//! a list with the same filters shows, all of them. Both honour every filter, which Convoy's count does not.
//!
//! A batch is a replay: all events are scheduled or none. Where endpoints are named, they alone get the
//! events again.

use super::filter;
use super::search::freeze_now;
use crate::convoy::batch::{self, Batch};
use crate::convoy::error::Error;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::selector::Moment;
use dacapo_model::{Id, Selector};
use serde::Serialize;
use std::time::Duration;

/// As lists (§1.13).
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);
/// A batch that cannot be counted by then is not started: its caller waits for the number.
const BATCH_COUNT_TIME_MAX: Duration = Duration::from_secs(30);
/// How people find it among the project's replays.
const NAME: &str = "batch replay";

#[derive(Serialize)]
struct Count {
    num: u64,
}

/// A body is not read.
pub async fn batch_replay(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    refuse_search(&query, "batch replay does not support search filters")?;
    let selector = selector(&query, &caller, &shared)?;
    let events = count(&shared, &caller, selector.as_ref(), BATCH_COUNT_TIME_MAX).await?;
    if let Some(selector) = selector.filter(|_| events > 0) {
        let before = batch::newest(&shared, caller.project_id(), NAME).await?.map_or(Id::MIN, |replay| replay.id);
        let key = Some(format!("convoy:batchreplay:{before}:{}", fingerprint(&query, &selector)));
        let wanted = Batch { name: NAME, selector, include_succeeded: true, key };
        if batch::is_open(&shared, &caller, &wanted).await? || batch::start(&shared, &caller, wanted).await?.1 {
            // As Convoy counts events whose replay is still queued.
            return Ok(envelope::ok(&format!("0 successful, {events} failed"), ()));
        }
    }
    Ok(envelope::ok(&format!("{events} successful, 0 failed"), ()))
}

pub async fn count_batch_replay(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    query: QueryString,
) -> Outcome {
    refuse_search(&query, "batch replay count does not support search filters")?;
    let selector = selector(&query, &caller, &shared)?;
    let num = count(&shared, &caller, selector.as_ref(), COUNT_TIME_MAX).await?;
    Ok(envelope::ok("events count successful", Count { num }))
}

async fn count(
    shared: &Shared,
    caller: &Caller,
    selector: Option<&Selector>,
    time_max: Duration,
) -> Result<u64, Error> {
    let Some(selector) = selector else { return Ok(0) };
    let frozen = freeze_now(shared, caller.project_id(), selector)?;
    Ok(shared.engine.searcher().tally(caller.project_id(), &frozen, time_max).await?)
}

/// Of what is asked for, apart from the moment: two who ask at once for the same, with the same dates or none, have the
/// same.
fn fingerprint(query: &QueryString, selector: &Selector) -> String {
    let alike = Selector { from: None, to: None, ..selector.clone() };
    let dates = [query.one("startDate"), query.one("endDate")];
    let asked = serde_json::to_vec(&(alike, dates)).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, &asked);
    let (half, _) = digest.as_ref().split_first_chunk().unwrap_or((&[0; 16], &[]));
    format!("{:032x}", u128::from_be_bytes(*half))
}

fn refuse_search(query: &QueryString, text: &'static str) -> Result<(), Error> {
    let asks = query.one("query").is_some() || query.one("body").is_some();
    if asks { Err(Error::bad(text)) } else { Ok(()) }
}

/// `None` when nothing can match. What an endpoint's name leads to nothing is no error here, as in lists.
fn selector(query: &QueryString, caller: &Caller, shared: &Shared) -> Result<Option<Selector>, Error> {
    let now = shared.now();
    let Some(filter) = filter::read(query, &caller.project, now)? else { return Ok(None) };
    let known = |id: &Id| caller.project.endpoints.contains_key(id);
    let endpoint_ids: Vec<Id> = filter.endpoints.iter().copied().filter(known).collect();
    let is_to_come = filter.window.from.is_some_and(|from| from > now);
    if (endpoint_ids.is_empty() && !filter.endpoints.is_empty()) || is_to_come {
        return Ok(None);
    }
    Ok(Some(Selector {
        from: filter.window.from.map(Moment::At),
        to: filter.window.to.map(Moment::At),
        endpoint_ids,
        source_ids: filter.sources,
        idempotency_key: filter.idempotency_key,
        ..Selector::default()
    }))
}
