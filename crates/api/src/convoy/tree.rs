//! JSON text that is made a tree, as selectors and filters are. Its depth is looked at first: the reader's own
//! limit would call it no JSON.

use super::error::Error;
use dacapo_model::filter::LEVELS_MAX;
use dacapo_model::json::is_nested_deeper;
use serde_json::Value;

/// Levels of a body around a filter and in its lists.
const LEVELS_AROUND: usize = 32;

/// Errors name `what`, a field or the body.
pub fn read(text: &[u8], what: &str) -> Result<Value, Error> {
    if is_nested_deeper(text, LEVELS_MAX + LEVELS_AROUND) {
        let deep =
            format!("{what}: it is nested too deep: a filter is at most {LEVELS_MAX} levels deep; use dotted keys");
        return Err(Error::bad(deep));
    }
    serde_json::from_slice(text).map_err(|cause| Error::bad(format!("{what}: is not JSON: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_said_to_be_and_not_to_be_broken() {
        let levels = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
        assert!(read(levels(LEVELS_MAX + LEVELS_AROUND).as_bytes(), "filter").is_ok());
        for deep in [LEVELS_MAX + LEVELS_AROUND + 1, 1_000_000] {
            let text = match read(levels(deep).as_bytes(), "filter") {
                Err(Error::BadRequest(text)) => text.into_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(text, "filter: it is nested too deep: a filter is at most 32 levels deep; use dotted keys");
        }
    }
}
