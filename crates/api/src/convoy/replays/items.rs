//! `GET ~/replays/{id}/items`: the deliveries a replay is made of, as `GET ~/eventdeliveries` shows
//! them, with why each ended. `status` narrows.

use super::{Kept, named};
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
use dacapo_model::replay::CallKind;
use dacapo_model::{Id, Status};
use dacapo_store::roles::{DeliveryFilter, DeliveryView, Page};

const MESSAGE: &str = "Replay items fetched successfully";

pub async fn items(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    query: QueryString,
) -> Outcome {
    let project = caller.project_id();
    let items = Items::of(&shared, project, named(&path)?).await?;
    let request = PageRequest::sortable(&query)?;
    if request.per_page == 0 {
        return Ok(envelope::ok(MESSAGE, Paged::<()>::empty(&request)));
    }
    let statuses = statuses(&query)?;
    let rows = request.in_list_order(items.page(&shared, project, &statuses, request.rows()).await?);
    let has_prev_page = match request.rows_before(rows.first().map(|row| row.delivery.id)) {
        Some(before) => items.page(&shared, project, &statuses, before).await?.len() > 1,
        None => false,
    };
    let page = request.page(rows, |row| row.delivery.id, has_prev_page);
    let now = shared.now();
    let endpoints = &caller.project.endpoints;
    let breaker = |row: &DeliveryView| endpoints.get(&row.delivery.endpoint_id).map(|one| shared.health_of(one).state);
    let views: Vec<_> = page.content.iter().map(|row| ItemView::new(row, &caller.project, breaker(row), now)).collect();
    Ok(envelope::ok(MESSAGE, Paged { content: views, pagination: page.pagination }))
}

/// Which deliveries.
pub(super) enum Items {
    /// That name it.
    Of(Id),
    /// That it put back, by id.
    Named(Vec<Id>),
}

impl Items {
    pub async fn of(shared: &Shared, project: Id, id: Id) -> Result<Self, Error> {
        let mut named = match Kept::of(shared, project, id).await? {
            Kept::Call(view) if view.call.kind() == CallKind::Resend => view.call.put_back().to_vec(),
            Kept::Call(_) | Kept::Run(_) => return Ok(Self::Of(id)),
        };
        named.sort_unstable();
        Ok(Self::Named(named))
    }

    pub async fn page(
        &self,
        shared: &Shared,
        project: Id,
        statuses: &[Status],
        page: Page,
    ) -> Result<Vec<DeliveryView>, Error> {
        let named = match self {
            Self::Of(id) => {
                let filter =
                    DeliveryFilter { replay: Some(*id), statuses: statuses.to_vec(), ..DeliveryFilter::default() };
                return shared.store.deliveries(project, filter, page).await.map_err(Error::listing_deliveries);
            }
            Self::Named(ids) => ids,
        };
        let mut rows = Vec::new();
        let mut ids: Vec<Id> = named.iter().copied().filter(|id| page.reaches(*id)).collect();
        if !page.ascending {
            ids.reverse();
        }
        for id in ids {
            if rows.len() >= page.limit {
                break;
            }
            let found = shared.store.delivery(project, id).await.map_err(Error::listing_deliveries)?;
            rows.extend(found.filter(|row| statuses.is_empty() || statuses.contains(&row.delivery.status)));
        }
        Ok(rows)
    }
}

pub(super) fn statuses(query: &QueryString) -> Result<Vec<Status>, Error> {
    let known = || Status::ALL.map(Status::as_str).join(", ");
    let read = |text| Status::parse(text).ok_or_else(|| Error::bad(format!("status: {text} is none of {}", known())));
    query.all("status").map(read).collect()
}
