//! `GET /connect/v1/events`.

use crate::Api;
use crate::connect::cursor::List;
use crate::connect::error::Error;
use crate::connect::paging::{Listed, PageRequest};
use crate::connect::view::{EventView, json};
use crate::connect::{Outcome, window};
use crate::query_string::QueryString;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::Id;
use dacapo_model::catalog::ProjectView;
use dacapo_store::roles::EventFilter;
use http::StatusCode;

pub async fn list(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let request = PageRequest::read(List::Events, &query)?;
    let filter = filter(&query, &caller.project)?;
    let rows = shared.store.events(caller.project_id(), filter, request.rows()).await?;
    let page = request.page(rows, |event| event.id);
    let data = page.data.iter().map(|event| EventView::new(event)).collect();
    Ok(json(StatusCode::OK, &Listed { has_more: page.has_more, data, cursor: page.cursor }))
}

fn filter(query: &QueryString, project: &ProjectView) -> Result<EventFilter, Error> {
    let window = window::read(query)?;
    let types: Vec<String> = match query.one("type") {
        None => Vec::new(),
        Some(list) => list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    };
    if let Some(unknown) = types.iter().find(|name| project.event_type(name).is_none()) {
        let message = format!(
            "{unknown:?} is no registered event type of this project: register it (POST /api/v1/projects/{}/event-types \
             with {{\"name\": {unknown:?}}}), or leave type out.",
            project.project.id
        );
        return Err(Error::parameter("invalid_type", "type", message));
    }
    let livemode = match query.one("livemode") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Error::parameter("invalid_livemode", "livemode", "livemode is true or false.")),
    };
    let invalid_related = || Error::parameter("invalid_related_to", "related_to", "related_to is a UUID.");
    let related_to =
        query.one("related_to").map(|text| Id::parse_uuid(text).ok_or_else(invalid_related)).transpose()?;
    Ok(EventFilter { event_types: types, livemode, related_to, window, ..EventFilter::default() })
}
