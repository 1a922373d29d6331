//! The instruments themselves: a test that measures with a broken one proves nothing.

use anyhow::{Context, Result, ensure};
use dacapo_testkit::generator::{self, Load, Pace, Shape, Target};
use dacapo_testkit::hostile::{Hostile, Kind};
use dacapo_testkit::ledger::Ledger;
use dacapo_testkit::product::wait_until;
use dacapo_testkit::sink::{Keep, Plan, Sink};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MARKERS: usize = 100_000;
/// What one look at a hostile receiver takes at most.
const LOOK: Duration = Duration::from_secs(2);
/// Bytes of a hostile answer that are read at most: more than any cap a sender may have.
const LOOK_BYTES_MAX: usize = 80 << 20;

fn load(sink: &Sink) -> Result<Load> {
    let target = Arc::new(Target::new(&sink.url(""), &Shape::Bare, None)?);
    Ok(Load::new(target, 8, Duration::from_secs(20)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_once() -> Result<()> {
    let sink = Sink::start(Plan::default(), Keep { markers: MARKERS, requests: 3 }).await?;
    let acknowledged = Arc::new(Ledger::new(MARKERS));
    let mut load = load(&sink)?;
    load.count_max = 2000;
    load.acknowledged = Some(Arc::clone(&acknowledged));
    let tally = generator::run(load).await?;
    ensure!(tally.accepted() == 2000 && tally.refused() + tally.broken() == 0, "{tally:?}");
    let ledger = sink.record().ledger();
    ensure!(ledger.distinct() == 2000 && ledger.total() == 2000 && ledger.strays() == 0);
    ensure!(acknowledged.missing_from(ledger, 1).0 == 0);
    ensure!(sink.record().latency().count() == 2000 && sink.record().seen().len() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_is_refused_and_told_apart() -> Result<()> {
    let sink = Sink::start(Plan::failing(1, 3), Keep { markers: MARKERS, requests: 0 }).await?;
    let mut load = load(&sink)?;
    load.count_max = 300;
    let tally = generator::run(load).await?;
    ensure!(tally.accepted() == 200 && tally.refused() == 100, "{tally:?}");
    ensure!(sink.record().delivered() == 200 && sink.record().requests() == 300);
    ensure!(sink.record().ledger().total() == 200, "refused requests were counted as delivered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pace_is_kept() -> Result<()> {
    let sink = Sink::start(Plan::default(), Keep::default()).await?;
    let mut load = load(&sink)?;
    load.pace = Pace::PerSecond(200);
    load.duration = Duration::from_secs(1);
    let tally = generator::run(load).await?;
    ensure!(tally.sent() == 200, "{} sent", tally.sent());
    ensure!((0.9..1.5).contains(&tally.seconds()), "in {} s", tally.seconds());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_outlives_its_server() -> Result<()> {
    let sink = Sink::start(Plan::default(), Keep::default()).await?;
    let address = sink.address();
    let load = load(&sink)?;
    let stop = load.stop.clone();
    let running = tokio::spawn(generator::run(load));
    let within = Duration::from_secs(10);
    wait_until(within, "some came", async || Ok((sink.record().delivered() > 100).then_some(()))).await?;
    drop(sink);
    let listener =
        wait_until(within, "the port is free", async || Ok(tokio::net::TcpListener::bind(address).await.ok())).await?;
    let again = Sink::on(listener, Plan::default(), Keep::default())?;
    wait_until(within, "more came", async || Ok((again.record().delivered() > 100).then_some(()))).await?;
    stop.cancel();
    let tally = running.await??;
    ensure!(tally.accepted() > 200, "{tally:?}");
    Ok(())
}

/// What a plain client sees: the bytes, and whether the connection was closed within `LOOK`.
async fn look(hostile: &Hostile) -> Result<(Vec<u8>, bool)> {
    let url = hostile.url();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    // A reset may be here as early as this.
    let Ok(mut stream) = TcpStream::connect(address).await else { return Ok((Vec::new(), true)) };
    let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").await;
    let mut seen = Vec::new();
    let reading = async {
        while seen.len() < LOOK_BYTES_MAX {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let closed = timeout(LOOK, reading).await.is_ok();
    Ok((seen, closed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_receiver_misbehaves_as_named() -> Result<()> {
    let looks = Kind::ALL.map(|kind| async move {
        let hostile = Hostile::start(kind).await?;
        let (seen, closed) = look(&hostile).await?;
        let starts = |text: &str| seen.starts_with(text.as_bytes());
        let as_named = match kind {
            Kind::NeverAnswers | Kind::AcceptsSlowly => seen.is_empty() && !closed,
            Kind::OneByteASecond => (1..=3).contains(&seen.len()) && !closed,
            Kind::HugeBody => starts("HTTP/1.1 200") && seen.len() > 60 << 20 && !closed,
            Kind::RedirectLoop => starts("HTTP/1.1 302") && !closed,
            Kind::ClosesMidBody => seen.ends_with(b"0123456789") && closed,
            Kind::Garbage => !seen.is_empty() && !starts("HTTP/") && closed,
            Kind::Resets => seen.is_empty() && closed,
            Kind::HugeHeaders => starts("HTTP/1.1 200") && seen.len() > 7 << 20,
            Kind::EndlessContinue => starts("HTTP/1.1 100") && seen.len() > 1000 && !closed,
            Kind::NoContentWithBody => starts("HTTP/1.1 204") && seen.ends_with(b"hello"),
            Kind::GzipBomb => starts("HTTP/1.1 200") && (50 << 10..300 << 10).contains(&seen.len()),
        };
        ensure!(as_named, "{} bytes, closed: {closed}", seen.len());
        anyhow::Ok(())
    });
    for (kind, look) in Kind::ALL.into_iter().zip(join_all(looks).await) {
        look.with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}
