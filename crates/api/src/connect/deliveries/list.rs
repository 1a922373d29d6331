//! `GET /connect/v1/webhook-deliveries`.

use super::filter::Filter;
use crate::connect::Outcome;
use crate::connect::cursor::List;
use crate::connect::paging::{Listed, PageRequest};
use crate::connect::view::{DeliveryView, json};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::{Delivery, Id};
use dacapo_store::StoreError;
use dacapo_store::roles::Page;
use http::StatusCode;

/// Reads for one page at most. A page that is not full by then says where to go on.
const READS_MAX: usize = 20;

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::read(List::Deliveries, &query)?;
    let Some(filter) = Filter::read(&query)? else {
        return Ok(json(StatusCode::OK, &Listed::<()>::nothing()));
    };
    let (rows, next) = collect(&shared, caller.project_id(), &filter, &request).await?;
    let views: Vec<_> = rows.iter().map(DeliveryView::listed).collect();
    Ok(json(StatusCode::OK, &request.listed(views, next)))
}

/// The rows of one page, and where the next begins.
async fn collect(
    shared: &Shared,
    project: Id,
    filter: &Filter,
    request: &PageRequest,
) -> Result<(Vec<Delivery>, Option<Id>), StoreError> {
    let mut shown = Vec::with_capacity(request.limit);
    let mut page: Page = request.rows();
    for _ in 0..READS_MAX {
        let mut rows = shared.store.deliveries(project, filter.stored.clone(), page).await?;
        // One row more than the page shows was asked for: the next read, or the next page, begins with it.
        let beyond = if rows.len() == page.limit { rows.pop().map(|row| row.delivery.id) } else { None };
        for row in rows.into_iter().filter(|row| filter.admits(&row.delivery)) {
            if shown.len() == request.limit {
                return Ok((shown, Some(row.delivery.id)));
            }
            shown.push(row.delivery);
        }
        if beyond.is_none() || shown.len() == request.limit {
            return Ok((shown, beyond));
        }
        page.from = beyond;
    }
    Ok((shown, page.from))
}
