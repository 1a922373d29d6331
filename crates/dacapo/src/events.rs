//! `dacapo events`: what a selector means, page after page.

mod table;

use crate::cli::replay::{EventsOptions, EventsVerb, SearchOptions};
use crate::cli::words;
use crate::remote::{Remote, RemoteError, encoded};
use crate::terminal;
use anyhow::Result;
use serde_json::Value;

/// Events one page is asked for.
const PAGE_EVENTS_MAX: u64 = 100;

pub async fn run(options: EventsOptions) -> Result<()> {
    let remote = Remote::new(&options.remote)?;
    let done = match options.verb {
        EventsVerb::Search(search) => self::search(&remote, &search, options.remote.json).await,
        EventsVerb::Count { selector } => count(&remote, &selector.to_json()?, options.remote.json).await,
    };
    done.map_err(|error| RemoteError::reworded(error, words::of_selector))
}

/// Prints each page as it comes: a search through much may take a while.
async fn search(remote: &Remote, options: &SearchOptions, json: bool) -> Result<()> {
    let selector = options.selector.to_json()?;
    let sort = if options.oldest_first { "ASC" } else { "DESC" };
    let (mut left, mut cursor, mut shown) = (options.limit, String::new(), 0u64);
    loop {
        let per_page = left.clamp(1, PAGE_EVENTS_MAX);
        let path = format!("/events/search?perPage={per_page}&sort={sort}&cursor={}", encoded(&cursor));
        let page = remote.post(&path, &selector).await?;
        let events = page["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        terminal::print(&if json { lines(events) } else { table::rows(events, shown == 0) });
        shown += events.len() as u64;
        left = left.saturating_sub(events.len() as u64);
        cursor = page["pagination"]["next_page_cursor"].as_str().unwrap_or_default().to_owned();
        if cursor.is_empty() {
            if shown == 0 && !json {
                terminal::print("No event is meant.\n");
            }
            return Ok(());
        }
        if left == 0 {
            if !json {
                let until = page["looked"]["until"].as_str().unwrap_or_default();
                terminal::print(&format!(
                    "There may be more: looked at everything up to {until}. --limit shows more.\n"
                ));
            }
            return Ok(());
        }
    }
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// Counts on until it is exact.
async fn count(remote: &Remote, selector: &Value, json: bool) -> Result<()> {
    let (mut total, mut cursor) = (Totals::default(), String::new());
    loop {
        let answer = remote.post(&format!("/events/search/count?cursor={}", encoded(&cursor)), selector).await?;
        total.add(&answer);
        cursor = answer["next_page_cursor"].as_str().unwrap_or_default().to_owned();
        if cursor.is_empty() {
            terminal::print(&if json { format!("{}\n", total.json()) } else { total.text() });
            return Ok(());
        }
        let until = answer["looked"]["until"].as_str().unwrap_or_default();
        terminal::note(&format!("at least {} events; looked at everything up to {until}", total.events));
    }
}

#[derive(Default)]
struct Totals {
    events: u64,
    deliveries: u64,
    already_succeeded: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, answer: &Value) {
        let field = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.events += field("events");
        self.deliveries += field("deliveries");
        self.already_succeeded += field("already_succeeded");
        self.bytes += field("payload_bytes");
    }

    fn json(&self) -> Value {
        serde_json::json!({
            "events": self.events,
            "deliveries": self.deliveries,
            "already_succeeded": self.already_succeeded,
            "payload_bytes": self.bytes,
        })
    }

    fn text(&self) -> String {
        format!(
            "{} events, meant for {} deliveries ({} of them succeeded already), {} bytes of payload\n",
            self.events, self.deliveries, self.already_succeeded, self.bytes
        )
    }
}
