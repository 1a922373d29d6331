//! One arrival as lines for a person.

use super::verify::Verdict;
use crate::terminal::{Colour, paint};
use dacapo_model::Timestamp;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use std::fmt::Write;

/// Characters of a body that are printed.
const BODY_CHARS_MAX: usize = 16 * 1024;

pub struct Arrival<'a> {
    pub at: Timestamp,
    pub head: &'a Parts,
    pub body: &'a [u8],
    pub verdict: Verdict,
    /// What it is answered with.
    pub status: u16,
}

pub fn text(arrival: &Arrival<'_>, compact: bool, colours: bool) -> String {
    let mut out = String::new();
    let time = paint(&clock_time(arrival.at), Colour::Dim, colours);
    let line = paint(&printable(&format!("{} {}", arrival.head.method, arrival.head.uri)), Colour::Bold, colours);
    let answer = if arrival.status < 300 { Colour::Green } else { Colour::Yellow };
    let answer = paint(&format!("→ {}", arrival.status), answer, colours);
    let _ = writeln!(out, "{time}  {line}  {answer}  {}", verdict(arrival.verdict, colours));
    for (name, value) in arrival.head.headers.iter().filter(|(name, _)| tells(name)) {
        let name = paint(name.as_str(), Colour::Cyan, colours);
        let _ = writeln!(out, "  {name}: {}", header(value));
    }
    let _ = writeln!(out, "{}\n", indented(&body(arrival.body, compact)));
    out
}

fn verdict(verdict: Verdict, colours: bool) -> String {
    let (text, colour) = match verdict {
        Verdict::Verified(scheme) => (format!("✓ signature ({scheme})"), Colour::Green),
        Verdict::Wrong(scheme) => (format!("✗ wrong signature ({scheme})"), Colour::Red),
        Verdict::Stale(scheme) => (format!("✗ signed too long ago ({scheme})"), Colour::Red),
        Verdict::Unsigned => ("✗ not signed".to_owned(), Colour::Red),
        Verdict::NotChecked => ("– not checked".to_owned(), Colour::Dim),
    };
    paint(&text, colour, colours)
}

/// Headers that say what arrived; the rest is how.
fn tells(name: &HeaderName) -> bool {
    let plain = ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "connection"];
    !plain.contains(&name.as_str())
}

/// `12:34:56` (UTC) of `2026-01-02T12:34:56.789Z`.
fn clock_time(at: Timestamp) -> String {
    at.to_string().split('T').nth(1).and_then(|time| time.get(..8)).unwrap_or_default().to_owned()
}

fn header(value: &HeaderValue) -> String {
    printable(&String::from_utf8_lossy(value.as_bytes()))
}

/// JSON over several lines, in its own key order and number spelling as far as they go; anything
/// else as it came.
fn body(bytes: &[u8], compact: bool) -> String {
    if bytes.is_empty() {
        return "(no body)".to_owned();
    }
    let pretty = match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if !compact => serde_json::to_string_pretty(&value).ok(),
        _ => None,
    };
    let text = pretty.unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    let mut shown = printable(&text.chars().take(BODY_CHARS_MAX).collect::<String>());
    if text.chars().nth(BODY_CHARS_MAX).is_some() {
        let _ = write!(shown, "\n… {} bytes in all", bytes.len());
    }
    shown
}

/// What arrives must not drive the terminal.
fn printable(text: &str) -> String {
    let harmless = |character: char| if character.is_control() && character != '\n' { '·' } else { character };
    text.chars().map(harmless).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn shown(body: &[u8], compact: bool, colours: bool) -> String {
        let request =
            Request::post("/hook").header("webhook-id", "msg_1").header("content-type", "x").body(()).unwrap();
        let (head, ()) = request.into_parts();
        let at = "2026-01-02T12:34:56.789Z".parse().unwrap();
        text(&Arrival { at, head: &head, body, verdict: Verdict::Verified("x"), status: 200 }, compact, colours)
    }

    #[test]
    fn an_arrival_reads_well() {
        let expected = "12:34:56  POST /hook  → 200  ✓ signature (x)\n  webhook-id: msg_1\n  {\n    \"b\": 1,\n    \"a\": []\n  }\n\n";
        assert_eq!(shown(br#"{"b":1,"a":[]}"#, false, false), expected);
        assert!(shown(br#"{"b":1}"#, true, false).contains("\n  {\"b\":1}\n"));
        assert!(shown(b"plain", false, false).contains("\n  plain\n"));
        assert!(shown(b"", false, false).contains("(no body)"));
    }

    #[test]
    fn colours_are_ours_alone() {
        assert!(!shown(b"\x1b[31mred", false, false).contains('\x1b'));
        assert!(shown(b"x", false, true).contains("\x1b[32m"));
        let long = "y".repeat(20_000);
        assert!(shown(long.as_bytes(), false, false).contains("… 20000 bytes in all"));
    }
}
