//! The key of a condition: names and positions joined by dots, `$` for any position.

use super::error::Fault;

/// `$` in one key (contracts/convoy.md §4.4).
pub const WILDCARDS_MAX: usize = 3;
/// Names and positions in one key. Each level of a payload that a key leads through is scanned once
/// more, so this bounds what an event can cost.
pub const PATH_SEGMENTS_MAX: usize = 32;
/// Length of a key after nested objects are joined.
pub const PATH_BYTES_MAX: usize = 512;

pub const WILDCARD: &str = "$";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: Box<str>,
    wildcards: usize,
}

impl Path {
    pub fn new(text: &str) -> Result<Self, Fault> {
        if text.len() > PATH_BYTES_MAX {
            return Err(Fault::KeyTooLong);
        }
        if text.split('.').count() > PATH_SEGMENTS_MAX {
            return Err(Fault::KeyTooDeep);
        }
        let mut wildcards = 0;
        for segment in text.split('.') {
            match segment {
                WILDCARD => wildcards += 1,
                _ if segment.starts_with('$') => return Err(Fault::UnknownOperator(segment.to_owned())),
                _ => {}
            }
        }
        if wildcards > WILDCARDS_MAX {
            return Err(Fault::TooManyWildcards(wildcards));
        }
        if text.rsplit('.').next() == Some(WILDCARD) {
            return Err(Fault::TrailingWildcard);
        }
        Ok(Self { text: text.into(), wildcards })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn has_wildcards(&self) -> bool {
        self.wildcards > 0
    }
}

/// `$x`, and not the wildcard.
pub fn is_operator(key: &str) -> bool {
    key.starts_with('$') && key != WILDCARD && !key.starts_with("$.")
}
