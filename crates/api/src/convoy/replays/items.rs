//! `GET ~/replays/{id}/items`: the deliveries a replay is made of, as `GET ~/eventdeliveries` shows
//! them, with why each ended. `status` narrows.

use super::named;
use crate::convoy::error::Error;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::replay::ItemView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::{Id, Status};
use dacapo_store::roles::{DeliveryFilter, DeliveryView, Page};

const MESSAGE: &str = "Replay items fetched successfully";

pub async fn items(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    query: QueryString,
) -> Outcome {
    let (project, id) = (caller.project_id(), named(&path)?);
    shared.engine.replays().get(project, id).await?;
    let request = PageRequest::sortable(&query)?;
    if request.per_page == 0 {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    }
    let statuses = statuses(&query)?;
    let rows = request.in_list_order(page_of(&shared, project, id, &statuses, request.rows()).await?);
    let has_prev_page = match request.rows_before(rows.first().map(|row| row.delivery.id)) {
        Some(before) => page_of(&shared, project, id, &statuses, before).await?.len() > 1,
        None => false,
    };
    let page = request.page(rows, |row| row.delivery.id, has_prev_page);
    let now = shared.now();
    let views: Vec<_> = page.content.iter().map(|row| ItemView::new(row, &caller.project, now)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}

pub(super) async fn page_of(
    shared: &Shared,
    project: Id,
    replay: Id,
    statuses: &[Status],
    page: Page,
) -> Result<Vec<DeliveryView>, Error> {
    let filter = DeliveryFilter { replay: Some(replay), statuses: statuses.to_vec(), ..DeliveryFilter::default() };
    shared.store.deliveries(project, filter, page).await.map_err(Error::listing_deliveries)
}

pub(super) fn statuses(query: &QueryString) -> Result<Vec<Status>, Error> {
    let known = || Status::ALL.map(Status::as_str).join(", ");
    let read = |text| Status::parse(text).ok_or_else(|| Error::bad(format!("status: {text} is none of {}", known())));
    query.all("status").map(read).collect()
}
