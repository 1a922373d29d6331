//! Query strings as clients of both surfaces write them: repeated keys for lists, with or without
//! `[]` after the name, empty values for "not given" (contracts/convoy.md §11).

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::convert::Infallible;

/// Parameters looked at; what follows is ignored.
const PARAMETERS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub struct QueryString(Vec<(String, String)>);

impl QueryString {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX);
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value under this name, empty or not.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The first value under this name, unless it is empty.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The names given, those with an empty value too, without `[]`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(given, _)| given.strip_suffix("[]").unwrap_or(given))
    }

    /// All values under this name or `name[]` that are not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(given, _)| given.strip_suffix("[]").unwrap_or(given) == name);
        named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// `+` is a space; bytes that are no UTF-8 become U+FFFD.
fn decode(text: &str) -> String {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

impl<S: Send + Sync> FromRequestParts<S> for QueryString {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.uri.query().map(Self::parse).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_repeated_or_with_brackets() {
        let query = QueryString::parse("endpointId=a&endpointId[]=b&endpointId%5B%5D=c&endpointId=&q=x+y%26z");
        assert_eq!(query.all("endpointId").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(query.one("q"), Some("x y&z"));
        assert_eq!(query.one("absent"), None);
    }

    #[test]
    fn empty_is_absent() {
        let query = QueryString::parse("next_page_cursor=&flag&&=x");
        assert_eq!(query.one("next_page_cursor"), None);
        assert_eq!(query.given("next_page_cursor"), Some(""));
        assert_eq!(query.given("flag"), Some(""));
    }
}
