//! Who owns what, as a node tells it (`GET /nodes`).

use crate::product::{Product, wait_until};
use anyhow::{Context, Result, ensure};
use dacapo_model::{Id, Shard};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// One node of `GET /nodes` or `dacapo nodes --json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeLine {
    pub id: String,
    /// Its address, by its own account.
    pub label: String,
    pub alive: bool,
    pub leaving: bool,
    pub shards: Vec<u8>,
    pub due: u64,
}

impl Product {
    /// All nodes, as this one sees them.
    pub async fn nodes(&self) -> Result<Vec<NodeLine>> {
        let reply = self.client().get("/nodes", None).await?.expect(200)?;
        serde_json::from_value(reply.data().clone()).context("GET /nodes")
    }

    /// One counter or gauge without labels.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.client().get("/metrics", None).await?.expect(200)?.text;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        text.lines().find_map(value).with_context(|| format!("no metric {name} in:\n{text}"))
    }
}

/// How many shards each of these addresses owns, in their order.
pub fn owners_among(lines: &[NodeLine], urls: &[&str]) -> Vec<usize> {
    let of = |url: &&str| lines.iter().filter(|line| line.label == *url).map(|line| line.shards.len()).sum();
    urls.iter().map(of).collect()
}

/// The address of the node that owns an endpoint's shard.
pub fn owner_of(lines: &[NodeLine], endpoint: &str) -> Result<Option<String>> {
    let id: Id = endpoint.parse().ok().with_context(|| format!("{endpoint} is no id"))?;
    let shard = Shard::of(id).number();
    Ok(lines.iter().find(|line| line.shards.contains(&shard)).map(|line| line.label.clone()))
}

/// Waits until these nodes share all shards among them as they will keep them: none is on its way to another.
/// Gives how long that took.
pub async fn settled_on(asked: &Product, urls: &[&str], within: Duration) -> Result<Duration> {
    let began = Instant::now();
    let what = format!("all shards with {urls:?}");
    let mut last = Vec::new();
    let settled = wait_until(within, &what, async || {
        // A database that restarts, or a node that drains, has no answer for a moment.
        let Ok(lines) = asked.nodes().await else { return Ok(None) };
        last = lines;
        Ok(are_at_rest(&last, urls)?.then(|| began.elapsed()))
    })
    .await;
    ensure!(settled.is_ok(), "{}: last seen {last:?}", settled.err().map(|e| e.to_string()).unwrap_or_default());
    settled
}

/// Each shard is with the one of these that deserves it most.
fn are_at_rest(lines: &[NodeLine], urls: &[&str]) -> Result<bool> {
    let mut sharing = Vec::new();
    for line in lines.iter().filter(|line| urls.contains(&line.label.as_str()) && line.alive && !line.leaving) {
        sharing.push((line.id.parse::<Id>().ok().with_context(|| format!("{} is no id", line.id))?, &line.shards));
    }
    let with_its_heir = |shard: Shard| {
        let heir = sharing.iter().max_by_key(|(node, _)| (shard.weight(*node), *node));
        heir.is_some_and(|(_, shards)| shards.contains(&shard.number()))
    };
    Ok(sharing.len() == urls.len() && Shard::all().all(with_its_heir))
}
