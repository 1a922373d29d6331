mod laws;
mod reference;
mod table;

use super::{Document, Fault, Filter, FilterError, MatchError};
use serde_json::Value;

fn compile(filter: &str) -> Result<Filter, FilterError> {
    Filter::compile(&serde_json::from_str(filter).expect("a test's filter is JSON"))
}

fn evaluate(filter: &str, payload: &str) -> Result<bool, MatchError> {
    compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).matches(&Document::body(payload.as_bytes()))
}

fn fault(filter: &str) -> Fault {
    compile(filter).expect_err(filter).fault
}

/// A filter value through both: the implementation and the reference.
fn both(filter: &Value, payload: &Value) -> Option<(Result<bool, ()>, Result<bool, ()>)> {
    let compiled = Filter::compile(filter).ok()?;
    let text = payload.to_string();
    let ours = compiled.matches(&Document::body(text.as_bytes())).map_err(|_| ());
    Some((ours, reference::matches(filter, payload)))
}
