//! Texts to values. `None`: not one of the allowed values, which the table names.

use http::Method;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

const BYTES_MAX: u64 = 1 << 30;
const COUNT_MAX: usize = 1_000_000;
const NETWORKS_MAX: usize = 1_024;
const PING_METHODS: [Method; 3] = [Method::HEAD, Method::GET, Method::POST];
const RETENTION_MIN: Duration = Duration::from_secs(60);

pub fn one(given: &[String]) -> Option<&str> {
    match given {
        [value] => Some(value.trim()),
        _ => None,
    }
}

pub fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count))
}

/// `51200`, `50KiB`, `10 MiB`.
pub fn bytes(text: &str) -> Option<usize> {
    let (digits, unit) = split(text);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    usize::try_from(bytes).ok().filter(|_| (1..=BYTES_MAX).contains(&bytes))
}

/// `90s`, `500ms`, `5m`, `12h`, `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = split(text);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_ms).map(Duration::from_millis)
}

/// A duration worth keeping history for, or `off`.
pub fn period(text: &str) -> Option<Option<Duration>> {
    if text == "off" {
        return Some(None);
    }
    duration(text).filter(|time| *time >= RETENTION_MIN).map(Some)
}

/// Each text holds one network or several with commas; a bare address is a network of one.
pub fn networks(given: &[String]) -> Option<Vec<IpNet>> {
    let parts = given.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty());
    let networks: Option<Vec<IpNet>> =
        parts.map(|part| part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from))).collect();
    networks.filter(|networks| networks.len() <= NETWORKS_MAX)
}

/// Each text holds one method or several with commas.
pub fn methods(given: &[String]) -> Option<Vec<Method>> {
    let parts = given.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty());
    let known = |part: &str| PING_METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(part));
    let methods: Option<Vec<Method>> = parts.map(known).collect();
    methods.filter(|methods| (1..=PING_METHODS.len()).contains(&methods.len()))
}

/// Without a slash at its end.
pub fn public_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    (web && uri.host().is_some() && uri.query().is_none()).then(|| text.trim_end_matches('/').to_owned())
}

/// One that the store understands; several hosts are allowed, so it is not a URL to everybody.
pub fn postgres_url(text: &str) -> Option<String> {
    dacapo_store::postgres::check_url(text).ok().map(|()| text.to_owned())
}

/// `text` as it may be shown: without the password of a URL, also of one that is none because of a
/// character in its password. Rather too much is left out than too little.
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (base, query) = rest.split_once('?').map_or((rest, ""), |(base, query)| (base, query));
    let at = base.rfind('@').or_else(|| rest.rfind('@'));
    let shown = match at.and_then(|at| Some((rest[..at].split_once(':')?.0, at))) {
        Some((name, at)) => format!("{scheme}://{name}:***{}", &rest[at..]),
        None => text.to_owned(),
    };
    let named = |pair: &&str| pair.starts_with("password=");
    query.split('&').filter(named).fold(shown, |shown, pair| shown.replace(pair, "password=***"))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("51200"), Some(51_200));
        assert_eq!(bytes("10 MiB"), Some(10 << 20));
        for bad in ["", "0", "-1", "1.5MiB", "10MB", "2GiB", "99999999999999999999", "KiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!((duration("30"), duration("-1s"), duration("d")), (None, None, None));
        assert_eq!((period("off"), period("59s")), (Some(None), None));
        assert_eq!((count("1"), count("0"), count("1000001")), (Some(1), None, None));
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = without_password("postgres://me:p@ss:word@a:1,b:2/db?sslmode=require");
        assert_eq!(shown, "postgres://me:***@a:1,b:2/db?sslmode=require");
        for (given, shown) in [
            ("postgres://me:a/b@h/db", "postgres://me:***@h/db"),
            ("postgres://me:a?b@h/db", "postgres://me:***@h/db"),
            ("postgres://h/db?user=me&password=word&x=1", "postgres://h/db?user=me&password=***&x=1"),
        ] {
            assert_eq!(without_password(given), shown);
        }
        for plain in ["sqlite:", "postgres://a/db", "postgres://me@a/db?x=a:b@c", "30d"] {
            assert_eq!(without_password(plain), plain);
        }
    }

    #[test]
    fn methods_are_those_of_a_ping() {
        let of = |texts: &[&str]| methods(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["HEAD,GET,POST"]), Some(vec![Method::HEAD, Method::GET, Method::POST]));
        assert_eq!(of(&["post", "GET"]), Some(vec![Method::POST, Method::GET]));
        for bad in ["", ",", "PUT", "GET,PUT", "GET,GET,GET,GET"] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn networks_come_one_by_one_or_with_commas() {
        let given = ["10.0.0.0/8, fd00::/8".to_owned(), "127.0.0.1".to_owned()];
        let found: Vec<String> = networks(&given).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"]);
        assert_eq!(networks(&["10.0.0.0/33".to_owned()]), None);
        assert_eq!(networks(&["localhost".to_owned()]), None);
    }
}
