//! What can be wrong with a filter, and with evaluating one.

use super::{
    CONDITIONS_MAX, LEVELS_MAX, PATH_BYTES_MAX, PATH_SEGMENTS_MAX, REGEX_BYTES_MAX, REGEXES_MAX, TEXT_BYTES_MAX,
};
use super::{VALUES_MAX, WILDCARDS_MAX};
use std::fmt;

/// A filter that cannot be compiled: where, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    /// Dotted, as in the filter; empty for the filter as a whole.
    pub path: String,
    pub fault: Fault,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => self.fault.fmt(f),
            path => write!(f, "{path}: {}", self.fault),
        }
    }
}

/// The first words of some are Convoy's (contracts/convoy.md §4.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a filter must be a JSON object, such as {{\"amount\":{{\"$gte\":1000}}}}")]
    NotAnObject,
    #[error("{0} starts with a $ and is not a valid operator: use one of {OPERATORS}")]
    UnknownOperator(String),
    #[error("{0} must stand under a key, such as {{\"amount\":{{{0:?}:…}}}}")]
    OperatorWithoutKey(String),
    #[error("{0} must stand at the top of a filter or of a part of $or or $and, not under a key")]
    LogicUnderKey(String),
    #[error("an object holds either operators or keys: put {0} into an object of its own")]
    Mixed(String),
    #[error("the value of $or and $and must be an array of filters")]
    LogicNeedsArray,
    #[error("too many segments, expected at most {WILDCARDS_MAX} but got {0}: use fewer $ in one key")]
    TooManyWildcards(usize),
    #[error("invalid filter syntax, found trailing $: name the field of the elements after it")]
    TrailingWildcard,
    #[error("{operator} needs {needs}")]
    Operand { operator: &'static str, needs: &'static str },
    #[error(
        "an array is compared whole and must hold values of one type (texts, numbers, booleans or nulls): \
         use a dotted key with a position, such as \"items.0.sku\", for anything deeper"
    )]
    NestedArray,
    #[error("the regular expression is not valid: {0}")]
    Regex(String),
    #[error("the regular expression is too large: at most {REGEX_BYTES_MAX} bytes, and less repetition")]
    RegexTooLarge,
    #[error("a filter holds at most {REGEXES_MAX} regular expressions: join some with |")]
    TooManyRegexes,
    #[error("a filter holds at most {CONDITIONS_MAX} conditions: use $in instead of many $or")]
    TooManyConditions,
    #[error("a filter holds at most {VALUES_MAX} values in its lists")]
    TooManyValues,
    #[error("a filter holds at most {TEXT_BYTES_MAX} bytes of text")]
    TooMuchText,
    #[error("a filter is at most {LEVELS_MAX} levels deep: use dotted keys")]
    TooDeep,
    #[error("a key has at most {PATH_SEGMENTS_MAX} names and positions")]
    KeyTooDeep,
    #[error("a key has at most {PATH_BYTES_MAX} bytes, dots included")]
    KeyTooLong,
}

const OPERATORS: &str = "$eq, $neq, $gt, $gte, $lt, $lte, $in, $nin, $regex, $exist, $or, $and";

/// A condition that decides could not be evaluated on this payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {needs}")]
pub struct MatchError {
    pub path: String,
    pub needs: Needs,
}

/// What an operator needs and the payload does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Needs {
    #[error("$gt and $lte need a number in the payload")]
    Number,
    #[error("$regex needs a text in the payload")]
    Text,
}
