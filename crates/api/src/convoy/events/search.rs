//! `GET` and `POST ~/events/search`: what a selector means, a bounded page at a time. Beside Convoy's
//! routes, in its envelope; the selector is the query string of a GET and the body of a POST.
//!
//! A page ends when it is full or has looked at enough. It says how far it looked and hands a cursor,
//! which also says as of when the selector is meant: later pages see the same set.

mod cursor;
mod selector;
mod view;

use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use cursor::Cursor;
use dacapo_control::Caller;
use dacapo_engine::search::{COUNT_TIME_MAX, FreezeError, SearchRequest};
use dacapo_model::{Frozen, Id, Selector};
use std::sync::Arc;
use view::{CountView, PageView};

const PER_PAGE_DEFAULT: usize = 20;
/// A page holds whole events with all of their deliveries.
const PER_PAGE_MAX: usize = 200;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let selector = selector::of_query(&query)?;
    search(&shared, &caller, &query, &selector).await
}

pub async fn post(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    query: QueryString,
    Payload(body): Payload,
) -> Outcome {
    let selector = selector::of_body(&body)?;
    search(&shared, &caller, &query, &selector).await
}

/// `GET ~/events/search/count`
pub async fn count_get(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let selector = selector::of_query(&query)?;
    count(&shared, &caller, &query, &selector).await
}

/// `POST ~/events/search/count`
pub async fn count_post(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    query: QueryString,
    Payload(body): Payload,
) -> Outcome {
    let selector = selector::of_body(&body)?;
    count(&shared, &caller, &query, &selector).await
}

async fn search(shared: &Shared, caller: &Caller, query: &QueryString, selector: &Selector) -> Outcome {
    let cursor = Cursor::of(query)?;
    let per_page = per_page(query)?;
    let ascending = is_ascending(query)?;
    if cursor.is_none() {
        check_known(shared, caller.project_id(), selector).await?;
    }
    let high_water = cursor.map_or_else(|| high_water(shared), |cursor| cursor.high_water);
    let selector = freeze(shared, caller.project_id(), selector, high_water)?;
    let request = SearchRequest {
        project_id: caller.project_id(),
        selector,
        ascending,
        after: cursor.map(|cursor| cursor.after),
        items_max: per_page,
    };
    let page = shared.engine.searcher().search(request).await?;
    Ok(envelope::ok("Events searched successfully", PageView::new(&page, per_page, high_water)))
}

async fn count(shared: &Shared, caller: &Caller, query: &QueryString, selector: &Selector) -> Outcome {
    let cursor = Cursor::of(query)?;
    let project = caller.project_id();
    if cursor.is_none() {
        check_known(shared, project, selector).await?;
    }
    let high_water = cursor.map_or_else(|| high_water(shared), |cursor| cursor.high_water);
    let selector = freeze(shared, project, selector, high_water)?;
    let after = cursor.map(|cursor| cursor.after);
    let counted = shared.engine.searcher().count(project, &selector, after, COUNT_TIME_MAX).await?;
    Ok(envelope::ok("Events counted successfully", CountView::new(&counted, high_water)))
}

/// Ids nobody has would find nothing, which looks like good news.
async fn check_known(shared: &Shared, project: Id, selector: &Selector) -> Result<(), Error> {
    let unknown = shared.engine.searcher().find_unknown(project, selector).await?;
    unknown.map_or(Ok(()), |error| Err(Error::bad(error.to_string())))
}

/// As of now.
pub fn freeze_now(shared: &Shared, project: Id, selector: &Selector) -> Result<Arc<Frozen>, Error> {
    freeze(shared, project, selector, high_water(shared))
}

fn freeze(shared: &Shared, project: Id, selector: &Selector, high_water: Id) -> Result<Arc<Frozen>, Error> {
    match shared.engine.searcher().freeze(project, selector, high_water) {
        Ok(frozen) => Ok(Arc::new(frozen)),
        Err(FreezeError::UnknownProject) => Err(Error::bad("project not found")),
        Err(FreezeError::Selector(error)) => Err(Error::bad(error.to_string())),
    }
}

/// Whatever was accepted before lies below it, whatever comes later above, also within a millisecond.
fn high_water(shared: &Shared) -> Id {
    shared.control.ids.mint(shared.now()).0
}

fn per_page(query: &QueryString) -> Result<usize, Error> {
    let Some(text) = query.one("perPage").or(query.one("per_page")) else { return Ok(PER_PAGE_DEFAULT) };
    match text.parse::<usize>() {
        Ok(number @ 1..=PER_PAGE_MAX) => Ok(number),
        _ => Err(Error::bad(format!("perPage: {text:?} is no page size: use 1 to {PER_PAGE_MAX}"))),
    }
}

fn is_ascending(query: &QueryString) -> Result<bool, Error> {
    match query.one("sort").map(str::to_ascii_uppercase).as_deref() {
        None | Some("DESC") => Ok(false),
        Some("ASC") => Ok(true),
        Some(_) => Err(Error::bad("sort: use ASC for oldest first or DESC for newest first")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_size_is_kept_or_refused() {
        let read = |query: &str| per_page(&QueryString::parse(query)).ok();
        for (query, size) in [
            ("", Some(PER_PAGE_DEFAULT)),
            ("perPage=1", Some(1)),
            ("per_page=200", Some(200)),
            ("perPage=201", None),
            ("perPage=0", None),
            ("perPage=x", None),
        ] {
            assert_eq!(read(query), size, "{query}");
        }
    }
}
