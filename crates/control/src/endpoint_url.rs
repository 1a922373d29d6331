//! Where an endpoint may point, and how its URL is printed (contracts/convoy.md §3.2).
//!
//! Clients compare the URL they get back with the one they sent, so it is printed the way Convoy
//! prints it: scheme in lower case, path percent-encoded where it must be, everything else as it
//! was. A general URL library would also fold the host, drop default ports and add a slash.

use dacapo_model::address::Guard;
use std::net::{IpAddr, Ipv4Addr};

/// Why a URL cannot be an endpoint's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    #[error("parse {url:?}: {fault}")]
    Unparsable { url: String, fault: Fault },
    #[error("endpoint url must include a valid host")]
    NoHost,
    #[error("invalid endpoint scheme")]
    Scheme,
    #[error("only https endpoints allowed")]
    NotHttps,
}

/// The words are the ones Convoy's users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    #[error("missing protocol scheme")]
    MissingScheme,
    #[error("first path segment in URL cannot contain colon")]
    ColonInFirstSegment,
    #[error("net/url: invalid userinfo")]
    UserInfo,
    #[error("missing ']' in host")]
    UnclosedBracket,
    #[error("invalid port {0:?} after host")]
    Port(String),
    #[error("invalid character {0:?} in host name")]
    HostCharacter(String),
    #[error("invalid URL escape {0:?}")]
    Escape(String),
}

/// The URL as it is stored and called.
pub fn normalise(text: &str, https_only: bool) -> Result<String, UrlRefusal> {
    let parts = Parts::parse(text).map_err(|fault| {
        let url = text.split_once('#').map_or(text, |(before, _)| before).to_owned();
        UrlRefusal::Unparsable { url, fault }
    })?;
    if parts.scheme.is_empty() || parts.host.is_empty() {
        return Err(UrlRefusal::NoHost);
    }
    match parts.scheme.as_str() {
        "https" => {}
        "http" if !https_only => {}
        "http" => return Err(UrlRefusal::NotHttps),
        _ => return Err(UrlRefusal::Scheme),
    }
    Ok(parts.print())
}

/// A chat hook is called by us with our users' texts: https, and no address inside our network.
pub fn is_public_https(text: &str) -> bool {
    let Ok(parts) = Parts::parse(text) else {
        return false;
    };
    if parts.scheme != "https" || parts.host.is_empty() {
        return false;
    }
    let name = parts.host_name();
    match name.parse::<IpAddr>() {
        Ok(address) => Guard::default().admits(address),
        Err(_) => !name.eq_ignore_ascii_case("localhost") && !name.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// Whether its host, as far as a name tells, is none inside a network that the guard keeps from us. Names are
/// judged again where they are dialled.
pub fn is_allowed(text: &str, guard: &Guard) -> bool {
    let Ok(parts) = Parts::parse(text) else {
        return false;
    };
    let name = parts.host_name();
    let host = if parts.host.starts_with('[') { format!("[{name}]") } else { name.to_owned() };
    match url::Host::parse(&host) {
        Ok(url::Host::Ipv4(address)) => guard.admits(address.into()),
        Ok(url::Host::Ipv6(address)) => guard.admits(address.into()),
        Ok(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let is_own = name == "localhost" || name.ends_with(".localhost");
            !is_own || guard.admits(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
        Err(_) => false,
    }
}

/// A URL taken apart; `None` where a part was not there at all.
struct Parts {
    scheme: String,
    user: Option<String>,
    host: String,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl Parts {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (text, fragment) = match text.split_once('#') {
            Some((before, fragment)) => (before, Some(fragment)),
            None => (text, None),
        };
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(Fault::ControlCharacter);
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let first_segment = rest.split('/').next().unwrap_or_default();
        if scheme.is_empty() && first_segment.contains(':') {
            return Err(Fault::ColonInFirstSegment);
        }
        let (user, host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
            None => (None, String::new(), rest),
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(print_user(user)?), host),
                    None => (None, authority),
                };
                (user, print_host(host)?, path)
            }
        };
        let path = print_encoded(path, may_stand_in_path)?;
        let fragment = fragment.map(|text| print_encoded(text, may_stand_in_fragment)).transpose()?;
        Ok(Self { scheme, user, host, path, query, fragment })
    }

    fn print(&self) -> String {
        let mut text = format!("{}://", self.scheme);
        if let Some(user) = &self.user {
            text.push_str(user);
            text.push('@');
        }
        text.push_str(&self.host);
        text.push_str(&self.path);
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
        if let Some(fragment) = self.fragment.as_deref().filter(|fragment| !fragment.is_empty()) {
            text.push('#');
            text.push_str(fragment);
        }
        text
    }

    /// Without port and brackets.
    fn host_name(&self) -> &str {
        if let Some(rest) = self.host.strip_prefix('[') {
            return rest.split_once(']').map_or(rest, |(name, _)| name);
        }
        self.host.split_once(':').map_or(&*self.host, |(name, _)| name)
    }
}

/// The scheme in lower case, and what follows its colon; an empty scheme when there is none.
fn split_scheme(text: &str) -> Result<(String, &str), Fault> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err(Fault::MissingScheme),
            b':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn print_user(text: &str) -> Result<String, Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !text.bytes().all(allowed) {
        return Err(Fault::UserInfo);
    }
    let print = |part: &str| Ok(encode(&decode(part)?, |byte| is_unreserved(byte) || b"$&+,;=".contains(&byte)));
    match text.split_once(':') {
        Some((name, password)) => Ok(format!("{}:{}", print(name)?, print(password)?)),
        None => print(text),
    }
}

