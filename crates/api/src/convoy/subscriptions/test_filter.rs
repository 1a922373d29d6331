//! `POST ~/subscriptions/test_filter` (§4.5): would this filter match that request?

use super::fields;
use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::{Outcome, envelope};
use dacapo_model::filter::Document;
use dacapo_model::filter::scopes::{Conditions, Scopes};
use dacapo_model::json::decode::Object;

pub async fn test_filter(Payload(body): Payload) -> Outcome {
    let body = Object::read(&body)?;
    let request = body.object("request")?.unwrap_or_default();
    let conditions = schema(&body.object("schema")?.unwrap_or_default())?;
    let text = |scope| request.raw(scope).map_or(b"".as_slice(), |raw| raw.get().as_bytes());
    let scopes = Scopes::of(
        Document::headers_json(text("header")),
        Document::body(text("body")),
        Document::parameters_json(text("query")),
        Document::parameters_json(text("path")),
    );
    // What is wrong is said where filters are written; here clients compare the text.
    let failed = || Error::bad("failed to validate subscription filter");
    let matcher = conditions.compile().map_err(|_| failed())?;
    let matches = matcher.matches(&scopes).map_err(|_| failed())?;
    Ok(envelope::ok("Filter validated successfully", matches))
}

/// The headers' filter is called `header` here.
fn schema(given: &Object<'_>) -> Result<Conditions, Error> {
    Ok(Conditions {
        headers: fields::written(given, "header")?,
        body: fields::written(given, "body")?,
        query: fields::written(given, "query")?,
        path: fields::written(given, "path")?,
    })
}
