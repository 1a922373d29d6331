//! What stands on the filter's side of a comparison.

use super::document::Leaf;
use super::scalar::{Number, Scalar};
use serde_json::Value;

/// What equality compares with.
#[derive(Clone, Debug)]
pub enum Operand {
    Scalar(Scalar<'static>),
    /// Of one type.
    List(Vec<Scalar<'static>>),
    EmptyObject,
}

impl Operand {
    /// `None`: an array that no payload can equal, because such arrays are read by position or not
    /// at all; or an object with keys.
    pub fn new(value: &Value) -> Option<Self> {
        if let Value::Object(object) = value {
            return object.is_empty().then_some(Self::EmptyObject);
        }
        if let Value::Array(items) = value {
            let items = items.iter().map(scalar).collect::<Option<Vec<_>>>()?;
            return items.windows(2).all(|pair| pair[0].same_type(&pair[1])).then_some(Self::List(items));
        }
        scalar(value).map(Self::Scalar)
    }

    /// Single values as numbers where both read as numbers; within lists strictly.
    pub fn equals(&self, leaf: Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Scalar(own), Leaf::Scalar(given)) => own.equals_loosely(given),
            (Self::List(own), Leaf::List(given)) => own == given,
            (Self::EmptyObject, Leaf::EmptyObject) => true,
            _ => false,
        }
    }

    /// `{"tags":"a"}`: equality, or membership in the payload's list.
    pub fn equals_or_is_in(&self, leaf: Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Scalar(own), Leaf::List(given)) => given.contains(own),
            _ => self.equals(leaf),
        }
    }
}

/// What `$in` looks through.
#[derive(Clone, Debug)]
pub struct Members {
    /// Sorted.
    values: Vec<Scalar<'static>>,
    /// The operand was no list: then a payload's list is looked through for it.
    single: bool,
}

impl Members {
    /// `None`: not a value or a list of values.
    pub fn new(value: &Value) -> Option<Self> {
        let Value::Array(items) = value else {
            return Some(Self { values: vec![scalar(value)?], single: true });
        };
        let mut values = items.iter().map(scalar).collect::<Option<Vec<_>>>()?;
        values.sort();
        Some(Self { values, single: false })
    }

    pub fn contain(&self, leaf: Leaf<'_>) -> bool {
        match leaf {
            Leaf::Scalar(given) => self.values.binary_search_by(|own| own.cmp(given)).is_ok(),
            Leaf::List(given) => self.single && self.values.first().is_some_and(|own| given.contains(own)),
            Leaf::EmptyObject => false,
        }
    }
}

/// `None`: an array or an object.
pub fn scalar(value: &Value) -> Option<Scalar<'static>> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(bool) => Scalar::Bool(*bool),
        Value::Number(number) => Scalar::Number(Number::of_value(number)),
        Value::String(text) => Scalar::Text(text.clone().into()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
