//! From JSON to clauses. One budget is spent over the whole filter, so its parts cannot add up.

use super::error::{Fault, FilterError};
use super::operand::{Members, Operand, scalar};
use super::path::{Path, is_operator};
use super::scalar::Scalar;
use super::test::Test;
use super::{Branch, Clause, Condition, re2};
use serde_json::{Map, Value};

/// Keys that are looked up, in one filter.
pub const CONDITIONS_MAX: usize = 256;
/// Values in all lists of one filter.
pub const VALUES_MAX: usize = 4_096;
/// Regular expressions in one filter.
pub const REGEXES_MAX: usize = 16;
/// Keys and texts of one filter together.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Objects and arrays around a value.
pub const LEVELS_MAX: usize = 32;

type Result<T> = std::result::Result<T, FilterError>;

pub fn compile(filter: &Value) -> Result<Branch> {
    Budget::default().branch(filter, "", 0)
}

pub fn compile_object(filter: &Map<String, Value>) -> Result<Branch> {
    Budget::default().clauses(filter, "", 0)
}

/// What was used.
#[derive(Default)]
struct Budget {
    conditions: usize,
    values: usize,
    regexes: usize,
    text_bytes: usize,
}

fn fault(path: &str, fault: Fault) -> FilterError {
    FilterError { path: path.to_owned(), fault }
}

impl Budget {
    /// A whole filter, or a part of `$or` or `$and`; `place` says where it stands.
    fn branch(&mut self, filter: &Value, place: &str, level: usize) -> Result<Branch> {
        let Value::Object(object) = filter else { return Err(fault(place, Fault::NotAnObject)) };
        self.clauses(object, place, level)
    }

    fn clauses(&mut self, object: &Map<String, Value>, place: &str, level: usize) -> Result<Branch> {
        let mut branch = Vec::with_capacity(object.len().min(CONDITIONS_MAX));
        for (key, value) in object {
            self.spend_text(place, key)?;
            match key.as_str() {
                "$or" => branch.push(Clause::Any(self.branches(value, key, level)?)),
                "$and" => branch.push(Clause::All(self.branches(value, key, level)?)),
                key if is_operator(key) => return Err(fault(place, misplaced(key))),
                key => self.value(key, value, level + 1, &mut branch)?,
            }
        }
        Ok(branch)
    }

    fn branches(&mut self, value: &Value, key: &str, level: usize) -> Result<Vec<Branch>> {
        let Value::Array(items) = value else { return Err(fault(key, Fault::LogicNeedsArray)) };
        if level + 2 > LEVELS_MAX {
            return Err(fault(key, Fault::TooDeep));
        }
        self.spend(key, |budget| &mut budget.values, items.len(), VALUES_MAX, Fault::TooManyValues)?;
        items.iter().enumerate().map(|(at, item)| self.branch(item, &format!("{key}[{at}]"), level + 2)).collect()
    }

