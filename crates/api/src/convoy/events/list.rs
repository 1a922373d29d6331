//! `GET ~/events` (§2.3.7).

use super::filter;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::event::EventView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::{Event, Id};
use dacapo_store::StoreError;
use dacapo_store::roles::EventFilter;
use std::sync::Arc;

const MESSAGE: &str = "App events fetched successfully";

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::sortable(&query)?;
    let filter = filter::read(&query, &caller.project, shared.now())?;
    let Some(filter) = filter.filter(|_| request.per_page > 0) else {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    };
    let page = page(&shared, caller.project_id(), filter, &request).await?;
    let views: Vec<_> = page.content.iter().map(|event| EventView::new(event)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}

async fn page(
    shared: &Shared,
    project: Id,
    filter: EventFilter,
    request: &PageRequest,
) -> Result<Paged<Arc<Event>>, StoreError> {
    let rows = shared.store.events(project, filter.clone(), request.rows()).await?;
    let rows = request.in_list_order(rows);
    let has_prev_page = match request.rows_before(rows.first().map(|event| event.id)) {
        Some(before) => shared.store.events(project, filter, before).await?.len() > 1,
        None => false,
    };
    Ok(request.page(rows, |event| event.id, has_prev_page))
}
