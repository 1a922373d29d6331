//! Names of event types, some with a wildcard at the end.

use super::error::Problem;
use serde::{Deserialize, Serialize};

/// Any of these; none is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypes(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    Exact(String),
    /// What stands before the `*`; empty for all.
    Prefix(String),
}

impl EventTypes {
    pub const fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn admit(&self, event_type: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(event_type))
    }

    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::Empty);
        }
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        if name.contains('*') {
            return Err(Problem::Wildcard(text.to_owned()));
        }
        Ok(if is_prefix { Self::Prefix(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }

    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exact(name) => name == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        match pattern {
            Pattern::Exact(name) => name,
            Pattern::Prefix(prefix) => prefix + "*",
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| problem.to_string())
    }
}
