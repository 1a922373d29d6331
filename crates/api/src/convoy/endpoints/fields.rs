//! Fields that create and update read alike, in the words of the request's version (§1.10).

use crate::convoy::go_duration;
use crate::convoy::version::Version;
use dacapo_control::endpoints::{NewAuthentication, RecoverySetting};
use dacapo_model::json::decode::{BodyError, Object};
use std::borrow::Cow;

/// An absent text is an empty one.
pub fn text(body: &Object<'_>, name: &str) -> Result<String, BodyError> {
    Ok(body.string(name)?.map(Into::into).unwrap_or_default())
}

/// `None` when absent.
pub fn optional_text(body: &Object<'_>, name: &str) -> Result<Option<String>, BodyError> {
    Ok(body.string(name)?.map(Into::into))
}

/// A text that older versions name differently.
pub fn renamed_text(body: &Object<'_>, version: Version, name: &str, old_name: &str) -> Result<String, BodyError> {
    if version.old_names && !body.has(name) {
        return text(body, old_name);
    }
    text(body, name)
}

/// Whole seconds. Older versions may write a Go duration (`"1m30s"`), today's may not.
pub fn seconds(body: &Object<'_>, version: Version, name: &str) -> Result<u64, BodyError> {
    let is_text = body.raw(name).is_some_and(|raw| raw.get().starts_with('"'));
    if !version.duration_strings || !is_text {
        return Ok(body.u64(name)?.unwrap_or_default());
    }
    let given = text(body, name)?;
    if given.is_empty() {
        return Ok(0);
    }
    let duration = go_duration::parse(&given).ok_or(BodyError::WrongField { field: name.to_owned() })?;
    Ok(duration.as_secs())
}

pub fn authentication(body: &Object<'_>) -> Result<Option<NewAuthentication>, BodyError> {
    let Some(given) = body.object("authentication")? else {
        return Ok(None);
    };
    let api_key = given.object("api_key")?;
    let basic_auth = given.object("basic_auth")?;
    Ok(Some(NewAuthentication {
        kind: text(&given, "type")?,
        api_key: api_key.map(|part| Ok((text(&part, "header_name")?, text(&part, "header_value")?))).transpose()?,
        basic_auth: basic_auth.map(|part| Ok((text(&part, "username")?, text(&part, "password")?))).transpose()?,
    }))
}

/// Whether a client certificate was given; both parts empty is none.
pub fn has_certificate(body: &Object<'_>) -> Result<bool, BodyError> {
    let Some(given) = body.object("mtls_client_cert")? else {
        return Ok(false);
    };
    Ok(!text(&given, "client_cert")?.is_empty() || !text(&given, "client_key")?.is_empty())
}

/// Ours, so what is wrong with it is refused by its name, as values out of range are, and not in Convoy's words.
pub fn recovery(body: &Object<'_>) -> Option<RecoverySetting> {
    const NOTHING: RecoverySetting = RecoverySetting { enabled: None, lookback: None };
    let given = match body.object("recover_on_heal") {
        Ok(given) => given?,
        Err(_) => return Some(NOTHING),
    };
    let seconds = |text: Cow<'_, str>| go_duration::parse(&text).map_or(0, |lookback| lookback.as_secs());
    Some(match (given.unknown(&["enabled", "lookback"]), given.bool("enabled"), given.string("lookback")) {
        (None, Ok(enabled), Ok(lookback)) => RecoverySetting { enabled, lookback: lookback.map(seconds) },
        (None, Ok(enabled), Err(_)) => RecoverySetting { enabled, lookback: Some(0) },
        _ => NOTHING,
    })
}
