//! `GET ~/replays`, newest first.

use crate::Api;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::replay::ReplayView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

const MESSAGE: &str = "Replays fetched successfully";

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::newest_first(&query)?;
    if request.per_page == 0 {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    }
    let (desk, project) = (shared.engine.replays(), caller.project_id());
    let rows = request.in_list_order(desk.list(project, request.rows()).await?);
    let has_prev_page = match request.rows_before(rows.first().map(|replay| replay.id)) {
        Some(before) => desk.list(project, before).await?.len() > 1,
        None => false,
    };
    let now = shared.now();
    let page = request.page(rows, |replay| replay.id, has_prev_page);
    let views: Vec<_> = page.content.iter().map(|replay| ReplayView::new(replay, now)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}
