//! `dacapo events …` and `dacapo replay …` as people and scripts call them.

use super::Pair;
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, binary, text};
use serde_json::Value;
use std::collections::HashSet;
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
            "--from: \"soon\" is no time",
        ),
        (
            vec!["events", "search", "--url", product.url(), "--key", &key, "--owner-id", "nobody"],
            "--owner-id: no endpoint of this project has the owner \"nobody\"",
        ),
    ] {
        let output = dacapo(&words).await?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{words:?}: {}", said(&output));
        ensure!(said(&output).contains(says), "{words:?}: {}", said(&output));
        ensure!(!said(&output).contains(&key), "an error shows the key");
    }
    Ok(())
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or("", str::trim)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_planned_run_and_watched() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    pair.events(6).await?;
    let ask = format!("--mode failed --endpoint-id {} --from -1h", pair.broken);
    let plan = out(&on(product, &format!("replay plan {ask} --rate 50")).await?)?;
    ensure!(field(&plan, "MATCHED") == "3" && field(&plan, "TAKES").contains("at 50 a second"), "{plan}");
    ensure!(plan.contains("A request, of event") && plan.contains("--expected-count 3"), "{plan}");
    let dry = out(&on(product, &format!("replay start {ask} --dry-run")).await?)?;
    ensure!(field(&dry, "TO SEND") == "3", "{dry}");
    ensure!(out(&on(product, "replay list").await?)? == "No replay yet.\n", "a plan left something");

    let moved = on(product, &format!("replay start {ask} --expected-count 4")).await?;
    ensure!(
        moved.status.code() == Some(1) && said(&moved).contains("--expected-count: the set holds 3"),
        "{}",
        said(&moved)
    );
    let planned = on(product, &format!("replay plan {ask} --expected-count 4")).await?;
    ensure!(planned.status.code() == Some(1) && planned.stdout.is_empty(), "{}", said(&planned));
    ensure!(said(&planned).contains("--expected-count: the set holds 3 item(s) now, not 4"), "{}", said(&planned));
    ensure!(out(&on(product, &format!("replay plan {ask} --expected-count 3")).await?)?.contains("MATCHED"), "no plan");
    let unbounded = on(product, "replay start --mode failed").await?;
    ensure!(said(&unbounded).contains("add --from, or --confirm-unbounded"), "{}", said(&unbounded));

    let watched = on(product, &format!("replay start {ask} --expected-count 3 --name outage --watch")).await?;
    let watched = out(&watched)?;
    ensure!(field(&watched, "STATUS") == "completed 100%", "{watched}");
    ensure!(watched.contains("0 succeeded, 3 failed, 0 discarded, 0 waiting of 3"), "{watched}");
    let id = field(&watched, "REPLAY").to_owned();
    ensure!(watched.contains(&format!("--replay-id {id}")), "{watched}");
    ensure!(pair.fails.record().requests() == 6, "{} requests", pair.fails.record().requests());

    // "Those that failed again", and no others.
    let again = out(&on(product, &format!("replay start --mode failed --replay-id {id} --from -1h --watch")).await?)?;
    ensure!(again.contains("3 failed"), "{again}");
    let list = out(&on(product, "replay list").await?)?;
    ensure!(list.lines().count() == 3 && list.contains("outage"), "{list}");
    let replay = product.replay(&id).await?;
    let started = text(&replay, "started_at").get(..19).context("a time")?;
    let by = format!("{started}Z  failed     api_key {}", text(&replay["asked_by"], "id"));
    ensure!(list.lines().any(|line| line.starts_with(&id) && line.contains(&by)), "{by}\n{list}");
    let shown = out(&on(product, &format!("replay show {id} --json")).await?)?;
    ensure!(serde_json::from_str::<Value>(&shown)?["uid"] == id.as_str(), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_steered_from_another_terminal() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    pair.events(6).await?;
    let started =
        out(&on(product, "replay start --mode all --delivery-status Success --include-succeeded --from -1h --rate 1")
            .await?)?;
    let id = field(&started, "REPLAY").to_owned();
    let paused = out(&on(product, &format!("replay pause {id}")).await?)?;
    ensure!(field(&paused, "STATUS").starts_with("paused"), "{paused}");
    let rate = out(&on(product, &format!("replay rate {id} --rate none")).await?)?;
    ensure!(field(&paused, "HOW").contains("at most 1 a second"), "{paused}");
    ensure!(!field(&rate, "HOW").contains("a second"), "{rate}");
    out(&on(product, &format!("replay resume {id}")).await?)?;
    let watched = out(&on(product, &format!("replay watch {id}")).await?)?;
    ensure!(watched.contains("3 succeeded, 0 failed"), "{watched}");

    let over = on(product, &format!("replay cancel {id}")).await?;
    ensure!(over.status.code() == Some(1) && said(&over).contains("completed"), "{}", said(&over));
    let nothing = on(product, &format!("replay rate {id}")).await?;
    ensure!(said(&nothing).contains("say what is to change: --rate, --concurrency"), "{}", said(&nothing));
    let unknown = on(product, "replay show 01H0JA5MEES38RRK3HTEJC647K").await?;
    ensure!(said(&unknown).contains("replay not found"), "{}", said(&unknown));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replay_is_made_of_is_listed_and_written_down() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    let events = pair.events(6).await?;
    let all = "replay start --mode all --include-succeeded --from -1h --watch";
    let watched = out(&on(product, all).await?)?;
    let id = field(&watched, "REPLAY").to_owned();

    let table = out(&on(product, &format!("replay items {id}")).await?)?;
    let head = ["WHEN", "EVENT", "STATUS", "WHY, WAITS FOR", "ENDPOINT"];
    ensure!(head.iter().all(|name| table.lines().next().is_some_and(|line| line.contains(name))), "{table}");
    ensure!(table.lines().count() == 7 && events.iter().all(|event| table.contains(event)), "{table}");
    let failed = format!("{}  Failure     retry_limit        {}", events[5], pair.broken);
    ensure!(table.contains(&failed) && table.contains(&format!("{}  Success ", events[0])), "{failed}\n{table}");

    let some = on(product, &format!("replay items {id} --status failure --limit 2")).await?;
    ensure!(out(&some)?.lines().count() == 3 && !out(&some)?.contains("Success"), "{}", out(&some)?);
    ensure!(said(&some).contains("dacapo replay report"), "{}", said(&some));
    let none = on(product, &format!("replay items {id} --status Retry")).await?;
    ensure!(out(&none)? == "No such item.\n", "{}", out(&none)?);
    let lines = out(&on(product, &format!("replay items {id} --json --status Success --status Failure")).await?)?;
    let items: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(items.len() == 6 && items.iter().all(|item| item["replay_id"] == id.as_str()), "{lines}");

    let report = out(&on(product, &format!("replay report {id} --status Failure")).await?)?;
    let asked = product.get(&format!("/replays/{id}/report?status=Failure")).await?.expect(200)?;
    ensure!(report == asked.text && report.lines().count() == 3, "{report}");
    for words in ["items", "report"] {
        let unknown = on(product, &format!("replay {words} 01H0JA5MEES38RRK3HTEJC647K")).await?;
        ensure!(unknown.status.code() == Some(1) && said(&unknown).contains("replay not found"), "{}", said(&unknown));
        let slip = on(product, &format!("replay {words} {id} --status lost")).await?;
        ensure!(said(&slip).contains("one of Scheduled, Processing, Retry"), "{}", said(&slip));
    }
    for words in ["events search", "replay list", &format!("replay items {id}")] {
        let nothing = on(product, &format!("{words} --limit 0")).await?;
        ensure!(nothing.status.code() == Some(2) && nothing.stdout.is_empty(), "{words}: {}", said(&nothing));
        ensure!(
            said(&nothing).contains("--limit") && said(&nothing).contains("a whole number from 1"),
            "{}",
            said(&nothing)
        );
    }
    Ok(())
}

