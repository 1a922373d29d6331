//! `X-Convoy-Version` of a request: how older clients write and read endpoints
//! (contracts/convoy.md §1.10).

use super::error::Error;
use crate::moment;
use http::{HeaderMap, HeaderName};

pub const X_CONVOY_VERSION: HeaderName = HeaderName::from_static("x-convoy-version");
/// What we speak; every answer says so.
pub const CURRENT: &str = "2025-11-24";

/// Which rewrites a request's version asks for. A rule holds for versions strictly older than it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Before 2024-01-01: durations are Go duration strings, signatures are simple unless asked.
    pub duration_strings: bool,
    /// Before 2024-04-01: `url` is `target_url`, `name` is `title`.
    pub old_names: bool,
}

impl Version {
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let Some(given) = headers.get(X_CONVOY_VERSION).filter(|given| !given.is_empty()) else {
            return Ok(Self::default());
        };
        let text = given
            .to_str()
            .ok()
            .filter(|text| moment::parse_date(text).is_some())
            .ok_or(Error::bad("Invalid API version"))?;
        // Dates of this form sort as text.
        Ok(Self { duration_strings: text < "2024-01-01", old_names: text < "2024-04-01" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &'static str) -> Result<Version, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(X_CONVOY_VERSION, http::HeaderValue::from_static(text));
        Version::of(&headers).map_err(|_| ())
    }

    #[test]
    fn rules_hold_for_strictly_older_versions() {
        let both = Version { duration_strings: true, old_names: true };
        assert_eq!(version("0001-01-01"), Ok(both));
        assert_eq!(version("2023-12-31"), Ok(both));
        assert_eq!(version("2024-01-01"), Ok(Version { duration_strings: false, old_names: true }));
        assert_eq!(version("2024-04-01"), Ok(Version::default()));
        assert_eq!(version("2025-11-24"), Ok(Version::default()));
        assert_eq!(Version::of(&HeaderMap::new()).ok(), Some(Version::default()));
        for bad in ["v1", "2024-1-1", "2024-13-01", "2024-01-01T00:00:00"] {
            assert_eq!(version(bad), Err(()), "{bad}");
        }
    }
}
