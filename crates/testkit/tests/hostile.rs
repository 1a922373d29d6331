//! Promise 4: every receiver that misbehaves gets its recorded outcome in bounded time and memory, and a healthy
//! endpoint beside them does not notice.

use anyhow::{Context, Result, ensure};
use dacapo_testkit::generator::{self, Load, Pace, Shape, Target};
use dacapo_testkit::hostile::{Hostile, Kind};
use dacapo_testkit::procfs;
use dacapo_testkit::product::{Product, text};
use dacapo_testkit::sink::{Keep, Plan, Sink};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After the endpoint's own time-out an outcome must be on record within this.
const RECORD_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of an answer that are kept (contracts/convoy.md §6.3).
const KEPT_BYTES_MAX: usize = 51_200;
/// A byte that is no UTF-8 becomes a three-byte replacement character.
const REPLACED_BYTES: usize = 3;
/// The process may grow to this with every receiver at its worst, unoptimised.
const RESIDENT_BYTES_MAX: u64 = 320 << 20;
/// The slowest delivery of the healthy endpoint, on a machine that runs other tests too.
const HEALTHY_WITHIN: Duration = Duration::from_secs(1);
/// Events a second to the healthy endpoint, and for how long.
const HEALTHY_RATE: u32 = 50;
const HEALTHY_FOR: Duration = Duration::from_secs(7);

struct Case {
    hostile: Hostile,
    http_timeout: u64,
    event: String,
    sent: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_receiver_gets_an_outcome_and_harms_nobody() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    let sink = Sink::start(Plan::default(), Keep::default()).await?;
    let healthy = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let load = tokio::spawn(generator::run(healthy_load(&product, healthy)?));

    let mut cases = Vec::new();
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let hostile = Hostile::start(kind).await?;
        let http_timeout = 1 + index as u64 % 2;
        let endpoint = product.subscribed_endpoint(&hostile.url(), &json!({"http_timeout": http_timeout})).await?;
        let sent = Instant::now();
        let event = product.send_keyed(&endpoint, &format!("hostile-{kind:?}"), &json!({"kind": index})).await?;
        cases.push(Case { hostile, http_timeout, event, sent });
    }
    for case in &cases {
        outcome(&product, case).await.with_context(|| format!("{:?}", case.hostile.kind()))?;
    }

    let tally = load.await??;
    let record = sink.record();
    dacapo_testkit::product::wait_until(HEALTHY_WITHIN, "the healthy endpoint has everything", async || {
        Ok((record.delivered() >= tally.accepted()).then_some(()))
    })
    .await?;
    ensure!(tally.refused() + tally.broken() == 0, "the API refused {}", tally.refused());
    let slowest = Duration::from_micros(record.latency().max_us());
    ensure!(slowest <= HEALTHY_WITHIN, "a healthy delivery took {slowest:?}");
    let peak = procfs::peak_resident_bytes(product.pid()?)?;
    ensure!(peak <= RESIDENT_BYTES_MAX, "the process grew to {} MB", peak >> 20);
    Ok(())
}

fn healthy_load(product: &Product, endpoint: String) -> Result<Load> {
    let shape = Shape::Convoy { project_id: product.keys().project_id.clone(), endpoints: vec![endpoint] };
    let bearer = format!("Bearer {}", product.keys().api_key);
    let target = Arc::new(Target::new(product.url(), &shape, Some(&bearer))?);
    let mut load = Load::new(target, 4, HEALTHY_FOR);
    load.pace = Pace::PerSecond(HEALTHY_RATE);
    Ok(load)
}

async fn outcome(product: &Product, case: &Case) -> Result<()> {
    let allowed = Duration::from_secs(case.http_timeout) + RECORD_WITHIN;
    let left = allowed.saturating_sub(case.sent.elapsed());
    let settled = dacapo_testkit::product::wait_until(left, "a recorded outcome", async || {
        let rows = product.deliveries(&case.event).await?;
        let settled = |row: &Value| matches!(text(row, "status"), "Success" | "Failure" | "Discarded");
        Ok(rows.into_iter().find(settled))
    })
    .await?;
    let status = text(&settled, "status");
    ensure!(status == "Failure" || (status == "Success" && case.hostile.kind().may_succeed()), "it is {status}");
    // One that accepts slowly has not accepted yet when the endpoint's time is up.
    let accepts_in_time = case.hostile.kind() != Kind::AcceptsSlowly;
    ensure!(!accepts_in_time || case.hostile.connections() > 0, "it was never called");

    let attempts = product.attempts(text(&settled, "uid")).await?;
    ensure!(attempts.len() == 1, "{} attempts with a limit of one", attempts.len());
    let attempt = &attempts[0];
    let explained = !text(attempt, "error").is_empty() || !text(attempt, "http_status").is_empty();
    ensure!(explained, "the attempt says nothing: {attempt}");
    let kept = text(attempt, "response_data").len();
    let kept_max = match case.hostile.kind() {
        Kind::GzipBomb | Kind::Garbage => KEPT_BYTES_MAX * REPLACED_BYTES,
        _ => KEPT_BYTES_MAX,
    };
    ensure!(kept <= kept_max, "{kept} bytes of the answer were kept");
    Ok(())
}
