//! A plan as a table.

use super::span::{bytes, span};
use serde_json::Value;
use std::fmt::Write;

/// Rows of each part; the rest is counted.
const ROWS_MAX: usize = 12;
/// Of a sample's body.
const BODY_CHARS_MAX: usize = 400;

pub fn table(plan: &Value) -> String {
    let number = |name: &str| plan[name].as_u64().unwrap_or(0);
    let text = |name: &str| plan[name].as_str().unwrap_or("-");
    let mut out = String::new();
    let least = if plan["complete"].as_bool() == Some(false) { "at least " } else { "" };
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<18}  {value}");
    };
    row("MODE", text("mode").to_owned());
    row("MATCHED", format!("{least}{}", number("matched")));
    row("TO SEND", format!("{least}{}", number("to_send")));
    row("ALREADY SUCCEEDED", number("already_succeeded").to_string());
    for (why, count) in plan["skipped"].as_object().into_iter().flatten() {
        row("SKIPPED", format!("{count} {why}"));
    }
    row("EVENTS", format!("{}, {} of payload", number("events"), bytes(number("bytes"))));
    row("OLDEST", text("oldest").to_owned());
    row("NEWEST", text("newest").to_owned());
    row(
        "TAKES",
        match plan["seconds"].as_u64() {
            Some(seconds) => format!("{} at {} a second", span(seconds), plan["options"]["rate"]),
            None => "as fast as it goes (--rate sets a pace)".to_owned(),
        },
    );
    counts(&mut out, "ENDPOINT", &plan["endpoints"], |row| {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        format!("{}  {}  {}", text("endpoint_id"), text("name"), text("url"))
    });
    counts(&mut out, "EVENT TYPE", &plan["event_types"], |row| {
        row["event_type"].as_str().unwrap_or_default().to_owned()
    });
    for sample in plan["samples"].as_array().into_iter().flatten() {
        sample_of(&mut out, sample);
    }
    if !least.is_empty() {
        out.push_str("\nTime was up before all of it was counted: a narrower selector gives exact numbers.\n");
    } else if number("matched") > 0 {
        let _ = writeln!(out, "\ndacapo replay start … --expected-count {} runs exactly this.", number("matched"));
    }
    out
}

fn counts(out: &mut String, head: &str, rows: &Value, name: impl Fn(&Value) -> String) {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{:>9}  {head}", "COUNT");
    for row in rows.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "{:>9}  {}", row["count"].as_u64().unwrap_or(0), name(row));
    }
    let rest = rows.get(ROWS_MAX..).unwrap_or_default();
    if !rest.is_empty() {
        let sum: u64 = rest.iter().filter_map(|row| row["count"].as_u64()).sum();
        let _ = writeln!(out, "{sum:>9}  in {} more", rest.len());
    }
}

fn sample_of(out: &mut String, sample: &Value) {
    let text = |name: &str| sample[name].as_str().unwrap_or_default();
    let _ = writeln!(out, "\nA request, of event {}:\n  {} {}", text("event_id"), text("method"), text("url"));
    if !text("fault").is_empty() {
        let _ = writeln!(out, "  cannot be sent: {}", text("fault"));
        return;
    }
    for header in sample["headers"].as_array().into_iter().flatten() {
        let part = |at: usize| header[at].as_str().unwrap_or_default();
        let _ = writeln!(out, "  {}: {}", part(0), part(1));
    }
    let body = text("body");
    let shown: String = body.chars().take(BODY_CHARS_MAX).collect();
    let more = if shown.len() < body.len() { "…" } else { "" };
    let _ = writeln!(out, "\n  {shown}{more}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(complete: bool) -> Value {
        let types: Vec<Value> = (0..15).map(|n| json!({"event_type": format!("t{n}"), "count": 20 - n})).collect();
        json!({
            "mode": "failed", "matched": 37, "to_send": 30, "already_succeeded": 7, "skipped": {"endpoint_deleted": 2},
            "events": 37, "bytes": 4096, "oldest": "2026-01-02T02:10:00Z", "newest": "2026-01-02T03:05:00Z",
            "seconds": 61, "options": {"rate": 50}, "complete": complete,
            "endpoints": [{"endpoint_id": "E", "name": "shop", "url": "https://x.test/", "count": 37}],
            "event_types": types,
            "samples": [{"event_id": "V", "endpoint_id": "E", "method": "POST", "url": "https://x.test/",
                         "headers": [["webhook-id", "V"]], "body": "{}", "fault": null}],
        })
    }

    #[test]
    fn a_plan_is_read_at_a_glance() {
        let text = table(&plan(true));
        for line in [
            "MATCHED             37\n",
            "TO SEND             30\n",
            "ALREADY SUCCEEDED   7\n",
            "SKIPPED             2 endpoint_deleted\n",
            "EVENTS              37, 4.0 KiB of payload\n",
            "TAKES               1 min 1 s at 50 a second\n",
            "       37  E  shop  https://x.test/\n",
            "       20  t0\n",
            "       21  in 3 more\n",
            "  POST https://x.test/\n  webhook-id: V\n",
            "--expected-count 37 runs exactly this.",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn a_plan_that_was_cut_off_says_so() {
        let text = table(&plan(false));
        assert!(text.contains("MATCHED             at least 37\n"), "{text}");
        assert!(text.contains("narrower selector") && !text.contains("--expected-count"), "{text}");
    }
}
