//! `GET ~/eventdeliveries` (§2.4.3).

use super::filter;
use crate::convoy::error::Error;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::delivery::DeliveryView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::Id;
use dacapo_store::StoreError;
use dacapo_store::roles::{self, DeliveryFilter};

const MESSAGE: &str = "Event deliveries fetched successfully";

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::sortable(&query)?;
    let filter = filter::read(&query, &shared, caller.project_id()).await?;
    let Some(filter) = filter.filter(|_| request.per_page > 0) else {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    };
    let page = page(&shared, caller.project_id(), filter, &request).await.map_err(Error::listing_deliveries)?;
    let now = shared.now();
    let rows = page.content.iter();
    let views: Vec<_> = rows.map(|row| DeliveryView::new(&row.delivery, &row.event, &caller.project, now)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}

async fn page(
    shared: &Shared,
    project: Id,
    filter: DeliveryFilter,
    request: &PageRequest,
) -> Result<Paged<roles::DeliveryView>, StoreError> {
    let rows = shared.store.deliveries(project, filter.clone(), request.rows()).await?;
    let rows = request.in_list_order(rows);
    let has_prev_page = match request.rows_before(rows.first().map(|row| row.delivery.id)) {
        Some(before) => shared.store.deliveries(project, filter, before).await?.len() > 1,
        None => false,
    };
    Ok(request.page(rows, |row| row.delivery.id, has_prev_page))
}
