//! The `Idempotency-Key` header (contracts/connect.md, replay).

use super::error::Error;
use http::{HeaderMap, HeaderName, HeaderValue};

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that nothing was done now: this is the answer to the first call with the key.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Characters of a key.
const KEY_LEN_MAX: usize = 255;

/// `None` when no key was sent.
pub fn optional(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let text = given.to_str().map_err(|_| Error::KeyInvalid)?;
    if text.len() > KEY_LEN_MAX { Err(Error::KeyInvalid) } else { Ok(Some(text)) }
}

pub fn required(headers: &HeaderMap) -> Result<&str, Error> {
    optional(headers)?.ok_or(Error::KeyRequired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_255_characters() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(text.as_bytes()).expect("a header value"));
            required(&headers).map(str::len).map_err(|error| matches!(error, Error::KeyRequired))
        };
        assert_eq!(with("k"), Ok(1));
        assert_eq!(with(&"k".repeat(255)), Ok(255));
        assert_eq!(with(&"k".repeat(256)), Err(false));
        assert_eq!(with("é"), Err(false));
        assert_eq!(with(""), Err(true));
        assert!(matches!(required(&HeaderMap::new()), Err(Error::KeyRequired)));
    }
}
