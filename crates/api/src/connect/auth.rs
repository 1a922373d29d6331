//! `Authorization: sk_live_…`, with or without `Bearer ` (contracts/connect.md, Authentication).

use http::HeaderMap;
use http::header::AUTHORIZATION;

const BEARER: &str = "bearer ";

/// The key's text, not checked yet; `None` when none was sent.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let has_scheme = text.get(..BEARER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEARER));
    let key = if has_scheme { &text[BEARER.len()..] } else { text };
    Some(key.trim()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn with_or_without_the_scheme() {
        for (text, expected) in [
            ("sk_live_x", Some("sk_live_x")),
            ("Bearer sk_live_x", Some("sk_live_x")),
            ("bearer sk_test_x ", Some("sk_test_x")),
            ("Bearer ", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(text));
            assert_eq!(key(&headers), expected, "{text:?}");
        }
        assert_eq!(key(&HeaderMap::new()), None);
    }
}
