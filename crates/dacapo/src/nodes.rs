//! `dacapo nodes`: who shares the database, what each owns, and how far behind it is.

use crate::config::Config;
use crate::{gateway, terminal};
use anyhow::{Context, Result, bail};
use dacapo_store::postgres::PostgresStore;
use dacapo_store::roles::NodeView;
use std::fmt::Write;
use std::time::Duration;

/// Shards are shown as ranges, up to this many characters.
const SHARDS_WIDTH: usize = 40;

pub async fn run(config: &Config, json: bool) -> Result<()> {
    let Some(options) = gateway::database(config, "dacapo nodes") else {
        bail!("the embedded store has one node; name the shared database with --database-url postgres://…");
    };
    let nodes = PostgresStore::look_at_nodes(&options).await.context("cannot look at the nodes")?;
    terminal::print(&if json { format!("{}\n", serde_json::to_string_pretty(&nodes)?) } else { as_table(&nodes) });
    Ok(())
}

fn as_table(nodes: &[NodeView]) -> String {
    if nodes.is_empty() {
        return "No node has joined this database yet.\n".to_owned();
    }
    let width = nodes.iter().map(|node| node.label.chars().count()).max().unwrap_or(0).max(4);
    let mut out = format!(
        "{:<width$}  {:<8}  {:>6}  {:<20}  {:>9}  {:>9}  {}\n",
        "NODE", "STATE", "SHARDS", "SINCE", "DUE", "LAG", "WHICH"
    );
    for node in nodes {
        let state = match (node.is_alive, node.is_leaving) {
            (false, _) => "silent",
            (true, true) => "leaving",
            (true, false) => "alive",
        };
        let since = node.since.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let _ = writeln!(
            out,
            "{:<width$}  {state:<8}  {:>6}  {:<20}  {:>9}  {:>9}  {}",
            node.label,
            node.shards.len(),
            since.get(..19).map_or(since.clone(), |head| format!("{head}Z")),
            node.due,
            lag(node.lag),
            ranges(&node.shards),
        );
    }
    out
}

fn lag(lag: Duration) -> String {
    match lag.as_secs() {
        0 => format!("{} ms", lag.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// `0-3,7,9-12`, cut off when it is long.
fn ranges(shards: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = shards;
    while let Some((&first, _)) = rest.split_first() {
        let run = rest.iter().zip(first..=u8::MAX).take_while(|(shard, expected)| **shard == *expected).count();
        let last = rest[run - 1];
        if !out.is_empty() {
            out.push(',');
        }
        let _ = if first == last { write!(out, "{first}") } else { write!(out, "{first}-{last}") };
        if out.len() > SHARDS_WIDTH {
            out.push('…');
            return out;
        }
        rest = &rest[run..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_shown_as_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[0, 1, 2, 7, 254, 255]), "0-2,7,254-255");
        let every_other: Vec<u8> = (0..=255).step_by(2).collect();
        let shown = ranges(&every_other);
        assert!(shown.ends_with('…') && shown.len() < SHARDS_WIDTH + 10, "{shown}");
    }
}
