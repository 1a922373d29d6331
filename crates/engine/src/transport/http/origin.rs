//! Who is asked: the part of a URL that connections are kept by.

use crate::transport::Failure;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

/// Scheme, host and port. Two URLs of one origin share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub secure: bool,
    /// Without `user:password@`.
    authority: Authority,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL.
    pub(super) fn of(uri: &Uri) -> Result<Self, Failure> {
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(Failure::Unconnected("only http and https are spoken here".to_owned())),
        };
        let given = uri.authority().ok_or_else(|| Failure::Broken("the URL is not absolute".to_owned()))?;
        let authority = match given.as_str().rsplit_once('@') {
            None => given.clone(),
            Some((_, bare)) => bare.parse().map_err(|_| Failure::Broken("the URL names no host".to_owned()))?,
        };
        Ok(Self { secure, authority })
    }

    pub(super) fn host(&self) -> &str {
        self.authority.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// For `Host`: the port only where it is not the scheme's own.
    pub(super) fn host_header(&self) -> Option<HeaderValue> {
        let own_port = if self.secure { 443 } else { 80 };
        let text = if self.port() == own_port { self.authority.host() } else { self.authority.as_str() };
        HeaderValue::from_str(text).ok()
    }

    /// Of HTTP/2's request: absolute, and without credentials, which would go into `:authority`.
    pub(super) fn absolute(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().expect("a URL")).expect("an origin")
    }

    #[test]
    fn credentials_are_no_part_of_it_and_a_scheme_s_own_port_need_not_be_said() {
        let bare = origin("http://example.com/a");
        assert_eq!(origin("http://me:secret@Example.com/b?c"), bare);
        assert_ne!(origin("https://example.com/"), bare);
        assert_ne!(origin("http://example.com:81/"), bare);
        let host = |url: &str| origin(url).host_header().expect("a header");
        assert_eq!(host("http://me:secret@example.com:80/"), "example.com");
        assert_eq!(host("https://example.com:80/"), "example.com:80");
        assert_eq!(host("https://[::1]:8443/"), "[::1]:8443");
        assert_eq!(origin("https://me:x@h/").absolute(PathAndQuery::from_static("/p?q")), "https://h/p?q");
    }

    #[test]
    fn only_http_has_one() {
        assert!(Origin::of(&"ftp://example.com/".parse().expect("a URL")).is_err());
        assert!(Origin::of(&"/path".parse().expect("a URL")).is_err());
    }
}