/// More than a page of a list, and than a read of a report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_items_of_a_larger_replay_are_shown_once() -> Result<()> {
    const EVENTS: u64 = 620;
    let pair = Pair::new().await?;
    let product = &pair.product;
    product.send_numbered(&pair.sound, 0..EVENTS).await?;
    let all = "replay start --mode all --include-succeeded --from -1h --watch";
    let id = field(&out(&on(product, all).await?)?, "REPLAY").to_owned();
    let distinct = |lines: &str, field: &str| -> Result<usize> {
        let rows: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(rows.len() as u64 == EVENTS, "{} lines", rows.len());
        Ok(rows.iter().map(|row| text(row, field).to_owned()).collect::<HashSet<_>>().len())
    };
    let items = out(&on(product, &format!("replay items {id} --limit 5000 --json")).await?)?;
    ensure!(distinct(&items, "event_id")? as u64 == EVENTS, "some twice");
    let report = out(&on(product, &format!("replay report {id}")).await?)?;
    ensure!(distinct(&report, "event_id")? as u64 == EVENTS, "some twice");
    let table = out(&on(product, &format!("replay items {id} --limit 250")).await?)?;
    ensure!(table.lines().count() == 251 && table.matches("WHEN").count() == 1, "{} lines", table.lines().count());
    Ok(())
}
