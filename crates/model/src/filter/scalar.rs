//! Values that are compared, and how.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Ordered by type, then by value. Equality is *strict*: a text is never equal to a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
}

/// Integers of 64 bits are kept and compared exactly, also with fractions; all others are floats.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Integer(i64),
    /// Above `i64::MAX`.
    Large(u64),
    /// Never NaN; infinite when a payload's number is out of range.
    Float(f64),
}

impl Scalar<'_> {
    /// A number, or a text that reads as one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => Number::of_text(text),
            Self::Null | Self::Bool(_) => None,
        }
    }

    /// Equality of two single values: as numbers when both read as numbers (contracts/convoy.md §4.4).
    pub fn equals_loosely(&self, other: &Scalar<'_>) -> bool {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => one == two,
            _ => self == other,
        }
    }

    pub fn same_type(&self, other: &Scalar<'_>) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Number {
    /// `text`: a JSON number.
    pub fn of_json(text: &str) -> Self {
        Self::of_text(text).unwrap_or_else(|| match text.starts_with('-') {
            true => Self::Float(f64::NEG_INFINITY),
            false => Self::Float(f64::INFINITY),
        })
    }

    /// A decimal number as Go reads one, `+5` and `1e3` included. Words (`inf`, `nan`) and numbers
    /// out of range are none.
    pub fn of_text(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        if let Ok(large) = text.parse() {
            return Some(Self::Large(large));
        }
        // Most texts are not numbers: the first byte says so.
        text.starts_with(|c: char| matches!(c, '0'..='9' | '+' | '-' | '.')).then_some(())?;
        text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float)
    }

    pub fn of_value(number: &serde_json::Number) -> Self {
        if let Some(integer) = number.as_i64() {
            return Self::Integer(integer);
        }
        match number.as_u64() {
            Some(large) => Self::Large(large),
            None => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }

    /// `Err`: it is a float.
    fn integer(self) -> Result<i128, f64> {
        match self {
            Self::Integer(integer) => Ok(integer.into()),
            Self::Large(large) => Ok(large.into()),
            Self::Float(float) => Err(float),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.integer(), other.integer()) {
            (Ok(one), Ok(two)) => one.cmp(&two),
            (Ok(integer), Err(float)) => compare(integer, float),
            (Err(float), Ok(integer)) => compare(integer, float).reverse(),
            (Err(one), Err(two)) => one.partial_cmp(&two).unwrap_or(Ordering::Equal),
        }
    }
}

/// Exact: converting the integer would round it.
fn compare(integer: i128, float: f64) -> Ordering {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    // Within 65 bits: the conversion is exact.
    integer.cmp(&(whole as i128)).then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal))
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::of_json(text)
    }

    #[test]
    fn large_integers_are_told_apart() {
        assert!(number("9007199254740993") > number("9007199254740992"));
        assert!(number("9007199254740993") > number("9007199254740992.0"));
        assert!(number("18446744073709551615") < number("18446744073709551616"));
        assert!(number("-9223372036854775808") > number("-9223372036854777856.5"));
        assert_eq!(number("-9223372036854775808"), number("-9223372036854775808.0"));
    }

    #[test]
    fn integers_and_fractions() {
        assert_eq!(number("1e3"), number("1000"));
        assert_eq!(number("-0"), number("0.0"));
        assert!(number("2") > number("1.5") && number("1") < number("1.5"));
        assert!(number("-2") < number("-1.5") && number("-1") > number("-1.5"));
        assert!(number("1e999") > number("18446744073709551615"));
        assert!(number("-1e999") < number("-1e308"));
    }

    #[test]
    fn texts_that_read_as_numbers() {
        for text in ["5", "+5", "5.", "05", "0.5e1"] {
            assert_eq!(Number::of_text(text), Some(Number::Integer(5)), "{text}");
        }
        for text in ["", " 5", "5 ", "inf", "-inf", "NaN", "0x5", "1_0", "five", "1e999", "+", "."] {
            assert_eq!(Number::of_text(text), None, "{text}");
        }
    }
}
