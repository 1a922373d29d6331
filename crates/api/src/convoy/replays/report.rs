//! `GET ~/replays/{id}/report`: every item as a line of JSON, oldest first, read as the caller takes
//! them. `status` narrows.

use super::items::{Items, statuses};
use super::named;
use crate::convoy::Outcome;
use crate::convoy::view::replay::line;
use crate::path::Named;
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use dacapo_control::Caller;
use dacapo_model::{Id, Status};
use dacapo_store::roles::Page;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use std::sync::Arc;

/// Items read at a time.
const ITEMS_PER_READ: usize = 500;
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

struct Reading {
    shared: Arc<Shared>,
    project: Id,
    items: Items,
    statuses: Vec<Status>,
    from: Option<Id>,
    is_over: bool,
}

pub async fn report(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    query: QueryString,
) -> Outcome {
    let project = caller.project_id();
    let items = Items::of(&shared, project, named(&path)?).await?;
    let statuses = statuses(&query)?;
    let reading = Reading { shared, project, items, statuses, from: None, is_over: false };
    // A read that fails breaks the answer off: half a report does not look like a whole one.
    let lines = stream::try_unfold(reading, |mut reading| async move {
        if reading.is_over {
            return Ok::<_, std::io::Error>(None);
        }
        let chunk = reading.next().await.map_err(|_| std::io::Error::other("the report could not be read on"))?;
        Ok(Some((chunk, reading)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, NDJSON);
    Ok(response)
}

impl Reading {
    async fn next(&mut self) -> Result<Vec<u8>, crate::convoy::error::Error> {
        let page = Page { limit: ITEMS_PER_READ + 1, from: self.from, ascending: true };
        let mut rows = self.items.page(&self.shared, self.project, &self.statuses, page).await?;
        self.is_over = rows.len() <= ITEMS_PER_READ;
        if !self.is_over {
            self.from = rows.pop().map(|row| row.delivery.id);
        }
        let mut lines = Vec::new();
        for row in &rows {
            line(&row.delivery, &row.event, &mut lines);
        }
        Ok(lines)
    }
}
