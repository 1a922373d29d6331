//! What a request says of itself before anything is done for it (contracts/convoy.md §1.2, §1.7).

use super::error::Error;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

/// A body's type is JSON or not stated; the compare is Convoy's: a prefix, case-sensitive.
pub fn is_json_or_silent(headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE) {
        Some(given) => given.is_empty() || given.as_bytes().starts_with(b"application/json"),
        None => true,
    }
}

/// The key in `Authorization: Bearer <key>`: two words, one space. `Basic` is understood, but
/// nobody can sign in with it.
pub fn key(headers: &HeaderMap) -> Result<&str, Error> {
    let text = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Error::Unauthenticated)?;
    let mut words = text.split(' ');
    let (Some(scheme), Some(credentials), None) = (words.next(), words.next(), words.next()) else {
        return Err(Error::Unauthenticated);
    };
    if credentials.is_empty() {
        return Err(Error::Unauthenticated);
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(credentials);
    }
    if scheme.eq_ignore_ascii_case("basic") && is_user_and_password(credentials) {
        return Err(Error::Unauthorised);
    }
    Err(Error::Unauthenticated)
}

fn is_user_and_password(credentials: &str) -> bool {
    use base64::Engine;
    let decoded = base64::engine::general_purpose::STANDARD.decode(credentials);
    decoded.is_ok_and(|bytes| bytes.iter().filter(|byte| **byte == b':').count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(text: &'static str) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(text));
        key(&headers).map(str::to_owned).map_err(|error| match error {
            Error::Unauthenticated => "Authentication required",
            Error::Unauthorised => "authorization failed",
            _ => "something else",
        })
    }

    #[test]
    fn two_words_and_a_known_scheme() {
        assert_eq!(read("Bearer CO.a.b"), Ok("CO.a.b".to_owned()));
        assert_eq!(read("bEaReR CO.a.b"), Ok("CO.a.b".to_owned()));
        for malformed in
            ["", "CO.a.b", "Bearer", "Bearer ", "Bearer  x", "Bearer x y", "Digest x", "Basic %%%", "Basic dXNlcg=="]
        {
            assert_eq!(read(malformed), Err("Authentication required"), "{malformed:?}");
        }
        assert_eq!(read("Basic dXNlcjpwYXNz"), Err("authorization failed"));
        assert!(matches!(key(&HeaderMap::new()), Err(Error::Unauthenticated)));
    }

    #[test]
    fn content_types() {
        let says = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            is_json_or_silent(&headers)
        };
        for good in ["", "application/json", "application/json;charset=utf-8", "application/jsonx"] {
            assert!(says(good), "{good}");
        }
        for bad in ["text/plain", "APPLICATION/JSON", "multipart/form-data", " application/json"] {
            assert!(!says(bad), "{bad}");
        }
        assert!(is_json_or_silent(&HeaderMap::new()));
    }
}
