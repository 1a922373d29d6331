//! A time in a selector: absolute, or a span back from now.

use crate::clock::Timestamp;
use serde::{Serialize, Serializer};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    /// Whole seconds; zero is now.
    Before(u64),
}

/// The longest span back, in seconds: a hundred years.
const BACK_MAX_S: u64 = 100 * 365 * DAY_S;
const DAY_S: u64 = 24 * 3_600;

impl Moment {
    /// RFC 3339 with a zone, `now`, or `-` and numbers with a unit of `s`, `m`, `h`, `d` or `w`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "now" {
            return Some(Self::Before(0));
        }
        match text.strip_prefix('-') {
            // A year before 0 starts with a minus too; no event is that old.
            Some(span) => seconds(span).map(Self::Before),
            None => text.parse().ok().map(Self::At),
        }
    }

    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Before(seconds) => now.minus(Duration::from_secs(seconds)),
        }
    }
}

fn seconds(span: &str) -> Option<u64> {
    let (mut total, mut number) = (0u64, None::<u64>);
    for letter in span.chars() {
        let unit = match letter {
            '0'..='9' => {
                let digit = u64::from(letter.to_digit(10)?);
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => DAY_S,
            'w' => 7 * DAY_S,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && !span.is_empty() && total <= BACK_MAX_S).then_some(total)
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(at) => at.serialize(serializer),
            Self::Before(0) => serializer.serialize_str("now"),
            Self::Before(seconds) => serializer.collect_str(&format_args!("-{seconds}s")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times() {
        for (text, seconds) in [
            ("now", 0),
            ("-0s", 0),
            ("-90s", 90),
            ("-2h", 7_200),
            ("-1h30m", 5_400),
            ("-7d", 7 * DAY_S),
            ("-1w1d", 8 * DAY_S),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment::Before(seconds)), "{text}");
        }
        let at = Timestamp::from_micros(1_767_366_245_123_400);
        assert_eq!(Moment::parse("2026-01-02T15:04:05.1234Z"), Some(Moment::At(at)));
        assert_eq!(Moment::parse("2026-01-02T16:04:05.1234+01:00"), Some(Moment::At(at)));
        for text in [
            "",
            "-",
            "-2",
            "-h",
            "-2h5",
            "-2x",
            "2h",
            "+2h",
            "yesterday",
            "2026-01-02",
            "-99999999999999999999s",
            "-200000d",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
