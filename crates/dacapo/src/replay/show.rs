//! Replays as text.

use super::span::span;
use super::table::Table;
use serde_json::Value;
use std::fmt::Write;

/// Longer names are cut in lists.
const NAME_WIDTH: usize = 60;

/// `columns`: of the terminal, if it is one.
pub fn list(replays: &Value, columns: Option<usize>) -> String {
    let rows = replays.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "No replay yet.\n".to_owned();
    }
    let widths = [("REPLAY", 26), ("STATUS", 9), ("DONE", 4), ("MATCHED", 9), ("SUCCESS", 9), ("FAILED", 9)];
    let started = |at: &str, mode: &str, by: &str| format!("{at:<20}  {mode:<9}  {by:<38}");
    let table = Table::new(&widths, &[&started("STARTED", "MODE", "BY"), "NAME"], columns);
    let mut out = table.head();
    for replay in rows {
        let text = |name: &str| replay[name].as_str().unwrap_or_default();
        let counts = &replay["counts"];
        let count = |name: &str| counts[name].as_u64().map_or_else(|| "?".to_owned(), |count| count.to_string());
        let [matched, success, failed] = ["matched", "success", "failure"].map(|name| format!("{:>9}", count(name)));
        let done = format!("{:>4}", percent(replay));
        // Of a single call that says more than its mode.
        let mode = match text("kind") {
            call @ ("single" | "resend") => call,
            _ => text("mode"),
        };
        let started = started(&second(text("started_at")), mode, &asker(&replay["asked_by"]));
        let name: String = text("name").chars().take(NAME_WIDTH).collect();
        out.push_str(
            &table.row(&[text("uid"), text("status"), &done, &matched, &success, &failed], &[&started, &name]),
        );
    }
    out
}

/// Of a time, without the fraction; `-` where there is none.
pub fn second(at: &str) -> String {
    if at.is_empty() {
        return "-".to_owned();
    }
    at.get(..19).map_or_else(|| at.to_owned(), |head| format!("{head}Z"))
}

pub fn one(replay: &Value) -> String {
    let text = |name: &str| replay[name].as_str().unwrap_or_default();
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<10}  {value}");
        }
    };
    row("REPLAY", text("uid"));
    row("STATUS", &format!("{} {}", text("status"), percent(replay)));
    row("NAME", text("name"));
    row("REASON", text("reason"));
    row("BY", &asker(&replay["asked_by"]));
    row("MODE", text("mode"));
    row("SELECTOR", &replay["selector"].to_string());
    row("HOW", &how(&replay["options"]));
    row("OUTCOMES", &outcomes(replay));
    for (why, count) in replay["counts"]["by_reason"].as_object().into_iter().flatten() {
        row("  of which", &format!("{count} {why}"));
    }
    if replay["pace"].is_number() && text("status") != "paused" {
        row("PACE", &pace(replay));
    }
    row("FAILURE", text("failure"));
    row("CREATED", text("created_at"));
    row("STARTED", text("started_at"));
    row("FINISHED", text("finished_at"));
    // The audit: who did what.
    for step in replay["steps"].as_array().into_iter().flatten() {
        let at = second(step["at"].as_str().unwrap_or_default());
        let what = step["what"].as_str().unwrap_or_default();
        row("STEP", &format!("{at}  {what}, {}", asker(&step["by"])));
    }
    out
}

/// What was asked for besides the usual: `to https://…, oldest first per endpoint`.
fn how(options: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(url) = options["target"]["url"].as_str() {
        parts.push(format!("to {url}"));
    }
    if let Some(id) = options["target"]["endpoint_id"].as_str() {
        parts.push(format!("to endpoint {id}"));
    }
    for (part, _) in options["as_of"].as_object().into_iter().flatten().filter(|(_, as_of)| *as_of == "original") {
        parts.push(format!("{part} as when the event came"));
    }
    if options["include_succeeded"] == true {
        parts.push("also where it has succeeded".to_owned());
    }
    if options["order"] == "per_endpoint" {
        parts.push("oldest first per endpoint".to_owned());
    }
    let limits = [
        ("rate", "a second"),
        ("concurrency", "at once"),
        ("endpoint_rate", "a second to any endpoint"),
        ("endpoint_concurrency", "at once to any endpoint"),
    ];
    for (name, of) in limits {
        parts.extend(options[name].as_u64().map(|most| format!("at most {most} {of}")));
    }
    parts.join(", ")
}

/// `api_key 01H…`
fn asker(by: &Value) -> String {
    let text = |name: &str| by[name].as_str().unwrap_or_default();
    format!("{} {}", text("kind"), text("id")).trim().to_owned()
}

