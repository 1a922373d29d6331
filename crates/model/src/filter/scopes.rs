//! The four filters of a subscription (contracts/convoy.md §4.3): body, headers, query, path. All must
//! match; an empty one always does.

use super::{Document, Filter, FilterError, MatchError};
use crate::attempt::HeaderLines;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::OnceCell;
use std::fmt;

/// One filter as it was written.
pub type Written = Map<String, Value>;

/// As written: what is stored and shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Written,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub body: Written,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub query: Written,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub path: Written,
}

/// Compiled: what routing asks.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    headers: Filter,
    body: Filter,
    query: Filter,
    path: Filter,
    never: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Headers,
    Body,
    Query,
    Path,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{scope}: {error}")]
pub struct ScopeError {
    pub scope: Scope,
    pub error: FilterError,
}

/// What the four filters look at, each made when the first filter asks for it.
pub struct Scopes<'a> {
    event: Event<'a>,
    headers: OnceCell<Document<'a>>,
    body: OnceCell<Document<'a>>,
    query: OnceCell<Document<'a>>,
    path: OnceCell<Document<'a>>,
}

/// The parts of an event that filters see.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// JSON.
    pub data: &'a [u8],
    pub headers: &'a HeaderLines,
    /// As in the URL, without the question mark.
    pub url_query: &'a str,
    pub url_path: &'a str,
}

const NO_HEADERS: &HeaderLines = &HeaderLines::new();

impl Conditions {
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.body.is_empty() && self.query.is_empty() && self.path.is_empty()
    }

    pub fn compile(&self) -> Result<Matcher, ScopeError> {
        let compiled = |scope, written| Filter::compile_object(written).map_err(|error| ScopeError { scope, error });
        Ok(Matcher {
            headers: compiled(Scope::Headers, &self.headers)?,
            body: compiled(Scope::Body, &self.body)?,
            query: compiled(Scope::Query, &self.query)?,
            path: compiled(Scope::Path, &self.path)?,
            never: false,
        })
    }
}

impl Matcher {
    /// In place of conditions that cannot be compiled: who asked for less must not get everything.
    pub fn never() -> Self {
        Self { never: true, ..Self::default() }
    }

    /// Errors: as [`Filter::matches`]. A scope that does not match wins over one that cannot be
    /// evaluated; the body, which costs most, is looked at last.
    pub fn matches(&self, scopes: &Scopes<'_>) -> Result<bool, MatchError> {
        if self.never {
            return Ok(false);
        }
        let mut fault = None;
        for scope in [Scope::Path, Scope::Query, Scope::Headers, Scope::Body] {
            let filter = self.filter(scope);
            if filter.is_empty() {
                continue;
            }
            match filter.matches(scopes.document(scope)) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(true), Err)
    }

    const fn filter(&self, scope: Scope) -> &Filter {
        match scope {
            Scope::Headers => &self.headers,
            Scope::Body => &self.body,
            Scope::Query => &self.query,
            Scope::Path => &self.path,
        }
    }
}

impl<'a> Scopes<'a> {
    pub const fn new(event: Event<'a>) -> Self {
        Self { event, headers: OnceCell::new(), body: OnceCell::new(), query: OnceCell::new(), path: OnceCell::new() }
    }

    /// Of four documents that are already there.
    pub fn of(headers: Document<'a>, body: Document<'a>, query: Document<'a>, path: Document<'a>) -> Self {
        Self {
            event: Event { data: b"", headers: NO_HEADERS, url_query: "", url_path: "" },
            headers: headers.into(),
            body: body.into(),
            query: query.into(),
            path: path.into(),
        }
    }

    fn document(&self, scope: Scope) -> &Document<'a> {
        let event = self.event;
        match scope {
            Scope::Headers => self.headers.get_or_init(|| Document::headers(event.headers.iter())),
            Scope::Body => self.body.get_or_init(|| Document::body(event.data)),
            Scope::Query => self.query.get_or_init(|| Document::query(event.url_query)),
            Scope::Path => self.path.get_or_init(|| Document::path(event.url_path)),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Query => "query",
            Self::Path => "path",
        })
    }
}
