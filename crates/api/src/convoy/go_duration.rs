//! Durations as Go writes them (`1m30s`), for old clients and retry settings
//! (contracts/convoy.md §1.10, §4.2).

use std::time::Duration;

const NANOS_PER_SECOND: f64 = 1e9;

/// `None` for what Go's parser refuses, and for negative durations.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut nanos = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        nanos += number.parse::<f64>().ok()? * nanos_per(unit)?;
        rest = tail;
    }
    let seconds = nanos / NANOS_PER_SECOND;
    Duration::try_from_secs_f64(seconds).ok()
}

fn nanos_per(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        _ => return None,
    })
}

/// Whole seconds as Go prints them: `0s`, `10s`, `1m0s`, `1h0m5s`.
pub fn print(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in
            [("10s", 10_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("0", 0), ("+1s", 1_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "10", "s", "1x", "-1s", "1..5s", "1s2", "1 s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for (seconds, text) in [(0, "0s"), (10, "10s"), (60, "1m0s"), (90, "1m30s"), (3_605, "1h0m5s")] {
            assert_eq!(print(seconds), text);
        }
    }
}