fn print_host(text: &str) -> Result<String, Fault> {
    let port = if text.starts_with('[') {
        let close = text.rfind(']').ok_or(Fault::UnclosedBracket)?;
        &text[close + 1..]
    } else {
        text.rfind(':').map_or("", |colon| &text[colon..])
    };
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    if !port_is_valid {
        return Err(Fault::Port(port.to_owned()));
    }
    let may_stand = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(c);
    if let Some(at) = text.find('%') {
        return Err(Fault::Escape(text[at..].chars().take(3).collect()));
    }
    if let Some(bad) = text.chars().find(|c| !may_stand(*c)) {
        return Err(Fault::HostCharacter(bad.to_string()));
    }
    if text.is_ascii() {
        return Ok(text.to_owned());
    }
    // A name in another script is stored in the form it is looked up in.
    let name = &text[..text.len() - port.len()];
    match url::Host::parse(name) {
        Ok(host) => Ok(format!("{host}{port}")),
        Err(_) => Err(Fault::HostCharacter(name.chars().filter(|c| !c.is_ascii()).take(1).collect())),
    }
}

/// As it is when it is encoded already, else decoded and encoded anew.
fn print_encoded(text: &str, may_stand: fn(u8) -> bool) -> Result<String, Fault> {
    let decoded = decode(text)?;
    if text.bytes().all(|byte| byte == b'%' || may_stand(byte) || b"!'()*[]".contains(&byte)) {
        return Ok(text.to_owned());
    }
    Ok(encode(&decoded, may_stand))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

fn may_stand_in_path(byte: u8) -> bool {
    is_unreserved(byte) || b"$&+,/:;=@".contains(&byte)
}

fn may_stand_in_fragment(byte: u8) -> bool {
    is_unreserved(byte) || b"$&+,/:;=?@!()*".contains(&byte)
}

fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digit = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(Fault::Escape(String::from_utf8_lossy(&rest[..rest.len().min(3)]).into_owned()));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    Ok(bytes)
}

fn encode(bytes: &[u8], may_stand: fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if may_stand(*byte) {
            text.push(*byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_convoy_does() {
        for (given, stored) in [
            ("HTTP://Example.org", "http://Example.org"),
            ("https://r.example/hook", "https://r.example/hook"),
            ("https://r.example/a b/%7e", "https://r.example/a%20b/~"),
            ("https://r.example/%7e", "https://r.example/%7e"),
            ("https://r.example:443/?q=a b&x=%zz", "https://r.example:443/?q=a b&x=%zz"),
            ("https://r.example/é", "https://r.example/%C3%A9"),
            ("https://u:p%40w@r.example", "https://u:p%40w@r.example"),
            ("http://127.0.0.1:9/x?", "http://127.0.0.1:9/x?"),
            ("http://[::1]:9/x#part", "http://[::1]:9/x#part"),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(normalise(given, false).as_deref(), Ok(stored), "{given}");
        }
    }

    #[test]
    fn refuses_in_convoys_words() {
        for (given, text) in [
            ("", "endpoint url must include a valid host"),
            ("r.example/hook", "endpoint url must include a valid host"),
            ("http://", "endpoint url must include a valid host"),
            ("http:///x", "endpoint url must include a valid host"),
            ("mailto:a@b.cd", "endpoint url must include a valid host"),
            ("ftp://r.example", "invalid endpoint scheme"),
            ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
            ("http://r.example:x/", "parse \"http://r.example:x/\": invalid port \":x\" after host"),
            ("http://a b/", "parse \"http://a b/\": invalid character \" \" in host name"),
            ("http://r.example/%zz", "parse \"http://r.example/%zz\": invalid URL escape \"%zz\""),
            ("http://r.example/%a", "parse \"http://r.example/%a\": invalid URL escape \"%a\""),
            (":x", "parse \":x\": missing protocol scheme"),
            ("1x:y", "parse \"1x:y\": first path segment in URL cannot contain colon"),
        ] {
            assert_eq!(normalise(given, false).expect_err(given).to_string(), text, "{given}");
        }
        assert_eq!(normalise("http://r.example", true), Err(UrlRefusal::NotHttps));
        assert_eq!(normalise("https://r.example", true).as_deref(), Ok("https://r.example"));
    }

    #[test]
    fn what_the_operator_did_not_allow_is_no_address_to_tell_things_to() {
        let allowed = |text: &str, networks: &[&str]| {
            let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
            is_allowed(text, &Guard::new(networks))
        };
        for inside in [
            "http://127.0.0.1:9/x",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://[::1]:9/",
            "http://[::ffff:127.0.0.1]/",
            "http://LOCALHOST/",
            "http://localhost./",
            "http://a.localhost:1/",
            "https://10.1.2.3/",
            "https://169.254.169.254/",
            "nonsense",
        ] {
            assert!(!allowed(inside, &[]), "{inside}");
        }
        for outside in ["https://r.example/x", "http://1.1.1.1/", "https://localhost.example/"] {
            assert!(allowed(outside, &[]), "{outside}");
        }
        for loopback in ["http://127.0.0.1:9/x", "http://localhost:9/"] {
            assert!(allowed(loopback, &["127.0.0.0/8"]) && !allowed(loopback, &["10.0.0.0/8"]), "{loopback}");
        }
        assert!(allowed("http://10.1.2.3/", &["10.0.0.0/8"]));
    }

    #[test]
    fn chat_hooks_are_public_and_https() {
        assert!(is_public_https("https://hooks.slack.com/services/x"));
        assert!(is_public_https("https://1.1.1.1/x"));
        for bad in [
            "http://hooks.slack.com/x",
            "https://127.0.0.1/",
            "https://[::1]:8/",
            "https://LOCALHOST/x",
            "nonsense",
            "",
        ] {
            assert!(!is_public_https(bad), "{bad}");
        }
    }
}
