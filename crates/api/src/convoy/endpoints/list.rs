//! `GET ~/endpoints` (§3.3).

use crate::Api;
use crate::convoy::paging::PageRequest;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::{EndpointQuery, matching};
use http::HeaderMap;

pub async fn list(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    query: QueryString,
    headers: HeaderMap,
) -> Outcome {
    let version = Version::of(&headers)?;
    let request = PageRequest::newest_first(&query)?;
    let asked = EndpointQuery {
        name_part: query.one("q").unwrap_or_default().to_owned(),
        owner_id: query.one("ownerId").unwrap_or_default().to_owned(),
    };
    let now = shared.now();
    let found: Vec<_> = matching(&caller.project, &asked).collect();
    let page = request.page_of(found, |endpoint| endpoint.id);
    let page = page.map(|endpoint| EndpointView::read(endpoint, version, shared.health_of(endpoint), now));
    Ok(envelope::ok("Endpoints fetched successfully", page))
}