    /// What stands under a key: operators, further keys, or a value to equal.
    fn value(&mut self, path: &str, value: &Value, level: usize, branch: &mut Branch) -> Result<()> {
        if level > LEVELS_MAX {
            return Err(fault(path, Fault::TooDeep));
        }
        match value {
            Value::Object(object) if object.keys().any(|key| is_operator(key)) => {
                let tests = self.operators(path, object)?;
                self.condition(path, tests, branch)
            }
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object {
                    self.spend_text(path, key)?;
                    self.value(&join(path, key)?, value, level + 1, branch)?;
                }
                Ok(())
            }
            // As in a payload, objects in an array are found by position.
            Value::Array(items) if items.iter().any(Value::is_object) => {
                if !items.iter().all(Value::is_object) {
                    return Err(fault(path, Fault::NestedArray));
                }
                for (at, item) in items.iter().enumerate() {
                    self.value(&join(path, &at.to_string())?, item, level + 1, branch)?;
                }
                Ok(())
            }
            _ => {
                self.spend_values(path, value)?;
                let operand = Operand::new(value).ok_or_else(|| fault(path, Fault::NestedArray))?;
                self.condition(path, vec![Test::Is(operand)], branch)
            }
        }
    }

    fn condition(&mut self, path: &str, tests: Vec<Test>, branch: &mut Branch) -> Result<()> {
        self.spend(path, |budget| &mut budget.conditions, 1, CONDITIONS_MAX, Fault::TooManyConditions)?;
        branch.push(Clause::Condition(Condition { path: Path::new(path).map_err(|why| fault(path, why))?, tests }));
        Ok(())
    }

    fn operators(&mut self, path: &str, object: &Map<String, Value>) -> Result<Vec<Test>> {
        object.iter().map(|(key, operand)| self.test(path, key, operand)).collect()
    }

    fn test(&mut self, path: &str, key: &str, operand: &Value) -> Result<Test> {
        self.spend_values(path, operand)?;
        let needs = |operator, needs| fault(path, Fault::Operand { operator, needs });
        let single = scalar(operand);
        let number = single.as_ref().and_then(Scalar::number);
        // Unlike $gt and $lte these two are never in error: what is no number is not at least anything.
        let bound = || single.is_some().then_some(number);
        Ok(match key {
            "$eq" => Test::Equal(Operand::new(operand).ok_or_else(|| needs("$eq", EQUALITY))?),
            "$neq" => Test::NotEqual(Operand::new(operand).ok_or_else(|| needs("$neq", EQUALITY))?),
            "$gt" => Test::Greater(number.ok_or_else(|| needs("$gt", NUMBER))?),
            "$lte" => Test::LessOrEqual(number.ok_or_else(|| needs("$lte", NUMBER))?),
            "$gte" => Test::GreaterOrEqual(bound().ok_or_else(|| needs("$gte", NUMBER))?),
            "$lt" => Test::Less(bound().ok_or_else(|| needs("$lt", NUMBER))?),
            "$in" => Test::In(Members::new(operand).ok_or_else(|| needs("$in", MEMBERS))?),
            "$nin" => Test::NotIn(Members::new(operand).ok_or_else(|| needs("$nin", MEMBERS))?),
            "$exist" => Test::Exists(operand.as_bool().ok_or_else(|| needs("$exist", "true or false"))?),
            "$regex" => self.regex(path, operand.as_str().ok_or_else(|| needs("$regex", "a text: the expression"))?)?,
            "$or" | "$and" => return Err(fault(path, Fault::LogicUnderKey(key.to_owned()))),
            key if is_operator(key) => return Err(fault(path, Fault::UnknownOperator(key.to_owned()))),
            key => return Err(fault(path, Fault::Mixed(key.to_owned()))),
        })
    }

    fn regex(&mut self, path: &str, pattern: &str) -> Result<Test> {
        self.spend(path, |budget| &mut budget.regexes, 1, REGEXES_MAX, Fault::TooManyRegexes)?;
        re2::compile(pattern).map(Test::Regex).map_err(|why| fault(path, why))
    }

    fn spend_values(&mut self, path: &str, value: &Value) -> Result<()> {
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        self.spend(path, |budget| &mut budget.values, items.len(), VALUES_MAX, Fault::TooManyValues)?;
        items.iter().filter_map(Value::as_str).try_for_each(|text| self.spend_text(path, text))
    }

    fn spend_text(&mut self, path: &str, text: &str) -> Result<()> {
        self.spend(path, |budget| &mut budget.text_bytes, text.len(), TEXT_BYTES_MAX, Fault::TooMuchText)
    }

    fn spend(
        &mut self,
        path: &str,
        of: impl Fn(&mut Self) -> &mut usize,
        count: usize,
        max: usize,
        otherwise: Fault,
    ) -> Result<()> {
        let used = of(self);
        *used = used.saturating_add(count);
        if *used > max { Err(fault(path, otherwise)) } else { Ok(()) }
    }
}

const NUMBER: &str = "a number";
const EQUALITY: &str = "a text, number, boolean, null, {}, or an array of such values of one type; \
                        compare the fields of an object one by one, with dotted keys";
const MEMBERS: &str = "an array of texts, numbers, booleans or nulls";

/// An operator where a key belongs.
fn misplaced(key: &str) -> Fault {
    const KNOWN: [&str; 10] = ["$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex", "$exist"];
    if KNOWN.contains(&key) {
        return Fault::OperatorWithoutKey(key.to_owned());
    }
    Fault::UnknownOperator(key.to_owned())
}

/// Checked here, because it grows with every level.
fn join(path: &str, key: &str) -> Result<String> {
    if path.len() + key.len() >= super::PATH_BYTES_MAX {
        return Err(fault(path, Fault::KeyTooLong));
    }
    Ok(format!("{path}.{key}"))
}
