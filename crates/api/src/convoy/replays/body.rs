//! What a caller writes about a replay. Every field is known or refused: a misspelt `dry_run` must not
//! start one.

use crate::convoy::error::Error;
use crate::convoy::tree;
use dacapo_control::endpoint_url;
use dacapo_engine::Pace;
use dacapo_model::Id;
use dacapo_model::json::decode::Object;
use dacapo_model::replay::{
    AsOf, CONCURRENCY_MAX, Elsewhere, NAME_CHARS_MAX, Options, Order, RATE_MAX, REASON_CHARS_MAX, Version,
};
use dacapo_model::selector::{Selector, SelectorError, SetMode};
use serde_json::{Map, Value};

/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

pub struct Written {
    pub name: String,
    pub reason: String,
    pub given: Value,
    pub selector: Selector,
    pub options: Options,
    pub dry_run: bool,
    pub expected: Option<u64>,
    pub confirm_unbounded: bool,
    pub key: Option<String>,
    /// The body, alike for all that mean the same but for spaces and the order of names.
    pub canonical: String,
}

/// The whole body of `POST ~/replays`.
pub fn read(body: &[u8], https_only: bool) -> Result<Written, Error> {
    let fields = object(body)?;
    let mut written = Written {
        canonical: canonical(&fields),
        name: String::new(),
        reason: String::new(),
        given: Value::Null,
        selector: Selector::default(),
        options: Options::default(),
        dry_run: false,
        expected: None,
        confirm_unbounded: false,
        key: None,
    };
    let mut mode = None;
    for (field, value) in &fields {
        match field.as_str() {
            "name" => written.name = text(field, value, NAME_CHARS_MAX)?,
            "reason" => written.reason = text(field, value, REASON_CHARS_MAX)?,
            "selector" => written.given = value.clone(),
            "mode" => mode = Some(one_of(field, value, SetMode::parse, "failed, missing, all or discarded")?),
            "options" => written.options = options(value, https_only)?,
            "dry_run" => written.dry_run = flag(field, value)?,
            "expected_count" => written.expected = optional(value, |value| count(field, value))?,
            "confirm_unbounded" => written.confirm_unbounded = flag(field, value)?,
            "idempotency_key" => written.key = Some(key(field, value)?),
            _ => {
                return Err(unknown(
                    field,
                    "name, reason, selector, mode, options, dry_run, expected_count, confirm_unbounded and idempotency_key",
                ));
            }
        }
    }
    if written.given.is_null() {
        return Err(Error::bad("selector: it says which events are meant, such as {\"from\": \"-1h\"}"));
    }
    written.selector = Selector::parse(&written.given).map_err(of_selector)?;
    if let Some(mode) = mode {
        written.selector.mode = mode;
        written.selector.check_mode().map_err(of_selector)?;
    }
    Ok(written)
}

fn canonical(fields: &Map<String, Value>) -> String {
    let mut sorted = Value::Object(fields.clone());
    sorted.sort_all_objects();
    sorted.to_string()
}

/// `PATCH ~/replays/{id}`: any of the rates and concurrencies; `null` lifts all but the replay's own
/// concurrency.
pub fn read_pace(body: &[u8]) -> Result<Pace, Error> {
    let fields = object(body)?;
    let mut pace = Pace::default();
    for (field, value) in &fields {
        let cap = |most| optional(value, |value| within(field, value, most)).map(Some);
        match field.as_str() {
            "rate" => pace.rate = cap(RATE_MAX)?,
            "concurrency" => pace.concurrency = Some(within(field, value, CONCURRENCY_MAX)?),
            "endpoint_rate" => pace.endpoint_rate = cap(RATE_MAX)?,
            "endpoint_concurrency" => pace.endpoint_concurrency = cap(CONCURRENCY_MAX)?,
            _ => return Err(unknown(field, "rate, concurrency, endpoint_rate and endpoint_concurrency")),
        }
    }
    if pace == Pace::default() {
        return Err(Error::bad(
            "rate: say what is to change: rate, concurrency, endpoint_rate or endpoint_concurrency",
        ));
    }
    Ok(pace)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    // Says what is wrong with the text, as everywhere on this surface.
    Object::read(body)?;
    match tree::read(body, "body")? {
        Value::Object(fields) => Ok(fields),
        Value::Null => Ok(Map::new()),
        _ => Err(Error::bad("body contains badly-formed JSON")),
    }
}

