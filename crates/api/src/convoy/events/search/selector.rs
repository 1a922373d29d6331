//! The selector of a request: a JSON object as the body, or the same fields as parameters.

use crate::convoy::error::Error;
use crate::convoy::tree;
use crate::query_string::QueryString;
use dacapo_model::Selector;
use dacapo_model::json::decode::Object;
use serde_json::{Map, Value};

/// Parameters of the page, not of the selector.
const OF_THE_PAGE: [&str; 5] = ["cursor", "next_page_cursor", "perPage", "per_page", "sort"];
/// Fields with one value; all others are lists, whose parameters repeat.
const ONE_VALUE: [&str; 7] = ["mode", "from", "to", "idempotency_key", "replay_id", "attempts_min", "filter"];

pub fn of_body(body: &[u8]) -> Result<Selector, Error> {
    // Says what is wrong with the JSON as all routes do.
    Object::read(body)?;
    Selector::parse(&tree::read(body, "selector")?).map_err(|error| Error::bad(error.to_string()))
}

pub fn of_query(query: &QueryString) -> Result<Selector, Error> {
    let mut fields = Map::new();
    for name in query.names().filter(|name| !OF_THE_PAGE.contains(name)) {
        if ONE_VALUE.contains(&name) && query.all(name).nth(1).is_some() {
            return Err(Error::bad(format!("{name}: it is given twice; it has one value")));
        }
        if let Some(value) = value(query, name)? {
            fields.insert(name.to_owned(), value);
        }
    }
    Selector::parse_object(&fields).map_err(|error| Error::bad(error.to_string()))
}

/// `None`: not given.
fn value(query: &QueryString, name: &str) -> Result<Option<Value>, Error> {
    let Some(text) = query.one(name).or_else(|| query.all(name).next()) else { return Ok(None) };
    Ok(Some(match name {
        "attempts_min" => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        "filter" => tree::read(text.as_bytes(), "filter")?,
        _ if ONE_VALUE.contains(&name) => text.into(),
        _ => query.all(name).map(Value::from).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outcome: Result<Selector, Error>) -> String {
        match outcome {
            Err(Error::BadRequest(text)) => text.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_say_what_the_body_says() {
        let query = QueryString::parse(
            "from=-2h&event_types=order.*&event_types[]=refund&attempts_min=2&http_status=5xx&mode=failed&perPage=5\
             &filter=%7B%22body%22%3A%7B%22a%22%3A1%7D%7D&to=&sort=ASC",
        );
        let body = br#"{"from":"-2h","event_types":["order.*","refund"],"attempts_min":2,"http_status":["5xx"],
                        "mode":"failed","filter":{"body":{"a":1}}}"#;
        assert_eq!(of_query(&query).expect("reads"), of_body(body).expect("reads"));
    }

    #[test]
    fn bad_parameters_are_named() {
        for (query, says) in [
            ("event_type=a", "event_type: is no field of a selector"),
            ("attempts_min=x", "attempts_min: needs a whole number"),
            ("filter={", "filter: is not JSON"),
            ("mode=broken", "mode: \"broken\" is not known"),
            ("from=-1h&from=-2h", "from: it is given twice"),
        ] {
            let text = text(of_query(&QueryString::parse(query)));
            assert!(text.starts_with(says), "{query}: {text}");
        }
        for (body, says) in [
            ("", "body must not be empty"),
            ("{", "body contains badly-formed JSON"),
            (r#"{"from":"soon"}"#, "from: \"soon\" is no time"),
        ] {
            let text = text(of_body(body.as_bytes()));
            assert!(text.starts_with(says), "{body}: {text}");
        }
    }
}
