//! `custom_headers` of an event: what cannot be sent is refused when it is published, not found out
//! with every attempt (contracts/convoy.md §6.1).

use crate::convoy::error::Error;
use dacapo_model::attempt::HeaderLines;
use http::{HeaderName, HeaderValue};

pub fn checked(given: Vec<(String, String)>) -> Result<HeaderLines, Error> {
    for (name, value) in &given {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(Error::bad(format!("custom_headers: {name:?} is not a valid header name")));
        }
        if HeaderValue::from_bytes(value.as_bytes()).is_err() {
            return Err(Error::bad(format!("custom_headers: the value of {name:?} is not a valid header value")));
        }
    }
    Ok(HeaderLines::from_iter(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<String, String> {
        match checked(vec![(name.to_owned(), value.to_owned())]) {
            Ok(lines) => Ok(lines.as_text().to_owned()),
            Err(Error::BadRequest(text)) => Err(text.into_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn legal_headers_keep_their_casing_and_others_are_named() {
        assert_eq!(read("X-Trace", "é a"), Ok("X-Trace: é a\n".to_owned()));
        assert_eq!(read("X Trace", "a"), Err("custom_headers: \"X Trace\" is not a valid header name".to_owned()));
        assert_eq!(read("", "a"), Err("custom_headers: \"\" is not a valid header name".to_owned()));
        let expected = "custom_headers: the value of \"X-A\" is not a valid header value";
        assert_eq!(read("X-A", "a\r\nX-B: c"), Err(expected.to_owned()));
    }
}
