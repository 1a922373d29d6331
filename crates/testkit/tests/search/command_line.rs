//! `dacapo events …` as people and scripts call it.

use super::Pair;
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, binary, text};
use serde_json::Value;
use std::process::Output;
use tokio::process::Command;

async fn dacapo(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    for variable in ["DACAPO_URL", "DACAPO_API_KEY", "DACAPO_PROJECT", "DACAPO_DATA_DIR"] {
        command.env_remove(variable);
    }
    Ok(command.args(words).output().await?)
}

/// With the address and key that the first start left in its directory.
async fn on(product: &Product, words: &str) -> Result<Output> {
    let directory = product.data_dir().to_str().context("a path of letters")?;
    let mut all: Vec<&str> = words.split(' ').collect();
    all.extend(["--data-dir", directory]);
    dacapo(&all).await
}

fn out(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", said(output));
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_prints_a_table_or_a_line_of_json_each() -> Result<()> {
    let pair = Pair::new().await?;
    let events = pair.events(5).await?;
    let table = out(&on(&pair.product, "events search --mode failed --from -1h").await?)?;
    ensure!(table.lines().count() == 3 && table.contains("MEANT FOR") && table.contains("1 Failure (503)"), "{table}");
    ensure!(table.contains(&events[1]) && table.contains(&events[3]) && !table.contains(&events[0]), "{table}");

    let lines = out(&on(&pair.product, "events search --oldest-first --limit 3 --json").await?)?;
    let found: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(found.iter().map(|event| text(event, "uid")).eq(events[..3].iter().map(String::as_str)), "{lines}");

    let count = out(&on(&pair.product, "events count --mode failed").await?)?;
    ensure!(count.starts_with("2 events, meant for 2 deliveries (0 of them succeeded already)"), "{count}");
    let none = out(&on(&pair.product, "events search --event-type other").await?)?;
    ensure!(none == "No event is meant.\n", "{none}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_said_with_what_to_do() -> Result<()> {
    let product = Product::fresh().await?;
    let key = product.keys().api_key.clone();
    let nowhere = tempfile::tempdir()?;
    let nowhere = nowhere.path().to_str().context("a path of letters")?.to_owned();
    for (words, says) in [
        (vec!["events", "search", "--from", "soon", "--data-dir", &nowhere], "no address: give --url or DACAPO_URL"),
        (vec!["events", "search", "--url", product.url(), "--data-dir", &nowhere], "no key: give --key"),
        (vec!["events", "search", "--url", "shop.test", "--key", &key], "is no address: write it as http://"),
        (vec!["events", "search", "--url", "http://127.0.0.1:1", "--key", &key], "cannot reach http://127.0.0.1:1"),
        (vec!["events", "search", "--url", product.url(), "--key", "CO.x.y"], "the key was not accepted"),
        (
            vec!["events", "search", "--url", product.url(), "--key", &key, "--from", "soon"],
            "from: \"soon\" is no time",
        ),
        (
            vec!["events", "search", "--url", product.url(), "--key", &key, "--owner-id", "nobody"],
            "owner_ids: no endpoint of this project has the owner \"nobody\"",
        ),
    ] {
        let output = dacapo(&words).await?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{words:?}: {}", said(&output));
        ensure!(said(&output).contains(says), "{words:?}: {}", said(&output));
        ensure!(!said(&output).contains(&key), "an error shows the key");
    }
    Ok(())
}