/// Under its place in the body; of the selector as a whole there is nothing to add.
pub fn of_selector(error: SelectorError) -> Error {
    match error.field.as_str() {
        "selector" => Error::bad(error.to_string()),
        _ => Error::bad(format!("selector.{error}")),
    }
}

fn options(value: &Value, https_only: bool) -> Result<Options, Error> {
    let mut options = Options::default();
    for (name, value) in map("options", value)? {
        let field = &format!("options.{name}");
        match name.as_str() {
            "rate" => options.rate = optional(value, |value| within(field, value, RATE_MAX))?,
            "concurrency" => options.concurrency = within(field, value, CONCURRENCY_MAX)?,
            "endpoint_rate" => options.endpoint_rate = optional(value, |value| within(field, value, RATE_MAX))?,
            "endpoint_concurrency" => {
                options.endpoint_concurrency = optional(value, |value| within(field, value, CONCURRENCY_MAX))?;
            }
            "order" => options.order = one_of(field, value, Order::parse, "unordered or per_endpoint")?,
            "include_succeeded" => options.include_succeeded = flag(field, value)?,
            "as_of" => options.as_of = as_of(value)?,
            "target" => options.target = optional(value, |value| target(value, https_only))?,
            _ => {
                let known = "rate, concurrency, endpoint_rate, endpoint_concurrency, order, include_succeeded, as_of and target";
                return Err(unknown(field, known));
            }
        }
    }
    if options.target.is_some() && !options.as_of.is_current() {
        return Err(Error::bad("options.as_of: with a target, what is sent is the target's own; leave as_of out"));
    }
    Ok(options)
}

fn as_of(value: &Value) -> Result<AsOf, Error> {
    let mut as_of = AsOf::default();
    for (name, value) in map("options.as_of", value)? {
        let field = &format!("options.as_of.{name}");
        let version = || one_of(field, value, Version::parse, "original or current");
        match name.as_str() {
            "url" => as_of.url = version()?,
            "headers" => as_of.headers = version()?,
            "secret" => as_of.secret = version()?,
            "function" => {
                return Err(Error::bad("options.as_of.function: functions are not available yet; leave it out"));
            }
            _ => return Err(unknown(field, "url, headers and secret")),
        }
    }
    Ok(as_of)
}

fn target(value: &Value, https_only: bool) -> Result<Elsewhere, Error> {
    let (mut endpoint, mut url, mut secret) = (None, None, String::new());
    for (name, value) in map("options.target", value)? {
        let field = &format!("options.target.{name}");
        match name.as_str() {
            "endpoint_id" => {
                let text = text(field, value, usize::MAX)?;
                let id = text.parse::<Id>().map_err(|_| Error::bad(format!("{field}: {text} is no endpoint's id")))?;
                endpoint = Some(id);
            }
            "url" => url = Some(address(field, &text(field, value, usize::MAX)?, https_only)?),
            "secret" => secret = text(field, value, NAME_CHARS_MAX)?,
            _ => return Err(unknown(field, "endpoint_id, or url and secret")),
        }
    }
    match (endpoint, url) {
        (Some(_), None) if !secret.is_empty() => {
            Err(Error::bad("options.target.secret: an endpoint signs with its own; leave it out"))
        }
        (Some(id), None) => Ok(Elsewhere::Endpoint(id)),
        (None, Some(url)) => Ok(Elsewhere::Url { url, secret }),
        (None, None) | (Some(_), Some(_)) => {
            Err(Error::bad("options.target: say where: either endpoint_id, or url (with secret, to have it signed)"))
        }
    }
}

