//! `GET ~/subscriptions` (§4.2).

use crate::Api;
use crate::convoy::paging::{PageRequest, Paged};
use crate::convoy::view::subscription::SubscriptionView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::subscriptions::{SubscriptionQuery, matching};

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::newest_first(&query)?;
    let named = query.all("endpointId").next().is_some();
    let asked = SubscriptionQuery {
        endpoints: query.all("endpointId").filter_map(|text| text.parse().ok()).collect(),
        name_part: query.one("name").unwrap_or_default().to_owned(),
    };
    let message = "Subscriptions fetched successfully";
    if named && asked.endpoints.is_empty() {
        return Ok(envelope::ok(message, Paged::<()>::empty(&request)));
    }
    let now = shared.now();
    let found: Vec<_> = matching(&caller.project, &asked).collect();
    let page = request.page_of(found, |subscription| subscription.id);
    let page = page.map(|subscription| SubscriptionView::read(subscription, &caller.project, now));
    Ok(envelope::ok(message, page))
}
