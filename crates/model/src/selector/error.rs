//! What can be wrong with a selector: the field, and what to write instead.

use super::{EVENT_TYPES_MAX, IDS_MAX, TEXT_BYTES_MAX};
use crate::filter::scopes::ScopeError;
use crate::id::NotAnId;

/// Prints as `field: what to do`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SelectorError {
    /// As in the selector, such as `endpoint_ids` or `filter`; `selector` for the whole of it.
    pub field: String,
    pub problem: Problem,
}

impl SelectorError {
    pub fn new(field: impl Into<String>, problem: Problem) -> Self {
        Self { field: field.into(), problem }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("must be a JSON object, such as {{\"from\":\"-2h\",\"event_types\":[\"invoice.*\"]}}")]
    NotAnObject,
    #[error("is no field of a selector: use {FIELDS}")]
    UnknownField,
    #[error("needs {0}")]
    Needs(&'static str),
    #[error("is empty: name at least one, or leave the field out")]
    Empty,
    #[error(
        "{0:?} is no time: write RFC 3339 such as 2026-01-02T15:04:05Z, or a span back from now such as -2h or -1d12h"
    )]
    NotATime(String),
    #[error("{0:?} is no id: {NotAnId}")]
    NotAnId(String),
    #[error("names {0}, more than {IDS_MAX}: use a time range and other conditions, or several selectors")]
    TooManyIds(usize),
    #[error("names more than {EVENT_TYPES_MAX}: use a wildcard such as invoice.*")]
    TooManyEventTypes,
    #[error("holds a text of more than {TEXT_BYTES_MAX} bytes")]
    TextTooLong,
    #[error("{0:?}: a * stands only at the end, as in invoice.*")]
    Wildcard(String),
    #[error("{0:?} is not known: use {1}")]
    NotOneOf(String, &'static str),
    #[error(
        "{0:?} is no HTTP status: use a code such as 404, a class such as 5xx, or none for attempts without an answer"
    )]
    HttpStatus(String),
    #[error("{0}")]
    Filter(ScopeError),
    #[error("{0} is not known here: use headers, body, query or path")]
    UnknownScope(String),
    #[error("lies in the future: nothing was accepted since then")]
    InTheFuture,
    #[error("is later than `to`: swap them")]
    AfterTo,
    #[error("{0} is no endpoint of this project")]
    UnknownEndpoint(String),
    #[error("{0} is no replay of this project")]
    UnknownReplay(String),
    #[error("{0} is no subscription of this project")]
    UnknownSubscription(String),
    #[error("{0} is no event of this project, or none that is kept")]
    UnknownEvent(String),
    #[error("no endpoint of this project has the owner {0:?}")]
    UnknownOwner(String),
    #[error("none of them is an endpoint of one of the `owner_ids`: leave one of the two out")]
    OfOtherOwners,
    #[error("cannot go with mode {mode}: {why}")]
    AgainstMode { mode: &'static str, why: &'static str },
    #[error(
        "leaves out Success, but only events of that status have deliveries: add it, or leave out what is asked of deliveries"
    )]
    NoDeliveries,
}

const FIELDS: &str = "mode, from, to, event_types, endpoint_ids, owner_ids, source_ids, event_ids, idempotency_key, \
                      event_status, delivery_status, http_status, attempts_min, replay_id, subscription_ids, filter";