/// As [`one`], with what was on its way when it was stopped.
pub fn steered(replay: &Value) -> String {
    let mut out = one(replay);
    let number = |name: &str| replay[name].as_u64().unwrap_or(0);
    if number("in_flight") > 0 {
        let _ = writeln!(
            out,
            "IN FLIGHT   {} exchanges were under way and are recorded when they end",
            number("in_flight")
        );
    }
    if number("unconfirmed_nodes") > 0 {
        let _ = writeln!(
            out,
            "NODES       {} have not confirmed yet: what they have taken up may still go out",
            number("unconfirmed_nodes")
        );
    }
    out
}

/// `1200 succeeded, 3 failed, 0 discarded, 40 waiting of 1243`
pub fn outcomes(replay: &Value) -> String {
    let counts = &replay["counts"];
    let number = |name: &str| counts[name].as_u64().unwrap_or(0);
    let mut text = format!(
        "{} succeeded, {} failed, {} discarded, {} waiting",
        number("success"),
        number("failure"),
        number("discarded"),
        number("waiting")
    );
    if number("gone") > 0 {
        let _ = write!(text, ", {} gone (removed, or for nobody now)", number("gone"));
    }
    if let Some(matched) = counts["matched"].as_u64() {
        let _ = write!(text, " of {matched}");
    }
    text
}

pub fn pace(replay: &Value) -> String {
    let mut text = format!("{:.1} a second", replay["pace"].as_f64().unwrap_or(0.0));
    if let Some(rate) = replay["options"]["rate"].as_u64() {
        let _ = write!(text, " (at most {rate})");
    }
    if let Some(left) = replay["eta_seconds"].as_u64() {
        let _ = write!(text, ", {} to go", span(left));
    }
    text
}

pub fn percent(replay: &Value) -> String {
    replay["progress"].as_f64().map_or_else(String::new, |done| format!("{:.0}%", (done * 100.0).floor()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_replay_says_how_it_stands() {
        let replay = json!({
            "uid": "R", "status": "running", "mode": "failed", "name": "after the outage", "selector": {"from": "-2h"},
            "counts": {"matched": 1243, "items": 1243, "waiting": 40, "success": 1200, "failure": 3, "discarded": 0,
                       "gone": 0, "by_reason": {"retry_limit": 3}},
            "options": {"rate": 50, "concurrency": 64, "order": "per_endpoint", "include_succeeded": false,
                        "as_of": {"url": "original", "headers": "current"}, "target": {"url": "https://a.test/"},
                        "endpoint_rate": 5}, "progress": 0.967, "pace": 49.53, "eta_seconds": 1,
            "in_flight": 2, "unconfirmed_nodes": 0, "created_at": "2026-01-02T03:10:00Z", "finished_at": null,
        });
        let text = steered(&replay);
        for line in [
            "STATUS      running 96%\n",
            "OUTCOMES    1200 succeeded, 3 failed, 0 discarded, 40 waiting of 1243\n",
            "  of which  3 retry_limit\n",
            "HOW         to https://a.test/, url as when the event came, oldest first per endpoint, at most 50 a second, \
             at most 64 at once, at most 5 a second to any endpoint\n",
            "PACE        49.5 a second (at most 50), 1 s to go\n",
            "IN FLIGHT   2 exchanges",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(!text.contains("NODES") && !text.contains("FINISHED"), "{text}");
    }

    #[test]
    fn a_list_says_how_far_each_is_when_it_was_started_and_who_asked() {
        let replay = json!({
            "uid": "01H0JA5MEES38RRK3HTEJC647K", "status": "completed", "mode": "discarded", "name": "after the outage", "progress": 1.0,
            "counts": {"matched": null, "success": 1_234_567, "failure": 3}, "started_at": "2026-01-02T03:10:00.5Z",
            "asked_by": {"kind": "connect_key", "id": "01H0JA5MEES38RRK3HTEJC647K"},
        });
        let waits = json!({"uid": "01H0JA5MEES38RRK3HTEJC647K", "status": "planned", "started_at": null, "asked_by": {"kind": "system"}});
        let replays = json!([replay, waits]);
        let wide = list(&replays, None);
        assert_eq!(
            wide.lines().collect::<Vec<_>>(),
            [
                "REPLAY                      STATUS     DONE  MATCHED    SUCCESS    FAILED     STARTED               MODE       BY                                      NAME",
                "01H0JA5MEES38RRK3HTEJC647K  completed  100%          ?    1234567          3  2026-01-02T03:10:00Z  discarded  connect_key 01H0JA5MEES38RRK3HTEJC647K  after the outage",
                "01H0JA5MEES38RRK3HTEJC647K  planned                  ?          ?          ?  -                                system",
            ]
        );
        let narrow = list(&replays, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(
            narrow.contains(
                "3\n    2026-01-02T03:10:00Z  discarded  connect_key 01H0JA5MEES38RRK3HTEJC647K\n    after the outage\n"
            ),
            "{narrow}"
        );
    }
}
