//! Header maps as history keeps them, and dates as servers write them.

use dacapo_model::Timestamp;
use dacapo_model::attempt::HeaderLines;
use http::HeaderMap;

/// Bytes of header text kept of one answer; the rest of its headers is left out.
const HEADER_TEXT_BYTES_MAX: usize = 16 * 1024;
const BYTES_PER_HEADER: usize = 48;

/// Several values of one name joined by a space (contracts/convoy.md §2.5).
pub fn lines(headers: &HeaderMap) -> HeaderLines {
    let mut lines = HeaderLines::with_capacity(headers.keys_len() * BYTES_PER_HEADER);
    for key in headers.keys() {
        if lines.as_text().len() > HEADER_TEXT_BYTES_MAX {
            break;
        }
        let mut values = headers.get_all(key).iter();
        match (values.next(), values.next()) {
            (Some(only), None) => match std::str::from_utf8(only.as_bytes()) {
                Ok(text) => lines.push(key.as_str(), text),
                Err(_) => lines.push(key.as_str(), &String::from_utf8_lossy(only.as_bytes())),
            },
            _ => {
                let all: Vec<_> =
                    headers.get_all(key).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
                lines.push(key.as_str(), &all.join(" "));
            }
        }
    }
    lines
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_server_s_date() {
        let at = http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        assert_eq!(at.seconds(), 784_111_777);
        assert_eq!(http_date("soon"), None);
    }

    #[test]
    fn values_of_one_name_share_a_line() {
        let mut headers = HeaderMap::new();
        headers.append("x-two", http::HeaderValue::from_static("a"));
        headers.append("x-two", http::HeaderValue::from_static("b"));
        assert_eq!(lines(&headers).get("X-Two"), Some("a b"));
    }
}
