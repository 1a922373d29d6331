//! What a replay is made of: as rows, page after page, and as the lines the gateway writes.

use super::path;
use super::table::Table;
use crate::remote::Remote;
use crate::terminal;
use anyhow::Result;
use dacapo_model::Status;
use serde_json::Value;

/// Items one page is asked for.
const PAGE_ITEMS_MAX: u64 = 100;

/// Prints each page as it comes.
pub async fn list(remote: &Remote, id: &str, statuses: &[Status], limit: u64, json: bool) -> Result<()> {
    let table = table(terminal::columns());
    let (mut left, mut cursor, mut shown) = (limit, String::new(), 0);
    loop {
        let per_page = left.clamp(1, PAGE_ITEMS_MAX);
        let narrowed = narrowing(statuses);
        let page = remote.get(&path(id, &format!("/items?perPage={per_page}{cursor}{narrowed}"))).await?;
        let items = page["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = if json { lines(items) } else { rows(&table, items, shown == 0) };
        if terminal::write(text.as_bytes()).is_err() {
            return Ok(());
        }
        shown += items.len() as u64;
        left = left.saturating_sub(items.len() as u64);
        let has_more = page["pagination"]["has_next_page"] == true;
        if has_more && left > 0 {
            let next = page["pagination"]["next_page_cursor"].as_str().unwrap_or_default();
            cursor = format!("&next_page_cursor={next}");
            continue;
        }
        if !json && shown == 0 {
            terminal::print("No such item.\n");
        } else if !json && has_more {
            terminal::note("There are more: --limit shows them, dacapo replay report all of them.");
        }
        return Ok(());
    }
}

/// Every item, as it comes. Says so when history holds fewer than the replay had.
pub async fn report(remote: &Remote, id: &str, statuses: &[Status]) -> Result<()> {
    let narrowed = narrowing(statuses).replacen('&', "?", 1);
    let (mut shown, mut is_read) = (0, true);
    let take = |lines: &[u8]| {
        shown += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        is_read = terminal::write(lines).is_ok();
        is_read
    };
    remote.stream(&path(id, &format!("/report{narrowed}")), take).await?;
    if is_read && statuses.is_empty() {
        let replay = remote.get(&path(id, "")).await?;
        let had = replay["counts"]["items"].as_u64().unwrap_or_default();
        let is_over = replay["finished_at"].is_string();
        if let Some(missing) = had.checked_sub(shown).filter(|missing| is_over && *missing > 0) {
            terminal::note(&format!("{missing} of {had} items are not here: retention has removed their events."));
        }
    }
    Ok(())
}

fn narrowing(statuses: &[Status]) -> String {
    statuses.iter().map(|status| format!("&status={}", status.as_str())).collect()
}

fn lines(items: &[Value]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

fn table(columns: Option<usize>) -> Table {
    Table::new(&[("WHEN", 20), ("EVENT", 26), ("STATUS", 10), ("WHY, WAITS FOR", 17)], &["ENDPOINT"], columns)
}

fn rows(table: &Table, items: &[Value], with_head: bool) -> String {
    let mut out = if with_head && !items.is_empty() { table.head() } else { String::new() };
    for item in items {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let why = item["outcome"].as_str().or(item["waits_for"].as_str()).unwrap_or_default();
        let name = item["endpoint_metadata"]["name"].as_str().unwrap_or_default();
        let endpoint = format!("{} {name}", text("endpoint_id"));
        let when = super::show::second(text("updated_at"));
        out.push_str(&table.row(&[&when, text("event_id"), text("status"), why], &[endpoint.trim_end()]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn items() -> Vec<Value> {
        let id = "01H0JA5MEES38RRK3HTEJC647K";
        let item = |status, outcome: Option<&str>, waits_for: Option<&str>, name: Option<&str>| {
            json!({
                "updated_at": "2026-01-02T15:04:05.123456Z", "event_id": id, "endpoint_id": id, "status": status,
                "outcome": outcome, "waits_for": waits_for, "endpoint_metadata": name.map(|name| json!({"name": name})),
            })
        };
        vec![
            item("Discarded", Some("endpoint_inactive"), None, Some("shop orders")),
            item("Processing", None, Some("circuit_breaker"), None),
            item("Success", None, None, Some("shop orders")),
        ]
    }

    #[test]
    fn a_row_says_what_became_of_an_item_and_why() {
        let text = rows(&table(None), &items(), true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "WHEN                  EVENT                       STATUS      WHY, WAITS FOR     ENDPOINT",
                "2026-01-02T15:04:05Z  01H0JA5MEES38RRK3HTEJC647K  Discarded   endpoint_inactive  01H0JA5MEES38RRK3HTEJC647K shop orders",
                "2026-01-02T15:04:05Z  01H0JA5MEES38RRK3HTEJC647K  Processing  circuit_breaker    01H0JA5MEES38RRK3HTEJC647K",
                "2026-01-02T15:04:05Z  01H0JA5MEES38RRK3HTEJC647K  Success                        01H0JA5MEES38RRK3HTEJC647K shop orders",
            ]
        );
        assert_eq!(rows(&table(None), &[], true), "");
    }

    #[test]
    fn a_narrow_terminal_gets_two_lines_and_breaks_none() {
        let text = rows(&table(Some(80)), &items(), true);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.lines().count(), 8);
        assert!(text.contains("Discarded   endpoint_inactive\n    01H0JA5MEES38RRK3HTEJC647K shop orders\n"), "{text}");
    }
}