/// Kept with the replay and shown, so there is no secret in it; and nobody but the replay ever sends there, so what
/// cannot be connected to is not worth a try.
fn address(field: &str, text: &str, https_only: bool) -> Result<String, Error> {
    let bad = |why: &dyn std::fmt::Display| Error::bad(format!("{field}: {why}"));
    let url = endpoint_url::normalise(text, https_only).map_err(|refusal| bad(&refusal))?;
    let uri: http::Uri = url.parse().map_err(|cause| bad(&cause))?;
    let Some(authority) = uri.authority() else { return Ok(url) };
    if authority.as_str().contains('@') {
        return Err(bad(
            &"a user name and a password in it would be shown to everybody who sees the replay; make an endpoint \
              with basic_auth, and give its endpoint_id",
        ));
    }
    let has_port = authority.as_str().len() > authority.host().len() + ":".len();
    if has_port && authority.port_u16().unwrap_or(0) == 0 {
        return Err(bad(&"nobody listens on that port; use one from 1 to 65535"));
    }
    Ok(url)
}

fn map<'v>(field: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| Error::bad(format!("{field}: it needs a JSON object")))
}

fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T, Error>) -> Result<Option<T>, Error> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

fn text(field: &str, value: &Value, chars_max: usize) -> Result<String, Error> {
    let text = value.as_str().ok_or_else(|| Error::bad(format!("{field}: it needs a text")))?;
    if text.chars().count() > chars_max {
        return Err(Error::bad(format!("{field}: at most {chars_max} characters")));
    }
    Ok(text.to_owned())
}

fn key(field: &str, value: &Value) -> Result<String, Error> {
    let text = value.as_str().ok_or_else(|| Error::bad(format!("{field}: it needs a text")))?;
    match text.len() {
        1..=KEY_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(Error::bad(format!("{field}: 1 to {KEY_BYTES_MAX} bytes"))),
    }
}

fn flag(field: &str, value: &Value) -> Result<bool, Error> {
    value.as_bool().ok_or_else(|| Error::bad(format!("{field}: it needs true or false")))
}

fn count(field: &str, value: &Value) -> Result<u64, Error> {
    value.as_u64().ok_or_else(|| Error::bad(format!("{field}: it needs a whole number")))
}

fn within(field: &str, value: &Value, most: u32) -> Result<u32, Error> {
    let number =
        value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=most).contains(number));
    let hint = if field.ends_with("rate") { "; to stop for a while, pause the replay" } else { "" };
    number.ok_or_else(|| Error::bad(format!("{field}: it needs a whole number from 1 to {most}{hint}")))
}

fn one_of<T>(field: &str, value: &Value, parse: fn(&str) -> Option<T>, known: &str) -> Result<T, Error> {
    let text = value.as_str().and_then(parse);
    text.ok_or_else(|| Error::bad(format!("{field}: it needs to be {known}")))
}

fn unknown(field: &str, known: &str) -> Error {
    Error::bad(format!("{field}: there is no such field; there are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_under_its_place_in_the_body() {
        let deep = format!(r#"{{"selector":{{"filter":{{"body":{}1{}}}}}}}"#, r#"{"a":"#.repeat(500), "}".repeat(500));
        for (body, says) in [
            (r#"{"selector":5}"#, "selector: must be a JSON object"),
            (r#"{"selector":[]}"#, "selector: must be a JSON object"),
            (r#"{"selector":{"from":5}}"#, "selector.from: needs a text"),
            (r#"{"selector":{"since":"-1h"}}"#, "selector.since: is no field of a selector"),
            (
                r#"{"selector":{"attempts_min":2},"mode":"missing"}"#,
                "selector.attempts_min: cannot go with mode missing",
            ),
            (&deep, "body: it is nested too deep: a filter is at most 32 levels deep"),
        ] {
            match read(body.as_bytes(), false) {
                Err(Error::BadRequest(text)) => assert!(text.starts_with(says), "{body:.99}: {text}"),
                Err(other) => panic!("{body:.99}: {other:?}"),
                Ok(_) => panic!("{body:.99} is read"),
            }
        }
    }
}
