//! Lists of a store full of history, page after page, as somebody who looks for something would ask for them.

use super::measure::Measure;
use super::progress;
use super::report::Row;
use super::subject::Subject;
use crate::histogram::Histogram;
use crate::product::{Product, Reply, content, uid};
use anyhow::{Context, Result, ensure};
use std::time::Instant;

/// Pages of each list; the first ones are the newest, the last ones lie some thousands of rows back.
const PAGES: usize = 250;
const PER_PAGE: usize = 20;

/// One row for each list: events, deliveries, those of one endpoint that succeeded.
pub(super) async fn rows(scenario: &str, subject: &mut Subject) -> Result<Vec<Row>> {
    let product = subject.product()?;
    let endpoints = product.get("/endpoints").await?.expect(200)?;
    let endpoint = uid(content(&endpoints).first().context("no endpoint")?)?;
    let lists = [
        ("list of events", "/events?".to_owned()),
        ("list of deliveries", "/eventdeliveries?".to_owned()),
        ("list of an endpoint's, status", format!("/eventdeliveries?endpointId={endpoint}&status=Success&")),
    ];
    let mut rows = Vec::new();
    for (name, path) in lists {
        progress(&format!("{scenario}: {name}"));
        let mut row = Row::new(scenario, name).note(format!("{PAGES} pages of {PER_PAGE}, one at a time"));
        row.add(walk(product, &path).await);
        rows.push(row);
    }
    Ok(rows)
}

async fn walk(product: &Product, path: &str) -> Result<Measure> {
    let took = Histogram::default();
    let mut cursor = String::new();
    for number in 0..PAGES {
        let asked = format!("{path}perPage={PER_PAGE}&direction=next&next_page_cursor={cursor}");
        let start = Instant::now();
        let reply = product.get(&asked).await?.expect(200)?;
        took.add(u64::try_from(start.elapsed().as_micros())?);
        let shown = content(&reply).len();
        ensure!(shown == PER_PAGE, "page {number} of {path} shows {shown}");
        cursor = next(&reply);
    }
    let milliseconds = |share| took.quantile_us(share).map(|us| us as f64 / 1e3);
    Ok(Measure { p50_ms: milliseconds(0.5), p99_ms: milliseconds(0.99), ..Measure::default() })
}

fn next(reply: &Reply) -> String {
    reply.data()["pagination"]["next_page_cursor"].as_str().unwrap_or_default().to_owned()
}
