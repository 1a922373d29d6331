//! The operators (contracts/convoy.md §4.4).

use super::document::Leaf;
use super::error::Needs;
use super::operand::{Members, Operand};
use super::scalar::{Number, Scalar};
use regex::Regex;

#[derive(Clone, Debug)]
pub enum Test {
    /// No operator: equality, or membership in a list of the payload.
    Is(Operand),
    Equal(Operand),
    NotEqual(Operand),
    Greater(Number),
    /// `None`: the operand is no number; nothing is greater or equal.
    GreaterOrEqual(Option<Number>),
    /// The negation of [`Self::GreaterOrEqual`]: what is no number is less.
    Less(Option<Number>),
    LessOrEqual(Number),
    In(Members),
    NotIn(Members),
    Regex(Regex),
    Exists(bool),
}

/// False wins over a fault.
pub fn all_hold(tests: &[Test], leaf: Leaf<'_>) -> Result<bool, Needs> {
    let mut fault = None;
    for test in tests {
        match test.holds(leaf) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(needs) => fault = Some(needs),
        }
    }
    fault.map_or(Ok(true), Err)
}

impl Test {
    fn holds(&self, leaf: Leaf<'_>) -> Result<bool, Needs> {
        Ok(match self {
            Self::Is(operand) => operand.equals_or_is_in(leaf),
            Self::Equal(operand) => operand.equals(leaf),
            Self::NotEqual(operand) => !operand.equals(leaf),
            Self::Greater(bound) => number(leaf).ok_or(Needs::Number)? > *bound,
            Self::LessOrEqual(bound) => number(leaf).ok_or(Needs::Number)? <= *bound,
            Self::GreaterOrEqual(bound) => is_at_least(leaf, *bound),
            Self::Less(bound) => !is_at_least(leaf, *bound),
            Self::In(members) => members.contain(leaf),
            Self::NotIn(members) => !members.contain(leaf),
            Self::Regex(regex) => match leaf {
                Leaf::Scalar(Scalar::Text(text)) => regex.is_match(text),
                _ => return Err(Needs::Text),
            },
            // There is a leaf, so the key is there.
            Self::Exists(wanted) => *wanted,
        })
    }
}

fn number(leaf: Leaf<'_>) -> Option<Number> {
    match leaf {
        Leaf::Scalar(scalar) => scalar.number(),
        Leaf::List(_) | Leaf::EmptyObject => None,
    }
}

fn is_at_least(leaf: Leaf<'_>, bound: Option<Number>) -> bool {
    matches!((number(leaf), bound), (Some(given), Some(bound)) if given >= bound)
}
