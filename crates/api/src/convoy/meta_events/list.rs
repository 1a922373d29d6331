//! `GET ~/meta-events`: newest first, within the dates.

use crate::Api;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::meta_event::MetaEventView;
use crate::convoy::{Outcome, dates, envelope};
use crate::query_string::QueryString;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

const MESSAGE: &str = "Meta events fetched successfully";

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::newest_first(&query)?;
    let window = dates::window(&query, shared.now())?;
    if request.per_page == 0 {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    }
    let (store, project) = (shared.engine.meta_events(), caller.project_id());
    let rows = request.in_list_order(store.meta_events(project, window, request.rows()).await?);
    let has_prev_page = match request.rows_before(rows.first().map(|row| row.id)) {
        Some(before) => store.meta_events(project, window, before).await?.len() > 1,
        None => false,
    };
    let page = request.page(rows, |row| row.id, has_prev_page);
    let views: Vec<_> = page.content.iter().map(MetaEventView::new).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}
