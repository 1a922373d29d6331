//! Fields that create and update read alike.

use crate::convoy::error::Error;
use crate::convoy::tree;
use dacapo_model::filter::scopes::{Conditions, Written};
use dacapo_model::json::decode::{BodyError, Object};
use dacapo_model::subscription::{AlertConfig, RateLimitConfig};
use serde_json::Value;

/// What `filter_config` says.
#[derive(Default)]
pub struct FilterConfig {
    pub event_types: Vec<String>,
    /// `None`: there is no `filter_config`. One without conditions takes away those there were (§4.2).
    pub conditions: Option<Conditions>,
}

/// An absent text is an empty one.
pub fn text(body: &Object<'_>, name: &str) -> Result<String, BodyError> {
    Ok(body.string(name)?.map(Into::into).unwrap_or_default())
}

pub fn filter_config(body: &Object<'_>) -> Result<FilterConfig, Error> {
    let Some(given) = body.object("filter_config")? else {
        return Ok(FilterConfig::default());
    };
    let event_types = given.string_list("event_types")?.unwrap_or_default();
    let Some(filter) = given.object("filter")? else {
        return Ok(FilterConfig { event_types, conditions: Some(Conditions::default()) });
    };
    let conditions = Conditions {
        headers: written(&filter, "headers")?,
        body: written(&filter, "body")?,
        query: written(&filter, "query")?,
        path: written(&filter, "path")?,
    };
    Ok(FilterConfig { event_types, conditions: Some(conditions) })
}

/// The filter of one scope; an absent one is empty.
pub fn written(around: &Object<'_>, scope: &'static str) -> Result<Written, Error> {
    if around.object(scope)?.is_none() {
        return Ok(Written::new());
    }
    let text = around.raw(scope).map_or("{}", |raw| raw.get());
    match tree::read(text.as_bytes(), &format!("the {scope} filter"))? {
        Value::Object(written) => Ok(written),
        _ => Ok(Written::new()),
    }
}

pub fn rate_limit_config(body: &Object<'_>) -> Result<Option<RateLimitConfig>, BodyError> {
    let Some(given) = body.object("rate_limit_config")? else {
        return Ok(None);
    };
    let count = given.u64("count")?.unwrap_or_default();
    let duration = given.u64("duration")?.unwrap_or_default();
    Ok(Some(RateLimitConfig { count, duration }))
}

pub fn alert_config(body: &Object<'_>) -> Result<Option<AlertConfig>, BodyError> {
    let Some(given) = body.object("alert_config")? else {
        return Ok(None);
    };
    Ok(Some(AlertConfig { count: given.u64("count")?.unwrap_or_default(), threshold: text(&given, "threshold")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<FilterConfig, Error> {
        filter_config(&Object::read(body.as_bytes())?)
    }

    #[test]
    fn what_is_not_given_is_told_from_what_is_empty() {
        assert!(read(r#"{"name":"a"}"#).expect("read").conditions.is_none());
        let reset = read(r#"{"filter_config":{"event_types":["a"]}}"#).expect("read");
        assert!(reset.conditions.expect("none are conditions too").is_empty());
        let filter = r#"{"is_flattened":true,"headers":{},"body":{ },"query":null}"#;
        let empty = read(&format!(r#"{{"filter_config":{{"filter":{filter}}}}}"#)).expect("read");
        assert!(empty.conditions.expect("given").is_empty());
        let given = read(r#"{"filter_config":{"event_types":["a"],"filter":{"body":{"x":1}}}}"#).expect("read");
        assert_eq!(given.conditions.expect("given").body["x"], 1);
        assert_eq!(given.event_types, ["a"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
        for scope in ["[]", "1", r#""{}""#, &deep] {
            let refused = read(&format!(r#"{{"filter_config":{{"filter":{{"path":{scope}}}}}}}"#));
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{scope}");
        }
    }
}
