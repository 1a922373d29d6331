//! From JSON to a selector. Fields are taken one by one, so an error names the field it is about.

use super::error::{Problem, SelectorError};
use super::event_types::{EventTypes, Pattern};
use super::{
    DeliveryStatus, EVENT_TYPES_MAX, EventStatus, HttpStatus, IDS_MAX, Moment, Selector, SetMode, TEXT_BYTES_MAX,
};
use crate::filter::scopes::{Conditions, Written};
use crate::id::Id;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, Problem>;

const TEXT: &str = "a text";
const TEXTS: &str = "an array of texts";

impl Selector {
    /// Errors: the first field that is wrong. Work and memory are bounded by the constants of this
    /// module and of `filter`, once `selector` is there.
    pub fn parse(selector: &Value) -> std::result::Result<Self, SelectorError> {
        let Value::Object(fields) = selector else {
            return Err(SelectorError::new("selector", Problem::NotAnObject));
        };
        Self::parse_object(fields)
    }

    /// As [`Self::parse`], from the inside of an object.
    pub fn parse_object(fields: &Map<String, Value>) -> std::result::Result<Self, SelectorError> {
        let mut selector = Self::default();
        for (field, value) in fields {
            selector.set(field, value).map_err(|problem| SelectorError::new(field.as_str(), problem))?;
        }
        selector.check_mode()?;
        Ok(selector)
    }

    fn set(&mut self, field: &str, value: &Value) -> Result<()> {
        match field {
            "mode" => self.mode = one_of(value, SetMode::parse, MODES)?,
            "from" => self.from = Some(moment(value)?),
            "to" => self.to = Some(moment(value)?),
            "event_types" => self.event_types = event_types(value)?,
            "endpoint_ids" => self.endpoint_ids = ids(value)?,
            "owner_ids" => self.owner_ids = bounded(&list(value, TEXTS)?)?.iter().map(owned).collect::<Result<_>>()?,
            "source_ids" => self.source_ids = ids(value)?,
            "event_ids" => self.event_ids = ids(value)?,
            "idempotency_key" => self.idempotency_key = Some(owned(&value)?),
            "event_status" => self.event_status = statuses(value, EventStatus::parse, EVENT_STATUSES)?,
            "delivery_status" => self.delivery_status = statuses(value, DeliveryStatus::parse, DELIVERY_STATUSES)?,
            "http_status" => self.http_status = http_statuses(value)?,
            "attempts_min" => self.attempts_min = Some(attempts(value)?),
            "replay_id" => self.replay_id = Some(id(value)?),
            "subscription_ids" => self.subscription_ids = ids(value)?,
            "filter" => self.filter = conditions(value)?,
            _ => return Err(Problem::UnknownField),
        }
        Ok(())
    }
}

const MODES: &str = "failed, missing, all or discarded";
const EVENT_STATUSES: &str = "Success, Failure or Processing";
const DELIVERY_STATUSES: &str = "Scheduled, Processing, Retry, Success, Failure or Discarded";

/// A list, or one value that stands for a list of itself.
fn list<'v>(value: &'v Value, needs: &'static str) -> Result<Vec<&'v Value>> {
    match value {
        Value::Array(items) if items.is_empty() => Err(Problem::Empty),
        Value::Array(items) => Ok(items.iter().collect()),
        Value::String(_) | Value::Number(_) => Ok(vec![value]),
        _ => Err(Problem::Needs(needs)),
    }
}

fn bounded<'a, 'v>(items: &'a [&'v Value]) -> Result<&'a [&'v Value]> {
    if items.len() > IDS_MAX { Err(Problem::TooManyIds(items.len())) } else { Ok(items) }
}

fn text(value: &Value) -> Result<&str> {
    let text = value.as_str().ok_or(Problem::Needs(TEXT))?;
    match text.len() {
        0 => Err(Problem::Empty),
        1..=TEXT_BYTES_MAX => Ok(text),
        _ => Err(Problem::TextTooLong),
    }
}

fn owned(value: &&Value) -> Result<String> {
    text(value).map(str::to_owned)
}

fn one_of<T>(value: &Value, parse: fn(&str) -> Option<T>, known: &'static str) -> Result<T> {
    let text = text(value)?;
    parse(text).ok_or_else(|| Problem::NotOneOf(text.to_owned(), known))
}

/// Each once: more of them than there are would say nothing more.
fn statuses<T: PartialEq>(value: &Value, parse: fn(&str) -> Option<T>, known: &'static str) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for item in list(value, TEXTS)? {
        push_once(&mut found, one_of(item, parse, known)?);
    }
    Ok(found)
}

fn push_once<T: PartialEq>(found: &mut Vec<T>, item: T) {
    if !found.contains(&item) {
        found.push(item);
    }
}

fn moment(value: &Value) -> Result<Moment> {
    let text = text(value)?;
    Moment::parse(text).ok_or_else(|| Problem::NotATime(text.to_owned()))
}

/// In either spelling an event's id has.
fn id(value: &Value) -> Result<Id> {
    let text = text(value)?;
    text.parse().ok().or_else(|| Id::parse_event(text)).ok_or_else(|| Problem::NotAnId(text.to_owned()))
}

fn ids(value: &Value) -> Result<Vec<Id>> {
    let mut ids: Vec<Id> =
        bounded(&list(value, "an array of ids")?)?.iter().map(|one| id(one)).collect::<Result<_>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn event_types(value: &Value) -> Result<EventTypes> {
    let items = list(value, TEXTS)?;
    if items.len() > EVENT_TYPES_MAX {
        return Err(Problem::TooManyEventTypes);
    }
    let patterns = items.into_iter().map(|item| Pattern::parse(text(item)?));
    patterns.collect::<Result<_>>().map(EventTypes::new)
}

fn http_statuses(value: &Value) -> Result<Vec<HttpStatus>> {
    let mut found = Vec::new();
    for item in list(value, "an array of codes and classes")? {
        let parsed = match item {
            Value::Number(code) => code.as_u64().and_then(HttpStatus::of_code),
            other => HttpStatus::parse(text(other)?),
        };
        push_once(
            &mut found,
            parsed.ok_or_else(|| Problem::HttpStatus(item.to_string().trim_matches('"').to_owned()))?,
        );
    }
    Ok(found)
}

fn attempts(value: &Value) -> Result<u32> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or(Problem::Needs("a whole number of at least 1"))
}

fn conditions(value: &Value) -> Result<Conditions> {
    let Value::Object(scopes) = value else {
        return Err(Problem::Needs(
            "an object with body, headers, query or path, such as {\"body\":{\"amount\":{\"$gte\":1000}}}",
        ));
    };
    let mut conditions = Conditions::default();
    for (scope, written) in scopes {
        let place: &mut Written = match scope.as_str() {
            "headers" => &mut conditions.headers,
            "body" => &mut conditions.body,
            "query" => &mut conditions.query,
            "path" => &mut conditions.path,
            other => return Err(Problem::UnknownScope(other.to_owned())),
        };
        let Value::Object(written) = written else { return Err(Problem::Needs("a JSON object for each scope")) };
        *place = written.clone();
    }
    if conditions.is_empty() {
        return Err(Problem::Empty);
    }
    conditions.compile().map_err(Problem::Filter)?;
    Ok(conditions)
}
