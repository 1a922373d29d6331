//! Events as rows.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Longer types are cut.
const TYPE_WIDTH: usize = 32;

pub fn rows(events: &[Value], with_head: bool) -> String {
    let mut out = String::new();
    if with_head && !events.is_empty() {
        let _ = writeln!(
            out,
            "{:<24}  {:<26}  {:<TYPE_WIDTH$}  {:>9}  DELIVERIES",
            "ACCEPTED", "EVENT", "TYPE", "MEANT FOR"
        );
    }
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let meant = event["meant_for"].as_array().map_or(0, Vec::len);
        let at = text("created_at");
        let _ = writeln!(
            out,
            "{:<24}  {:<26}  {:<TYPE_WIDTH$}  {meant:>9}  {}",
            at.get(..23).map_or(at.to_owned(), |head| format!("{}Z", head.trim_end_matches('Z'))),
            text("uid"),
            cut(text("event_type")),
            deliveries(&event["deliveries"]),
        );
    }
    out
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TYPE_WIDTH {
        return text.to_owned();
    }
    text.chars().take(TYPE_WIDTH - 1).chain(['…']).collect()
}

/// `2 Success, 1 Failure (503)`
fn deliveries(deliveries: &Value) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for delivery in deliveries.as_array().into_iter().flatten() {
        let status = delivery["status"].as_str().unwrap_or_default();
        let word = match (status, delivery["http_status"].as_u64()) {
            ("Success", _) | (_, None) => status.to_owned(),
            (status, Some(code)) => format!("{status} ({code})"),
        };
        *counts.entry(word).or_default() += 1;
    }
    let parts: Vec<String> = counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_says_what_became_of_an_event() {
        let event = json!({
            "uid": "01H0JA5MEES38RRK3HTEJC647K", "event_type": "a".repeat(40), "created_at": "2026-01-02T15:04:05.123456Z",
            "meant_for": [{}],
            "deliveries": [
                {"status": "Success", "http_status": 200}, {"status": "Failure", "http_status": 503},
                {"status": "Success", "http_status": 204}, {"status": "Discarded", "http_status": null},
            ],
        });
        let text = rows(&[event], true);
        assert!(text.contains("2026-01-02T15:04:05.123Z  01H0JA5MEES38RRK3HTEJC647K"), "{text}");
        assert!(text.contains(&format!("{}…", "a".repeat(TYPE_WIDTH - 1))), "{text}");
        assert!(text.contains("1  1 Discarded, 1 Failure (503), 2 Success"), "{text}");
        assert_eq!(rows(&[], true), "");
    }
}
