//! An endpoint's rate limit is its limit, however many nodes there are and wherever its shard goes.

use super::{SOON, turn};
use anyhow::{Result, ensure};
use dacapo_testkit::clock;
use dacapo_testkit::nodes::{Courses, Nodes, Stream, owner_of, settled_on};
use dacapo_testkit::product::wait_until;
use dacapo_testkit::sink::{Keep, Plan, Sink};
use serde_json::json;
use std::time::Duration;

/// Of each endpoint.
const LIMIT: u64 = 50;
/// Several, so that a node that joins gets at least one of them.
const ENDPOINTS: usize = 5;
/// More than the limits let through, so that there is always something to send.
const OFFERED_PER_SECOND: u32 = 70 * ENDPOINTS as u32;
/// The allowance of a limit that was not used, which goes at once, is over after this.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(30);
/// Of the count over all of `MEASURED`, more or less.
const ERROR_MAX: f64 = 0.01;
/// A limiter that could not send for a while makes up for this much at most.
const ALLOWANCE: Duration = Duration::from_secs(1);
/// In any one second: the limit, and an allowance once. A second limiter for the same endpoint would add its own.
const PER_SECOND_MAX: u64 = 2 * LIMIT;
const SHARED_OUT_WITHIN: Duration = Duration::from_secs(15);
const SECOND_US: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_holds_while_its_shard_moves() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::start(3).await?;
    let keys = nodes.keys()?.clone();
    let limited = json!({"rate_limit": LIMIT, "rate_limit_duration": 1});
    let (mut sinks, mut endpoints) = (Vec::new(), Vec::new());
    for _ in 0..ENDPOINTS {
        let sink = Sink::start(Plan::default(), Keep { markers: 0, requests: 10_000 }).await?;
        endpoints.push(nodes.each[0].subscribed_endpoint(&sink.url("/"), &limited).await?);
        sinks.push(sink);
    }
    let courses = Courses {
        nodes: nodes.each.iter().map(|node| node.url().to_owned()).collect(),
        project_id: keys.project_id,
        api_key: keys.api_key,
        endpoints: endpoints.clone(),
    };
    let stream = Stream::start(courses, OFFERED_PER_SECOND)?;
    wait_until(SOON, "all are limited", async || {
        Ok(sinks.iter().all(|sink| sink.record().delivered() > LIMIT).then_some(()))
    })
    .await?;
    tokio::time::sleep(WARM_UP).await;
    let from_us = clock::micros();

    // First its owner ends, then another node joins.
    let owners = |lines: &[_]| endpoints.iter().map(|id| owner_of(lines, id)).collect::<Result<Vec<_>>>();
    let before = owners(&nodes.each[0].nodes().await?)?;
    let owner = nodes.each.iter().position(|node| Some(node.url()) == before[0].as_deref()).unwrap_or(1);
    let mut leaver = nodes.each.remove(owner);
    leaver.stop().await?;
    nodes.shared_out().await?;
    let between = owners(&nodes.each[0].nodes().await?)?;
    nodes.add().await?;
    let urls: Vec<&str> = nodes.each.iter().map(|node| node.url()).collect();
    let joined = settled_on(&nodes.each[0], &urls, SHARED_OUT_WITHIN).await?;
    // All that moves to it has moved when nothing does for a while.
    let measured_to = from_us + u64::try_from(MEASURED.as_micros())?;
    wait_until(MEASURED * 2, "the time is over", async || Ok((clock::micros() > measured_to).then_some(()))).await?;
    let after = owners(&nodes.each[0].nodes().await?)?;
    drop(stream);

    let expected = LIMIT * MEASURED.as_secs();
    let mut errors = Vec::new();
    for (index, sink) in sinks.iter().enumerate() {
        let seen = sink.record().seen();
        let mut times: Vec<u64> =
            seen.iter().map(|one| one.at_us).filter(|at| (from_us..measured_to).contains(at)).collect();
        times.sort_unstable();
        let moves = usize::from(before[index] != between[index]) + usize::from(between[index] != after[index]);
        let (busiest, gaps) = (busiest_second(&times), longest_gaps(&times, from_us));
        // A machine may stand still for longer than an allowance; that is no matter of the limiter's.
        let lost: Duration = gaps.iter().map(|(_, long)| long.saturating_sub(ALLOWANCE)).sum();
        let possible = expected as f64 - lost.as_secs_f64() * LIMIT as f64;
        let error = (times.len() as f64 - possible) / expected as f64;
        println!(
            "endpoint {index}: moved {moves} times, {:+.2} %, busiest second {busiest}, longest gaps {gaps:?}",
            error * 100.0
        );
        ensure!(busiest <= PER_SECOND_MAX, "{busiest} in one second, the limit is {LIMIT}");
        errors.push(error);
    }
    println!("a node joined and owned its share after {joined:?}");
    ensure!(before != between, "no shard moved when its owner ended: the run shows nothing");
    ensure!(errors.iter().all(|error| error.abs() <= ERROR_MAX), "not the limit: {errors:?}");
    Ok(())
}

/// Most of them within any one second.
fn busiest_second(times: &[u64]) -> u64 {
    let within = |(index, from): (usize, &u64)| times[index..].partition_point(|at| *at < from + SECOND_US) as u64;
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// The three longest: how long after the start, and how long.
fn longest_gaps(times: &[u64], from_us: u64) -> Vec<(Duration, Duration)> {
    let gap = |pair: &[u64]| (pair[1] - pair[0], pair[0] - from_us);
    let mut gaps: Vec<(u64, u64)> = times.windows(2).map(gap).collect();
    gaps.sort_unstable_by(|one, other| other.cmp(one));
    gaps.into_iter().take(3).map(|(long, at)| (Duration::from_micros(at), Duration::from_micros(long))).collect()
}
