//! Fields that create and update read alike.

use dacapo_model::json::decode::{BodyError, Object};
use dacapo_model::subscription::{AlertConfig, RateLimitConfig};

/// What `filter_config` says.
#[derive(Default)]
pub struct FilterConfig {
    pub event_types: Vec<String>,
    /// Whether any scope has a condition.
    pub conditions: bool,
}

/// An absent text is an empty one.
pub fn text(body: &Object<'_>, name: &str) -> Result<String, BodyError> {
    Ok(body.string(name)?.map(Into::into).unwrap_or_default())
}

pub fn filter_config(body: &Object<'_>) -> Result<FilterConfig, BodyError> {
    let Some(given) = body.object("filter_config")? else {
        return Ok(FilterConfig::default());
    };
    let event_types = given.string_list("event_types")?.unwrap_or_default();
    let Some(filter) = given.object("filter")? else {
        return Ok(FilterConfig { event_types, conditions: false });
    };
    let mut conditions = false;
    for scope in ["body", "headers", "query", "path"] {
        // Reading it as an object refuses what is none; its text says whether it is empty.
        filter.object(scope)?;
        conditions |= filter.raw(scope).is_some_and(|raw| !is_empty_object(raw.get()));
    }
    Ok(FilterConfig { event_types, conditions })
}

fn is_empty_object(text: &str) -> bool {
    let inside = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
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

    fn read(body: &str) -> Result<FilterConfig, BodyError> {
        filter_config(&Object::read(body.as_bytes())?)
    }

    #[test]
    fn empty_scopes_are_no_conditions() {
        for body in [
            "{}",
            r#"{"filter_config":null}"#,
            r#"{"filter_config":{"filter":{"is_flattened":true,"headers":{},"body":{ },"query":null,"path":{}}}}"#,
        ] {
            assert!(!read(body).expect("read").conditions, "{body}");
        }
        let given = read(r#"{"filter_config":{"event_types":["a"],"filter":{"body":{"x":1}}}}"#).expect("read");
        assert!(given.conditions);
        assert_eq!(given.event_types, ["a"]);
        assert!(read(r#"{"filter_config":{"filter":{"body":[]}}}"#).is_err());
    }
}
