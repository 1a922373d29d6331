//! The filter language (contracts/convoy.md §4.4): a JSON object says what a payload must look like.
//!
//! ```text
//! {"event":"charge.success","amount":{"$gte":1000},"currency":{"$in":["NGN","USD"]}}
//! {"$or":[{"user.country":"NG"},{"user.vip":true}]}
//! {"items.$.sku":{"$regex":"^AB-"}}
//! ```
//!
//! [`Filter::compile`] checks everything that can be checked without a payload; [`Filter::matches`]
//! then only looks. A [`Document`] is read as far as filters ask, each part at most once. [`scopes`]
//! puts the filters for body, headers, query and path of one subscription together.
//!
//! Two rules surprise people and are kept, because filters written for Convoy rely on them:
//! - A condition on a key the payload does not have is *skipped*. It decides only when nothing else
//!   could be evaluated: then the filter does not match. So `{"a":1,"b":2}` matches `{"a":1}`, and
//!   `{"x":{"$exist":false}}` alone matches nothing.
//! - A condition that cannot be evaluated (`$gt` on a text) is neither true nor false. It counts only
//!   where it could change the outcome, so the result does not hang on the order of keys.

mod compile;
mod document;
mod error;
mod operand;
mod path;
mod re2;
mod scalar;
pub mod scopes;
mod test;
#[cfg(test)]
mod tests;

pub use compile::{CONDITIONS_MAX, LEVELS_MAX, REGEXES_MAX, TEXT_BYTES_MAX, VALUES_MAX};
pub use document::Document;
pub use error::{Fault, FilterError, MatchError};
pub use path::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX, WILDCARDS_MAX};
pub use re2::{REGEX_BYTES_MAX, REGEX_PROGRAM_BYTES_MAX};

use path::Path;
use serde_json::{Map, Value};
use test::Test;

/// A compiled filter. The empty one matches everything.
#[derive(Clone, Debug, Default)]
pub struct Filter(Branch);

/// Clauses of which all must hold.
type Branch = Vec<Clause>;

#[derive(Clone, Debug)]
enum Clause {
    Condition(Condition),
    Any(Vec<Branch>),
    All(Vec<Branch>),
}

#[derive(Clone, Debug)]
struct Condition {
    path: Path,
    /// All must hold.
    tests: Vec<Test>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// The payload has no such key.
    Skipped,
}

impl Filter {
    /// Errors: what is wrong, where, and what to write instead. Work and memory are bounded by the
    /// constants of this module whatever `filter` is.
    pub fn compile(filter: &Value) -> Result<Self, FilterError> {
        compile::compile(filter).map(Self)
    }

    /// As [`Self::compile`], from the inside of an object.
    pub fn compile_object(filter: &Map<String, Value>) -> Result<Self, FilterError> {
        compile::compile_object(filter).map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Errors: a condition that could not be evaluated would have decided.
    pub fn matches(&self, document: &Document<'_>) -> Result<bool, MatchError> {
        all_hold(&self.0, document)
    }
}

/// False wins over a fault, a fault over true, and true over skipped.
fn all_hold(branch: &Branch, document: &Document<'_>) -> Result<bool, MatchError> {
    let mut evaluated = branch.is_empty();
    let mut fault = None;
    for clause in branch {
        match clause.verdict(document) {
            Ok(Verdict::No) => return Ok(false),
            Ok(Verdict::Yes) => evaluated = true,
            Ok(Verdict::Skipped) => {}
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    fault.map_or(Ok(evaluated), Err)
}

/// True wins over a fault, a fault over false.
fn any_holds(branches: &[Branch], document: &Document<'_>) -> Result<bool, MatchError> {
    let mut fault = None;
    for branch in branches {
        match all_hold(branch, document) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    fault.map_or(Ok(false), Err)
}

/// As [`all_hold`], over whole sub-filters: none of them is skipped.
fn every_branch_holds(branches: &[Branch], document: &Document<'_>) -> Result<bool, MatchError> {
    let mut fault = None;
    for branch in branches {
        match all_hold(branch, document) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    fault.map_or(Ok(true), Err)
}

impl Clause {
    fn verdict(&self, document: &Document<'_>) -> Result<Verdict, MatchError> {
        let holds = match self {
            Self::Condition(condition) => return condition.verdict(document),
            Self::Any(branches) => any_holds(branches, document)?,
            Self::All(branches) => every_branch_holds(branches, document)?,
        };
        Ok(if holds { Verdict::Yes } else { Verdict::No })
    }
}

impl Condition {
    fn verdict(&self, document: &Document<'_>) -> Result<Verdict, MatchError> {
        if self.path.has_wildcards() {
            return self.any_element(document);
        }
        let Some(leaf) = document.find(&self.path) else { return Ok(Verdict::Skipped) };
        let holds = test::all_hold(&self.tests, leaf).map_err(|needs| self.fault(needs))?;
        Ok(if holds { Verdict::Yes } else { Verdict::No })
    }

    /// Over all combinations of positions; without any, the condition is false, not skipped.
    fn any_element(&self, document: &Document<'_>) -> Result<Verdict, MatchError> {
        let (mut holds, mut fault) = (false, None);
        document.each(&self.path, &mut |leaf| {
            match test::all_hold(&self.tests, leaf) {
                Ok(outcome) => holds = outcome,
                Err(needs) => fault = Some(needs),
            }
            holds
        });
        match fault {
            _ if holds => Ok(Verdict::Yes),
            Some(needs) => Err(self.fault(needs)),
            None => Ok(Verdict::No),
        }
    }

    fn fault(&self, needs: error::Needs) -> MatchError {
        MatchError { path: self.path.as_str().to_owned(), needs }
    }
}
